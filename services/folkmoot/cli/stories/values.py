"""Stories, plans and tasks as `moot` shows them: what `--json` prints, and what a plan's file holds. No I/O here."""

from datetime import UTC
from enum import StrEnum

import msgspec

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli.text import headline
from folkmoot.kernel.events import timestamp
from folkmoot.kernel.plan import Assessment, Superseded
from folkmoot.kernel.result import Usage

_STORY = "s-"
"""How the ids of stories begin."""


def is_story(name: str) -> bool:
    """Whether an id is a story's; else it is a task's."""
    return name.startswith(_STORY)


class StoryState(StrEnum):
    """Where a story stands; the names are those of the wire."""

    SUBMITTED = "submitted"
    ASSESSED = "assessed"
    PLANNED = "planned"
    APPROVED = "approved"
    RELEASED = "released"
    DECIDED = "decided"
    ACCEPTED = "accepted"
    SENT_BACK = "sent_back"
    CARRIED_OVER = "carried_over"
    CANCELLED = "cancelled"
    UNREADABLE = "unreadable"
    """In lists only: its log cannot be read; `problem` says why, and all else is empty."""

    @property
    def ended(self) -> bool:
        """Nothing can happen to it any more."""
        return self in (StoryState.ACCEPTED, StoryState.CARRIED_OVER, StoryState.CANCELLED)

    @property
    def words(self) -> str:
        return self.replace("_", " ")


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task of a plan, as a person writes and reads it."""

    name: str
    title: str = ""
    """The text's first line, unless given."""
    text: str
    role: str = ""
    council: str = ""
    paths: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    summary: str = ""
    tasks: tuple[PlannedTask, ...]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task of a story: what was planned, and what became of it."""

    task_id: str
    name: str
    title: str
    role: str
    after: tuple[str, ...]
    """Names."""
    state: str
    """`waiting`, `released`, `decided` or `blocked`."""
    outcome: str
    """The deliberation's last state; empty before."""
    commit: str | None
    reason: str
    continues: str | None = None
    """The task in the same place that ended without a commit, whose candidates this one has."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    story_id: str
    title: str
    state: StoryState
    text: str
    repository: str
    base_ref: str
    checks: tuple[str, ...]
    rigor: str
    planning: str
    """`single`, `model` or `given`."""
    autopilot: bool
    round: int
    revision: int
    """Of the plan, from 1; 0 before the first."""
    assessment: Assessment | None
    threshold: int | None
    """The least score with which it is planned; None before it is assessed."""
    plan: Plan | None
    problem: str
    """Why assessing or planning stopped; empty when nothing did."""
    reason: str
    """The last transition's."""
    result_commit: str | None
    result_task_id: str | None
    task_ids: tuple[str, ...]
    carried_from: str | None
    carried_into: str | None
    usage: Usage
    created_at: str
    superseded: tuple[str, ...] = ()
    """Tests of base that people named as made wrong by the story."""

    @property
    def proposed(self) -> tuple[str, ...]:
        """Tests that the coach proposes as superseded, and nobody has confirmed yet."""
        found = self.assessment.superseded if self.assessment else ()
        return tuple(s.test for s in found if s.test not in self.superseded)

    @property
    def rests(self) -> bool:
        """Nothing happens until a person says something."""
        match self.state:
            case StoryState.SUBMITTED:
                return bool(self.problem)
            case StoryState.ASSESSED:
                return bool(self.problem) or (self.unclear and self.planning == "model")
            case StoryState.PLANNED:
                return bool(self.problem) or not self.autopilot
            case _:
                return self.state not in (StoryState.APPROVED, StoryState.RELEASED)

    @property
    def unclear(self) -> bool:
        """The coach's score is too low for it to be planned."""
        return self.assessment is not None and self.assessment.score < (self.threshold or 0)


# --- from the wire -----------------------------------------------------------------------------------------------


def story(wire: pb.Story) -> Story:
    used = wire.usage
    assessed = wire.HasField("assessment")
    return Story(
        story_id=wire.story_id,
        title=wire.title,
        state=StoryState(_name(pb.StoryState.Name(wire.state))),
        text=wire.text,
        repository=wire.repository,
        base_ref=wire.base_ref,
        checks=tuple(wire.checks),
        rigor=wire.rigor,
        planning=_name(pb.Planning.Name(wire.planning)),
        autopilot=wire.autopilot,
        round=wire.round,
        revision=wire.plan_revision,
        assessment=_assessment(wire.assessment) if assessed else None,
        threshold=wire.assessment.threshold if assessed else None,
        plan=plan(wire.plan) if wire.HasField("plan") else None,
        problem=wire.problem,
        reason=wire.reason,
        result_commit=wire.result_commit or None,
        result_task_id=wire.result_task_id or None,
        task_ids=tuple(wire.task_ids),
        carried_from=wire.carried_from or None,
        carried_into=wire.carried_into or None,
        usage=Usage(**{field.name: getattr(used, field.name) for field in msgspec.structs.fields(Usage)}),
        created_at=timestamp(wire.created_at.ToDatetime(tzinfo=UTC)) if wire.HasField("created_at") else "",
        superseded=tuple(wire.superseded),
    )


def plan(wire: pb.Plan) -> Plan:
    return Plan(summary=wire.summary, tasks=tuple(_planned(t) for t in wire.tasks))


def task(wire: pb.StoryTask) -> Task:
    return Task(
        task_id=wire.task_id,
        name=wire.task.name,
        title=wire.task.title,
        role=wire.task.role,
        after=tuple(wire.task.after),
        state=_name(pb.TaskState.Name(wire.state)),
        outcome=wire.outcome,
        commit=wire.commit or None,
        reason=wire.reason,
        continues=wire.continues or None,
    )


def _name(constant: str) -> str:
    """`STORY_STATE_SENT_BACK` is `sent_back`, `PLANNING_MODEL` is `model`."""
    for prefix in ("STORY_STATE_", "TASK_STATE_", "PLANNING_"):
        constant = constant.removeprefix(prefix)
    return constant.lower()


def _planned(wire: pb.PlannedTask) -> PlannedTask:
    return PlannedTask(
        name=wire.name,
        title=wire.title,
        text=wire.text,
        role=wire.role,
        council=wire.council,
        paths=tuple(wire.paths),
        checks=tuple(wire.checks),
        after=tuple(wire.after),
    )


def _assessment(wire: pb.Assessment) -> Assessment:
    return Assessment(
        clarity=wire.clarity,
        testability=wire.testability,
        size=wire.size,
        score=wire.score,
        summary=wire.summary,
        missing_checks=tuple(wire.missing_checks),
        questions=tuple(wire.questions),
        superseded=tuple(Superseded(test=s.test, why=s.why) for s in wire.superseded),
    )


# --- to the wire -------------------------------------------------------------------------------------------------


def plan_to_wire(plan: Plan) -> pb.Plan:
    tasks = [
        pb.PlannedTask(
            name=t.name,
            title=t.title or headline(t.text),
            text=t.text,
            role=t.role,
            council=t.council,
            paths=t.paths,
            checks=t.checks,
            after=t.after,
        )
        for t in plan.tasks
    ]
    return pb.Plan(summary=plan.summary, tasks=tasks)

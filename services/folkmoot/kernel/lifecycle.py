"""The life cycle of a story: its states, one table of what may follow what, and its guards. Pure.

submitted -> (assessed) -> planned -> approved -> released -> decided -> accepted | sent back -> (submitted) -> planned
and carried over from every state in which nothing runs, cancelled from every one before the last
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from folkmoot.kernel.course import Step
from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.events import Fact, Head
from folkmoot.kernel.facts import (
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryAccepted,
    StoryAssessed,
    StoryCancelled,
    StoryCarriedOver,
    StoryPlanned,
    StoryRevised,
    StorySentBack,
    StorySubmitted,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import CommitId, StoryId, TaskId
from folkmoot.kernel.plan import Plan, Planning
from folkmoot.kernel.result import State, Usage
from folkmoot.kernel.task import TaskKind


class StoryState(StrEnum):
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

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({StoryState.ACCEPTED, StoryState.CARRIED_OVER, StoryState.CANCELLED})


_OPEN = (StoryState.SUBMITTED, StoryState.ASSESSED, StoryState.PLANNED, StoryState.SENT_BACK)
"""Nothing runs, and a plan may come."""
UNDER_WAY = (StoryState.APPROVED, StoryState.RELEASED)
"""A plan is being carried out."""

LIFE_CYCLE: dict[type[Fact], tuple[StoryState, ...]] = {
    StoryAssessed: _OPEN,
    StoryRevised: _OPEN,
    StoryPlanned: _OPEN,
    PlanApproved: (StoryState.PLANNED,),
    PlanRejected: (StoryState.PLANNED,),
    StepFailed: (*_OPEN, *UNDER_WAY),
    TaskReleased: UNDER_WAY,
    TaskContinued: (StoryState.RELEASED, StoryState.DECIDED),
    TaskDecided: (StoryState.RELEASED,),
    StoryAccepted: (StoryState.DECIDED,),
    StorySentBack: (StoryState.DECIDED,),
    StoryCarriedOver: (*_OPEN, StoryState.DECIDED),
    StoryCancelled: (*_OPEN, *UNDER_WAY, StoryState.DECIDED),
}
"""The states in which each fact may happen. `submitted` is only ever the first."""

_WORDS: dict[StoryState, str] = {StoryState.SENT_BACK: "sent back", StoryState.CARRIED_OVER: "carried over"}

Word = StoryAccepted | StorySentBack | StoryCarriedOver | StoryCancelled
"""A person's, at the end of a round or of everything."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Where a story stands after its last event."""

    story_id: StoryId
    submitted: StorySubmitted
    created_at: datetime
    head: Head
    state: StoryState = StoryState.SUBMITTED
    title: str
    text: str
    checks: tuple[str, ...]
    """As last revised."""
    superseded: tuple[str, ...] = ()
    """Ids of base's tests that people named as made wrong by the story: they gate none of its tasks."""
    assessed: StoryAssessed | None = None
    """Of the text as it is now."""
    planned: StoryPlanned | None = None
    revision: int = 0
    """Plans that there were, the one that stands included."""
    approved: PlanApproved | None = None
    round: int = 0
    """Plans that were approved."""
    steps: tuple[Step, ...] = ()
    """The course of the plan, merges included."""
    released: tuple[TaskId, ...] = ()
    decided: dict[TaskId, TaskDecided] = {}
    """Both of this round."""
    continued: dict[TaskId, TaskId] = {}
    """By the task that took its place, one that ended without a commit; also of this round."""
    usage: Usage = Usage()
    """Of all rounds, coach and planner included."""
    told: tuple[str, ...] = ()
    """What people said of plans and results, the oldest first: whoever tries again must know."""
    failed: StepFailed | None = None
    """Why it does not go on; a person may ask for the step again."""
    waits: bool = False
    """For a person to ask for the next plan."""
    word: Word | None = None
    """The last one."""
    traceparent: str = ""
    """Of the submission: all that happens for the story, and for its tasks, belongs to its trace."""

    @property
    def tasks(self) -> tuple[TaskId, ...]:
        """Of the plan as it is now, merges included; of those that were continued, the last."""
        return tuple(step.task_id for step in self.steps)

    @property
    def reason(self) -> str:
        """Of the person's word; empty when there is none."""
        return self.word.reason if self.word else ""

    @property
    def running(self) -> int:
        """Tasks that are released and not decided."""
        return len(self.released) - len(self.decided)

    @property
    def result(self) -> TaskId | None:
        """The task whose commit has everything; None unless all tasks ended with a commit, or with a document where
        that was asked for."""
        ended = self.steps and all(self._ended_well(task) for task in self.tasks)
        return next((step.task_id for step in self.steps if step.last), None) if ended else None

    def _ended_well(self, task: TaskId) -> bool:
        if self.submitted.kind is TaskKind.ANALYSIS:
            return task in self.decided and self.decided[task].state == State.DECIDED
        return self.commit(task) is not None

    def commit(self, task: TaskId) -> CommitId | None:
        """What `task` was decided with; None before, and when it ended without one."""
        end = self.decided.get(task)
        return end.commit if end is not None and end.state == State.DECIDED else None

    def may_continue(self, task: TaskId) -> bool:
        """Whether a task that goes on with the candidates of `task`, which has ended, takes its place: nothing was
        released that builds on it."""
        return self.state in LIFE_CYCLE[TaskContinued] and task in self.tasks and not self._ended_well(task)

    def blocked(self) -> frozenset[TaskId]:
        """Tasks that build on something that did not come about."""
        found: set[TaskId] = set()
        for step in self.steps:
            if any(t in found or (t in self.decided and not self.commit(t)) for t in step.starts_from):
                found.add(step.task_id)
        return frozenset(found)

    def ready(self) -> tuple[Step, ...]:
        """What may be released now, whatever the limits say; nothing once releasing has failed."""
        if self.failed is not None and self.failed.step == "release":
            return ()
        waiting = (step for step in self.steps if step.task_id not in self.released)
        return tuple(step for step in waiting if all(self.commit(task) for task in step.starts_from))


# --- guards ------------------------------------------------------------------------------------------------------


def check(story: Story, fact: Fact) -> None:
    """Writers ask before they append. Raises FailedPrecondition naming the guard."""
    allowed = LIFE_CYCLE.get(type(fact), ())
    if story.state not in allowed:
        now = _WORDS.get(story.state, story.state)
        raise FailedPrecondition("life_cycle", f"the story is {now}: {_needs(fact, allowed)}")
    match fact:
        case StoryPlanned():
            _guard_plan(story, fact)
        case StepFailed():
            _guard_failure(story, fact)
        case TaskReleased():
            _guard_release(story, fact.spec.task_id)
        case TaskContinued():
            _guard_continuation(story, fact)
        case TaskDecided():
            _guard_decision(story, fact.task_id)
        case StoryAccepted() if story.result is None:
            raise FailedPrecondition("nothing_to_accept", "not every task ended with a chosen commit")


def expect_revision(story: Story, seen: int | None) -> None:
    """A person's word on a plan is meant for the one that he saw, if he says which.

    Raises FailedPrecondition (`plan_changed`) when there was another one since.
    """
    if seen is not None and seen != story.revision:
        problem = f"revision {seen} of the plan is meant, and it is at revision {story.revision}: look at it first"
        raise FailedPrecondition("plan_changed", problem)


def expect_round(story: Story, seen: int | None) -> None:
    """The same for a result. Raises FailedPrecondition (`round_changed`)."""
    if seen is not None and seen != story.round:
        problem = f"round {seen} of the story is meant, and it is in round {story.round}: look at it first"
        raise FailedPrecondition("round_changed", problem)


def refusal(story: Story, fact: Fact) -> str:
    """Why `fact` cannot follow, in words; empty when it can."""
    try:
        check(story, fact)
    except FailedPrecondition as error:
        return str(error)
    return ""


def _needs(fact: Fact, allowed: tuple[StoryState, ...]) -> str:
    verb = fact.type_name.split(".")[-2]
    states = " or ".join(_WORDS.get(state, state) for state in allowed)
    return f"{verb!r} has no place here" if not allowed else f"{verb!r} needs it to be {states}"


def _guard_plan(story: Story, fact: StoryPlanned) -> None:
    if not fact.tasks:
        raise FailedPrecondition("empty_plan", "a plan has at least one task")
    if fact.plan is not None and not _identified(fact.plan, fact.tasks):
        raise FailedPrecondition("identified", "the plan and its tasks do not have the same ids")
    if fact.how == Planning.MODEL:
        guard_assessment(story)


def _identified(plan: Plan, tasks: tuple[TaskId, ...]) -> bool:
    return set(plan.ids) == {task.name for task in plan.tasks} and set(plan.ids.values()) == set(tasks)


def guard_assessment(story: Story) -> None:
    """Raises FailedPrecondition unless the coach finds the story good enough for a model's plan."""
    said = story.assessed
    if said is None:
        raise FailedPrecondition("assessed", "a model plans a story that the coach has assessed")
    if said.assessment.score < said.threshold:
        raise FailedPrecondition(
            "assessed",
            f"the coach gives it {said.assessment.score} of 100, and {story.submitted.rigor} needs {said.threshold}: "
            "answer its questions by revising the story, or give a plan of your own",
        )


def _guard_failure(story: Story, fact: StepFailed) -> None:
    if (fact.step == "release") != (story.state in UNDER_WAY):
        raise FailedPrecondition("step", f"{fact.step!r} is no step of a story that is {story.state}")


def _guard_release(story: Story, task: TaskId) -> None:
    step = next((step for step in story.steps if step.task_id == task), None)
    if step is None:
        raise FailedPrecondition("not_in_plan", f"task {task} is not in the story's plan")
    if task in story.released:
        raise FailedPrecondition("once", f"task {task} was released before")
    for source in step.starts_from:
        if not story.commit(source):
            raise FailedPrecondition("not_ready", f"task {task} starts from task {source}, which has no commit")


def _guard_continuation(story: Story, fact: TaskContinued) -> None:
    if fact.task_id in story.released:
        raise FailedPrecondition("once", f"task {fact.task_id} was released before")
    if not story.may_continue(fact.continues):
        raise FailedPrecondition("continues", f"task {fact.continues} is not in the plan, or has a commit")
    if fact.continues not in story.decided:
        raise FailedPrecondition("continues", f"task {fact.continues} has not ended")


def _guard_decision(story: Story, task: TaskId) -> None:
    if task not in story.tasks:
        raise FailedPrecondition("not_in_plan", f"task {task} is not in the story's plan")
    if task in story.decided:
        raise FailedPrecondition("once", f"task {task} was decided before")
    if task not in story.released:
        raise FailedPrecondition("not_released", f"task {task} was not released")

"""What planning does next in a story, from its fold alone. Pure."""

from enum import StrEnum

import msgspec

from folkmoot.kernel.course import Step, identified
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import PlanApproved, StepFailed, StoryPlanned, TaskReleased
from folkmoot.kernel.ids import CommitId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, PlannedTask, Planning, united
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import MAX_SPEC_BYTES, TaskKind, TaskSpec
from folkmoot.kernel.wishes import inherited

TOLD_CHARS = 6_000
"""Of what people said of earlier tries, the newest first."""
RELEASED_BYTES = MAX_SPEC_BYTES + 6 * 1024
"""Of a task with what it starts from, and what people said: it must fit into an event with its envelope."""

AUTOPILOT = "autopilot"


class Ask(StrEnum):
    """A step that needs more than the log: a model, or the repository."""

    ASSESS = "assess"
    PLAN = "plan"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """As `PlanningSettings` has them."""

    tasks_in_flight: int
    story_tokens: int = 0
    """0: none."""


def due(story: Story, limits: Limits) -> Ask | Fact | None:
    """What somebody is to do, or the fact to append; None when a person, or a task, is waited for."""
    if story.failed is not None or story.waits:
        return None
    match story.state:
        case StoryState.SUBMITTED | StoryState.ASSESSED:
            return _plan(story)
        case StoryState.PLANNED if story.submitted.autopilot:
            return PlanApproved(actor=AUTOPILOT, automatic=True)
        case StoryState.APPROVED | StoryState.RELEASED:
            return _release(story, limits)
    return None


def _plan(story: Story) -> Ask | Fact | None:
    match story.submitted.planning:
        case Planning.SINGLE:
            return single(story)
        case Planning.GIVEN:
            return Ask.PLAN
    if story.assessed is None:
        return Ask.ASSESS
    return Ask.PLAN if story.assessed.assessment.score >= story.assessed.threshold else None


def single(story: Story) -> StoryPlanned:
    """The story as its one task."""
    task = PlannedTask(
        name="story",
        title=story.title,
        text=story.text,
        role=story.submitted.role,
        council=story.submitted.council,
        checks=story.checks,
    )
    return planned(story, Plan(tasks=(task,)), how=Planning.SINGLE, actor="planning")


def planned(
    story: Story,
    plan: Plan,
    *,
    how: str,
    actor: str,
    base: CommitId | None = None,
    model: str = "",
    repairs: int = 0,
    usage: Usage = Usage(),  # noqa: B008 -- frozen
) -> StoryPlanned:
    """The fact that `plan`, which is sound, is the story's."""
    plan = identified(plan, story.story_id, story.round + 1)
    tasks = tuple(plan.ids.values())
    return StoryPlanned(
        tasks=tasks, how=how, plan=plan, actor=actor, base=base, model=model, repairs=repairs, usage=usage
    )


# --- releasing ---------------------------------------------------------------------------------------------------


def _release(story: Story, limits: Limits) -> Fact | None:
    ready = story.ready()
    if not ready or story.running >= limits.tasks_in_flight:
        return None
    spent = story.usage.prompt_tokens + story.usage.completion_tokens
    if limits.story_tokens and spent >= limits.story_tokens:
        reason = f"the story's budget is spent: {spent} tokens of {limits.story_tokens} (planning.story_tokens)"
        return StepFailed(step="release", reason=reason)
    return TaskReleased(spec=specified(story, ready[0]))


def specified(story: Story, step: Step) -> TaskSpec:
    """The task as it is released; the commits that it starts from are there."""
    base = story.planned.base if story.planned else None
    task = step.task
    spec = msgspec.structs.replace(
        inherited(story),
        task_id=step.task_id,
        title=task.title,
        text=_text(story, step),
        base_ref=base or story.submitted.base_ref,
        checks=united(task.checks, story.checks if step.last else ()),
        kind=step.kind if step.kind is TaskKind.MERGE else story.submitted.kind,
        role=task.role,
        council=task.council,
        paths=task.paths,
        depends_on=step.depends_on,
        merge=tuple(c for t in step.starts_from if (c := story.commit(t))),
    )
    return _fitting(spec)


def _text(story: Story, step: Step) -> str:
    place = f"This is the task {step.task.name!r} in the plan of the story {story.title!r}."
    parts = [step.task.text, place if len(story.steps) > 1 else "", told(story)]
    return "\n\n".join(part for part in parts if part)


def told(story: Story) -> str:
    """What people said of earlier tries; empty when there were none."""
    kept: list[str] = []
    room = TOLD_CHARS
    for line in reversed(story.told):
        kept.append(line[:room])
        room -= len(kept[-1])
        if room <= 0:
            break
    return "\n\n".join(["# What was said of earlier tries", *reversed(kept)]) if kept else ""


def _fitting(spec: TaskSpec) -> TaskSpec:
    """What was put behind a task's own text gives way, and in a merge the words of the merged tasks."""
    while spec.text and len(msgspec.json.encode(spec)) > RELEASED_BYTES:
        spec = msgspec.structs.replace(spec, text=spec.text[:-100])
    return spec

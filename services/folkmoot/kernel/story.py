"""A story from its events: the fold. Pure."""

from collections.abc import Iterable

import msgspec

from folkmoot.kernel.course import Step, course
from folkmoot.kernel.errors import BrokenChain, NotFound
from folkmoot.kernel.events import START, Fact, Stored, follows
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
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import UNDER_WAY, Story, StoryState, refusal
from folkmoot.kernel.plan import Plan, PlannedTask, Planning, united


def fold(events: Iterable[Stored]) -> Story:
    """The state after `events`, all of one subject.

    Raises NotFound when there are none, BrokenChain when one cannot follow the one before it.
    """
    remaining = iter(events)
    first = next(remaining, None)
    if first is None:
        raise NotFound("there is no such story")
    story = begin(first)
    for stored in remaining:
        story = apply(story, stored)
    return story


def begin(stored: Stored) -> Story:
    """The state after the first event. Raises BrokenChain when it is not a submission."""
    follows(START, stored)
    fact = stored.event.data
    if not isinstance(fact, StorySubmitted):
        raise BrokenChain(f"{stored.event.subject}: message {stored.seq}: the first event is not the submission")
    return Story(
        story_id=StoryId(stored.event.subject.rpartition(".")[2]),
        submitted=fact,
        created_at=stored.event.time,
        head=stored.head,
        title=fact.title,
        text=fact.text,
        checks=fact.checks,
        superseded=fact.superseded,
        traceparent=stored.event.traceparent,
    )


def apply(story: Story, stored: Stored) -> Story:
    """The state after one more event. Raises BrokenChain when it cannot follow."""
    follows(story.head, stored)
    if problem := refusal(story, stored.event.data):
        raise BrokenChain(f"{stored.event.subject}: message {stored.seq}: {problem}")
    return msgspec.structs.replace(after(story, stored.event.data), head=stored.head)


def after(story: Story, fact: Fact) -> Story:
    """The story with `fact` in it, which `check` let pass."""
    change = msgspec.structs.replace
    match fact:
        case StoryAssessed():
            state = StoryState.ASSESSED if story.state is StoryState.SUBMITTED else story.state
            return change(story, assessed=fact, state=state, failed=None, usage=story.usage.plus(fact.usage))
        case StoryPlanned():
            return _planned(story, fact)
        case PlanApproved():
            approved = change(story, approved=fact, round=story.round + 1, state=StoryState.APPROVED, failed=None)
            return _superseding(approved, fact.superseded)
        case StepFailed():
            return _rested(change(story, failed=fact, usage=story.usage.plus(fact.usage)))
        case TaskReleased():
            released = (*story.released, fact.spec.task_id)
            return change(story, released=released, state=StoryState.RELEASED)
        case TaskContinued():
            return _continued(story, fact)
        case TaskDecided():
            decided = story.decided | {fact.task_id: fact}
            return _rested(change(story, decided=decided, usage=story.usage.plus(fact.usage)))
    return _spoken(story, fact)


def _spoken(story: Story, fact: Fact) -> Story:
    """The story after what a person said of it."""
    change = msgspec.structs.replace
    match fact:
        case StoryRevised():
            story = _unplanned(_told(story, "The story was revised", fact.reason), StoryState.SUBMITTED)
            words = {"title": fact.title, "text": fact.text, "checks": fact.checks}
            story = change(story, **words, assessed=None, waits=False, word=None)
            return _superseding(_gated(story, fact.gating), fact.superseded)
        case PlanRejected():
            state = StoryState.ASSESSED if story.assessed else StoryState.SUBMITTED
            story = _unplanned(_told(story, "A plan was rejected", fact.reason), state)
            return change(story, waits=story.submitted.planning is not Planning.MODEL)
        case StorySentBack():
            told = _told(story, f"The result of round {story.round} was sent back", fact.reason)
            return change(told, word=fact, waits=True, state=StoryState.SENT_BACK)
        case StoryAccepted():
            return change(story, word=fact, state=StoryState.ACCEPTED)
        case StoryCarriedOver():
            return change(story, word=fact, state=StoryState.CARRIED_OVER)
        case StoryCancelled():
            return change(story, word=fact, state=StoryState.CANCELLED)
    raise AssertionError(f"`check` let {fact.type_name} pass")


def _planned(story: Story, fact: StoryPlanned) -> Story:
    """Logs that are older than plans say only which tasks there are, and that is approved."""
    old = fact.plan is None
    story = _unplanned(story, StoryState.APPROVED if old else StoryState.PLANNED)
    plan = fact.plan or _of_old(story, fact)
    steps = course(plan, story.story_id, story.round + 1)
    usage = story.usage.plus(fact.usage)
    story = msgspec.structs.replace(story, planned=fact, steps=steps, waits=False, word=None, usage=usage)
    story = msgspec.structs.replace(story, revision=story.revision + 1)
    return msgspec.structs.replace(story, round=story.round + 1) if old else story


def _of_old(story: Story, fact: StoryPlanned) -> Plan:
    tasks = {f"task-{n}": task for n, task in enumerate(fact.tasks, start=1)}
    planned = (PlannedTask(name=n, title=story.title, text=story.text, checks=story.checks) for n in tasks)
    return Plan(tasks=tuple(planned), ids=tasks)


def _unplanned(story: Story, state: StoryState) -> Story:
    return msgspec.structs.replace(
        story, state=state, planned=None, approved=None, steps=(), released=(), decided={}, continued={}, failed=None
    )


def _continued(story: Story, fact: TaskContinued) -> Story:
    """What waited for the earlier task waits for the one that took its place."""
    return msgspec.structs.replace(
        story,
        state=StoryState.RELEASED,
        steps=tuple(_with(step, fact.continues, fact.task_id) for step in story.steps),
        released=(*story.released, fact.task_id),
        continued=story.continued | {fact.task_id: fact.continues},
    )


def _with(step: Step, old: TaskId, new: TaskId) -> Step:
    def named(task: TaskId) -> TaskId:
        return new if task == old else task

    return msgspec.structs.replace(
        step,
        task_id=named(step.task_id),
        starts_from=tuple(map(named, step.starts_from)),
        depends_on=tuple(map(named, step.depends_on)),
    )


def _superseding(story: Story, tests: tuple[str, ...]) -> Story:
    return msgspec.structs.replace(story, superseded=united(story.superseded, tests)) if tests else story


def _gated(story: Story, tests: tuple[str, ...]) -> Story:
    return msgspec.structs.replace(story, superseded=tuple(t for t in story.superseded if t not in tests))


def _told(story: Story, what: str, reason: str) -> Story:
    line = f"{what}: {reason}" if reason.strip() else ""
    return msgspec.structs.replace(story, told=(*story.told, line)) if line else story


def _rested(story: Story) -> Story:
    """Decided, when nothing runs and nothing more can be released."""
    if story.state in UNDER_WAY and not story.running and not story.ready():
        return msgspec.structs.replace(story, state=StoryState.DECIDED)
    return story

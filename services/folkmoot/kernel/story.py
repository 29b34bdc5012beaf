"""The life of a story: one table of what may follow what, its guards, and the fold. Pure.

submitted -> planned -> released -> decided -> accepted | sent back
and cancelled from every state before the product owner's word
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START, Fact, Head, Stored, follows
from folkmoot.kernel.facts import (
    StoryAccepted,
    StoryCancelled,
    StoryPlanned,
    StorySentBack,
    StorySubmitted,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.result import State


class StoryState(StrEnum):
    SUBMITTED = "submitted"
    PLANNED = "planned"
    RELEASED = "released"
    DECIDED = "decided"
    ACCEPTED = "accepted"
    SENT_BACK = "sent_back"
    CANCELLED = "cancelled"


class Wish(StrEnum):
    """What a person may do with a story."""

    ACCEPT = "accept"
    SEND_BACK = "send_back"
    CANCEL = "cancel"


LIFE_CYCLE: dict[type[Fact], tuple[StoryState, ...]] = {
    StoryPlanned: (StoryState.SUBMITTED,),
    TaskReleased: (StoryState.PLANNED, StoryState.RELEASED),
    TaskDecided: (StoryState.RELEASED,),
    StoryAccepted: (StoryState.DECIDED,),
    StorySentBack: (StoryState.DECIDED,),
    StoryCancelled: (StoryState.SUBMITTED, StoryState.PLANNED, StoryState.RELEASED, StoryState.DECIDED),
}
"""The states in which each fact may happen. `submitted` is only ever the first."""

_WORDS: dict[StoryState, str] = {StoryState.SENT_BACK: "sent back"}


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Where a story stands after its last event."""

    story_id: StoryId
    submitted: StorySubmitted
    created_at: datetime
    head: Head
    tasks: tuple[TaskId, ...] = ()
    released: tuple[TaskId, ...] = ()
    decided: dict[TaskId, TaskDecided] = {}
    word: StoryAccepted | StorySentBack | StoryCancelled | None = None
    """The last one: a person's."""

    @property
    def state(self) -> StoryState:
        return _state(self)

    @property
    def reason(self) -> str:
        """Of the person's word; empty when there is none."""
        return self.word.reason if self.word else ""


def _state(story: Story) -> StoryState:
    match story.word:
        case StoryAccepted():
            return StoryState.ACCEPTED
        case StorySentBack():
            return StoryState.SENT_BACK
        case StoryCancelled():
            return StoryState.CANCELLED
    if not story.tasks:
        return StoryState.SUBMITTED
    if len(story.decided) == len(story.tasks):
        return StoryState.DECIDED
    return StoryState.RELEASED if story.released else StoryState.PLANNED


# --- fold --------------------------------------------------------------------------------------------------------


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
    story_id = StoryId(stored.event.subject.rpartition(".")[2])
    return Story(story_id=story_id, submitted=fact, created_at=stored.event.time, head=stored.head)


def apply(story: Story, stored: Stored) -> Story:
    """The state after one more event. Raises BrokenChain when it cannot follow."""
    follows(story.head, stored)
    if problem := refusal(story, stored.event.data):
        raise BrokenChain(f"{stored.event.subject}: message {stored.seq}: {problem}")
    return msgspec.structs.replace(_after(story, stored.event.data), head=stored.head)


def _after(story: Story, fact: Fact) -> Story:
    change = msgspec.structs.replace
    match fact:
        case StoryPlanned():
            return change(story, tasks=fact.tasks)
        case TaskReleased():
            return change(story, released=(*story.released, fact.spec.task_id))
        case TaskDecided():
            return change(story, decided=story.decided | {fact.task_id: fact})
        case StoryAccepted() | StorySentBack() | StoryCancelled():
            return change(story, word=fact)
    raise AssertionError(f"`check` let {fact.type_name} pass")


# --- guards ------------------------------------------------------------------------------------------------------


def check(story: Story, fact: Fact) -> None:
    """Writers ask before they append. Raises FailedPrecondition naming the guard."""
    allowed = LIFE_CYCLE.get(type(fact), ())
    if story.state not in allowed:
        now = _WORDS.get(story.state, story.state)
        raise FailedPrecondition("life_cycle", f"the story is {now}: {_needs(fact, allowed)}")
    match fact:
        case StoryPlanned() if not fact.tasks:
            raise FailedPrecondition("empty_plan", "a plan has at least one task")
        case TaskReleased():
            _guard_task(story, fact.spec.task_id, done=story.released, word="released")
        case TaskDecided():
            _guard_task(story, fact.task_id, done=tuple(story.decided), word="decided")
        case StoryAccepted() if not all(d.state == State.DECIDED for d in story.decided.values()):
            raise FailedPrecondition("nothing_to_accept", "not every task ended with a chosen commit")


def refusal(story: Story, fact: Fact) -> str:
    """Why `fact` cannot follow, in words; empty when it can."""
    try:
        check(story, fact)
    except FailedPrecondition as error:
        return str(error)
    return ""


def _needs(fact: Fact, allowed: tuple[StoryState, ...]) -> str:
    verb = fact.type_name.split(".")[-2]
    return f"{verb!r} has no place here" if not allowed else f"{verb!r} needs it to be {' or '.join(allowed)}"


def _guard_task(story: Story, task: TaskId, *, done: tuple[TaskId, ...], word: str) -> None:
    if task not in story.tasks:
        raise FailedPrecondition("not_in_plan", f"task {task} is not in the story's plan")
    if task in done:
        raise FailedPrecondition("once", f"task {task} was {word} before")
    if word == "decided" and task not in story.released:
        raise FailedPrecondition("not_released", f"task {task} was not released")


def transition(story: Story, wish: Wish, *, actor: str, reason: str = "") -> Fact:
    """The fact to append for a person's wish.

    Raises FailedPrecondition naming the guard, InvalidInput when a story is sent back without a reason.
    """
    if wish is Wish.SEND_BACK and not reason.strip():
        raise InvalidInput("reason", "is empty: say what is wrong with the result")
    fact: Fact = _FACT_OF[wish](actor=actor, reason=reason)
    check(story, fact)
    return fact


_FACT_OF: dict[Wish, type[StoryAccepted] | type[StorySentBack] | type[StoryCancelled]] = {
    Wish.ACCEPT: StoryAccepted,
    Wish.SEND_BACK: StorySentBack,
    Wish.CANCEL: StoryCancelled,
}

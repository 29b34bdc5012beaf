from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Event, Fact, Stored
from folkmoot.kernel.facts import (
    StoryAccepted,
    StoryCancelled,
    StoryPlanned,
    StorySentBack,
    StorySubmitted,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import CommitId, StoryId, TaskId
from folkmoot.kernel.story import LIFE_CYCLE, Story, StoryState, Wish, check, fold, refusal, transition
from folkmoot.kernel.task import Rigor, TaskSpec

T1, T2 = TaskId("t-1"), TaskId("t-2")
SUBMITTED = StorySubmitted(actor="ann", title="t", text="x", repository="/r", agents=3, rigor=Rigor.L1, digest="d")
PLANNED = StoryPlanned(tasks=(T1, T2), how="split")


def released(task: TaskId) -> TaskReleased:
    return TaskReleased(
        spec=TaskSpec(task_id=task, story_id=StoryId("s-1"), title="t", text="x", repository="/r", agents=3)
    )


def decided(task: TaskId, state: str = "decided") -> TaskDecided:
    return TaskDecided(task_id=task, state=state, commit=CommitId("c" * 40))


DECIDED = (SUBMITTED, PLANNED, released(T1), released(T2), decided(T1), decided(T2))


def after(*facts: Fact) -> Story:
    return fold(chain(facts))


def chain(facts: Sequence[Fact]) -> list[Stored]:
    return [
        Stored(
            seq=n + 1,
            digest=f"d{n}",
            event=Event(
                id=str(n),
                source="/planning/one",
                type=fact.type_name,
                subject="agile.events.s-1",
                time=datetime(2026, 1, 2, tzinfo=UTC),
                data=fact,
                prevdigest=f"d{n - 1}" if n else "",
            ),
        )
        for n, fact in enumerate(facts)
    ]


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (DECIDED[:1], StoryState.SUBMITTED),
        (DECIDED[:2], StoryState.PLANNED),
        (DECIDED[:3], StoryState.RELEASED),
        (DECIDED[:5], StoryState.RELEASED),
        (DECIDED, StoryState.DECIDED),
        ((*DECIDED, StoryAccepted(actor="ann")), StoryState.ACCEPTED),
        ((*DECIDED, StorySentBack(actor="ann", reason="no")), StoryState.SENT_BACK),
        ((*DECIDED[:3], StoryCancelled(actor="ann")), StoryState.CANCELLED),
    ],
)
def test_the_state_follows_the_facts(facts: tuple[Fact, ...], state: StoryState) -> None:
    """A poll's answer is the fold's."""
    assert after(*facts).state is state
    assert after(*facts).story_id == "s-1"


@pytest.mark.parametrize(
    ("facts", "fact", "guard"),
    [
        (DECIDED[:1], released(T1), "life_cycle"),
        (DECIDED[:1], SUBMITTED, "life_cycle"),
        (DECIDED[:1], StoryPlanned(tasks=(), how="none"), "empty_plan"),
        (DECIDED[:2], PLANNED, "life_cycle"),
        (DECIDED[:2], released(TaskId("t-9")), "not_in_plan"),
        (DECIDED[:3], released(T1), "once"),
        (DECIDED[:3], decided(T2), "not_released"),
        (DECIDED[:5], decided(T1), "once"),
        (DECIDED[:5], StoryAccepted(actor="ann"), "life_cycle"),
        ((*DECIDED[:5], decided(T2, "abstained")), StoryAccepted(actor="ann"), "nothing_to_accept"),
        ((*DECIDED, StoryAccepted(actor="ann")), StoryCancelled(actor="ann"), "life_cycle"),
    ],
)
def test_a_guard_says_no_by_name_to_writers_and_stops_folds(facts: tuple[Fact, ...], fact: Fact, guard: str) -> None:
    """One table for both: what may not be written cannot be in the log."""
    with pytest.raises(FailedPrecondition) as caught:
        check(after(*facts), fact)
    assert caught.value.guard == guard
    assert refusal(after(*facts), fact).startswith(guard)
    with pytest.raises(BrokenChain, match=guard):
        after(*facts, fact)


def test_wishes_become_facts() -> None:
    """Who and why are kept."""
    story = after(*DECIDED)
    assert transition(story, Wish.ACCEPT, actor="ann") == StoryAccepted(actor="ann")
    assert transition(story, Wish.SEND_BACK, actor="ann", reason="slow") == StorySentBack(actor="ann", reason="slow")
    assert transition(after(SUBMITTED), Wish.CANCEL, actor="ann") == StoryCancelled(actor="ann")


def test_sending_back_needs_a_reason() -> None:
    """The next try learns from it."""
    with pytest.raises(InvalidInput) as caught:
        transition(after(*DECIDED), Wish.SEND_BACK, actor="ann", reason=" ")
    assert caught.value.field == "reason"


def test_a_wish_at_the_wrong_time_says_what_it_needs() -> None:
    """The refusal tells the state and the way out."""
    with pytest.raises(FailedPrecondition, match="the story is submitted: 'accepted' needs it to be decided"):
        transition(after(SUBMITTED), Wish.ACCEPT, actor="ann")


def test_the_table_has_every_fact_of_a_story() -> None:
    """A new fact cannot be forgotten."""
    words: set[type[Fact]] = {StoryAccepted, StorySentBack, StoryCancelled}
    assert {StoryPlanned, TaskReleased, TaskDecided} | words == set(LIFE_CYCLE)


def test_an_empty_or_headless_subject_is_no_story() -> None:
    """Not found for the caller; broken for the log."""
    with pytest.raises(NotFound):
        fold([])
    with pytest.raises(BrokenChain, match="not the submission"):
        after(PLANNED)

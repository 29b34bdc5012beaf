import inspect
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel import lifecycle
from folkmoot.kernel.course import identified
from folkmoot.kernel.due import RELEASED_BYTES, Limits, due, single
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Event, Fact, Stored
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
from folkmoot.kernel.lifecycle import LIFE_CYCLE, Story, StoryState, check, refusal
from folkmoot.kernel.plan import Assessment, Plan, PlannedTask, Planning
from folkmoot.kernel.result import Usage
from folkmoot.kernel.story import fold
from folkmoot.kernel.task import Rigor, TaskSpec
from folkmoot.kernel.wishes import Wish, revision, spoken, successor, successor_id
from folkmoot.planning import journal, stories

S1 = StoryId("s-1")
SUBMITTED = StorySubmitted(actor="ann", title="t", text="x", repository="/r", agents=3, rigor=Rigor.L1, digest="d")
BY_MODEL = msgspec.structs.replace(SUBMITTED, planning=Planning.MODEL, autopilot=False)


def assessed(score: int) -> StoryAssessed:
    said = Assessment(clarity=score, testability=score, size=score, score=score, summary="s")
    return StoryAssessed(actor="coach", assessment=said, threshold=75, model="m")


def planned(round_: int = 1, how: str = "model") -> StoryPlanned:
    """Two tasks, the second behind the first."""
    tasks = (
        PlannedTask(name="one", title="One", text="1", paths=("a.py",)),
        PlannedTask(name="two", title="Two", text="2", after=("one",), paths=("a.py",)),
    )
    plan = identified(Plan(tasks=tasks), S1, round_)
    return StoryPlanned(tasks=tuple(plan.ids.values()), how=how, plan=plan)


PLANNED = planned()
T1, T2 = PLANNED.tasks
T3 = TaskId("t-3")
"""Goes on with another."""
APPROVED = PlanApproved(actor="ann")
COMMIT = CommitId("c" * 40)


def released(task: TaskId) -> TaskReleased:
    return TaskReleased(spec=TaskSpec(task_id=task, story_id=S1, title="t", text="x", repository="/r", agents=3))


def decided(task: TaskId, state: str = "decided") -> TaskDecided:
    commit = COMMIT if state == "decided" else None
    return TaskDecided(task_id=task, state=state, commit=commit, usage=Usage(prompt_tokens=7, completion_tokens=3))


DECIDED = (
    BY_MODEL,
    assessed(80),
    PLANNED,
    APPROVED,
    released(T1),
    decided(T1),
    released(T2),
    decided(T2),
)
ABSTAINED = (*DECIDED[:5], decided(T1, "abstained"))
ACCEPTED = StoryAccepted(actor="ann")
SENT_BACK = StorySentBack(actor="ann", reason="no")
CANCELLED = StoryCancelled(actor="ann")
CARRIED_OVER = StoryCarriedOver(actor="ann", into=StoryId("s-2"), reason="later")
REVISED = StoryRevised(actor="ann", title="t2", text="x2", checks=("true",), reason="clearer")
REJECTED = PlanRejected(actor="ann", reason="too many tasks")
FAILED = StepFailed(step="plan", reason="the model is away")
SPENT = StepFailed(step="release", reason="budget")


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
        (DECIDED[:2], StoryState.ASSESSED),
        (DECIDED[:3], StoryState.PLANNED),
        ((*DECIDED[:3], assessed(10)), StoryState.PLANNED),
        ((*DECIDED[:3], planned()), StoryState.PLANNED),
        ((*DECIDED[:3], REJECTED), StoryState.ASSESSED),
        ((*DECIDED[:3], REVISED), StoryState.SUBMITTED),
        ((*DECIDED[:2], FAILED), StoryState.ASSESSED),
        (DECIDED[:4], StoryState.APPROVED),
        ((*DECIDED[:4], SPENT), StoryState.DECIDED),
        (DECIDED[:5], StoryState.RELEASED),
        ((*DECIDED[:5], SPENT), StoryState.RELEASED),
        ((*DECIDED[:5], SPENT, decided(T1)), StoryState.DECIDED),
        (DECIDED[:6], StoryState.RELEASED),
        (ABSTAINED, StoryState.DECIDED),
        ((*ABSTAINED, TaskContinued(task_id=T3, continues=T1)), StoryState.RELEASED),
        ((*ABSTAINED, TaskContinued(task_id=T3, continues=T1), decided(T3, "abstained")), StoryState.DECIDED),
        ((*ABSTAINED, TaskContinued(task_id=T3, continues=T1), decided(T3)), StoryState.RELEASED),
        (DECIDED, StoryState.DECIDED),
        ((*DECIDED, ACCEPTED), StoryState.ACCEPTED),
        ((*DECIDED, SENT_BACK), StoryState.SENT_BACK),
        ((*DECIDED, SENT_BACK, REVISED), StoryState.SUBMITTED),
        ((*DECIDED, SENT_BACK, planned(2)), StoryState.PLANNED),
        ((*DECIDED, SENT_BACK, CARRIED_OVER), StoryState.CARRIED_OVER),
        ((*DECIDED[:5], CANCELLED), StoryState.CANCELLED),
    ],
)
def test_the_state_follows_the_facts(facts: tuple[Fact, ...], state: StoryState) -> None:
    """A poll's answer is the fold's."""
    assert after(*facts).state is state
    assert after(*facts).story_id == S1


@pytest.mark.parametrize(
    ("facts", "fact", "guard"),
    [
        (DECIDED[:1], released(T1), "life_cycle"),
        (DECIDED[:1], SUBMITTED, "life_cycle"),
        (DECIDED[:1], PLANNED, "assessed"),
        ((BY_MODEL, assessed(74)), PLANNED, "assessed"),
        (DECIDED[:2], StoryPlanned(tasks=(), how="none"), "empty_plan"),
        (DECIDED[:2], StoryPlanned(tasks=(T1,), how="model", plan=Plan(tasks=())), "identified"),
        (DECIDED[:2], msgspec.structs.replace(PLANNED, plan=Plan(tasks=PLANNED.plan.tasks)), "identified"),  # type: ignore[union-attr]
        (DECIDED[:2], APPROVED, "life_cycle"),
        (DECIDED[:3], released(T1), "life_cycle"),
        (DECIDED[:3], SPENT, "step"),
        (DECIDED[:4], PLANNED, "life_cycle"),
        (DECIDED[:4], FAILED, "step"),
        (DECIDED[:4], CARRIED_OVER, "life_cycle"),
        (DECIDED[:4], released(TaskId("t-9")), "not_in_plan"),
        (DECIDED[:4], released(T2), "not_ready"),
        (DECIDED[:5], released(T1), "once"),
        (DECIDED[:5], released(T2), "not_ready"),
        (DECIDED[:5], decided(T2), "not_released"),
        (DECIDED[:5], decided(TaskId("t-9")), "not_in_plan"),
        (DECIDED[:6], decided(T1), "once"),
        (DECIDED[:5], TaskContinued(task_id=T3, continues=T1), "continues"),
        (DECIDED[:6], TaskContinued(task_id=T3, continues=T1), "continues"),
        (DECIDED[:6], TaskContinued(task_id=T3, continues=TaskId("t-9")), "continues"),
        (ABSTAINED, TaskContinued(task_id=T1, continues=T1), "once"),
        (ABSTAINED[:4], TaskContinued(task_id=T3, continues=T1), "life_cycle"),
        ((*ABSTAINED, TaskContinued(task_id=T3, continues=T1)), ACCEPTED, "life_cycle"),
        (DECIDED[:6], ACCEPTED, "life_cycle"),
        ((*DECIDED[:7], decided(T2, "abstained")), ACCEPTED, "nothing_to_accept"),
        ((*DECIDED, ACCEPTED), CANCELLED, "life_cycle"),
        ((*DECIDED, CANCELLED), REVISED, "life_cycle"),
        ((*DECIDED, CARRIED_OVER), REVISED, "life_cycle"),
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


def test_a_person_may_plan_what_the_coach_does_not_like() -> None:
    """The threshold holds back models, not people."""
    assert after(BY_MODEL, assessed(3), planned(how="edited")).state is StoryState.PLANNED


def test_a_log_from_before_plans_is_one_approved_task() -> None:
    """It goes on under this version, from wherever it stood."""
    old = TaskId("t-old")
    facts = (SUBMITTED, StoryPlanned(tasks=(old,), how="single"))
    assert (after(*facts).state, after(*facts).tasks, after(*facts).round) == (StoryState.APPROVED, (old,), 1)
    ended = after(*facts, released(old), decided(old))
    assert (ended.state, ended.result) == (StoryState.DECIDED, old)
    assert after(*facts, released(old), decided(old), ACCEPTED).state is StoryState.ACCEPTED


def test_the_result_is_the_last_tasks_commit_and_only_when_all_have_one() -> None:
    """What a person accepts has everything in it."""
    assert after(*DECIDED).result == T2
    assert after(*DECIDED[:6]).result is None
    assert after(*DECIDED[:7], decided(T2, "failed")).result is None


def test_a_round_begins_anew_and_keeps_what_was_said() -> None:
    """Other tasks, the same bill, and every reason for whoever tries again."""
    again = after(
        *DECIDED[:3], REJECTED, planned(), *DECIDED[3:], SENT_BACK, REVISED, assessed(90), planned(2), APPROVED
    )
    assert (again.round, again.state, again.released) == (2, StoryState.APPROVED, ())
    assert not set(again.tasks) & {T1, T2}
    assert (again.title, again.text, again.checks) == ("t2", "x2", ("true",))
    assert again.usage.prompt_tokens == 14
    assert again.told == (
        "A plan was rejected: too many tasks",
        "The result of round 1 was sent back: no",
        "The story was revised: clearer",
    )


def test_what_builds_on_what_did_not_come_about_is_blocked() -> None:
    """It will never run, and the story is decided without it."""
    assert after(*DECIDED[:5], decided(T1, "abstained")).blocked() == {T2}
    assert after(*DECIDED[:6]).blocked() == set()


def test_wishes_become_facts() -> None:
    """Who and why are kept."""
    story = after(*DECIDED)
    assert spoken(story, Wish.ACCEPT, actor="ann") == ACCEPTED
    assert spoken(story, Wish.SEND_BACK, actor="ann", reason="no") == SENT_BACK
    assert spoken(story, Wish.CARRY_OVER, actor="ann") == StoryCarriedOver(actor="ann", into=successor_id(S1))
    assert spoken(after(SUBMITTED), Wish.CANCEL, actor="ann") == CANCELLED


@pytest.mark.parametrize(("reason", "problem"), [(" ", "is empty"), ("x" * 4_001, "at most 4000")])
def test_sending_back_needs_a_reason_of_some_length(reason: str, problem: str) -> None:
    """The next try learns from it."""
    with pytest.raises(InvalidInput, match=problem) as caught:
        spoken(after(*DECIDED), Wish.SEND_BACK, actor="ann", reason=reason)
    assert caught.value.field == "reason"


def test_a_wish_at_the_wrong_time_says_what_it_needs() -> None:
    """The refusal tells the state and the way out."""
    with pytest.raises(FailedPrecondition, match="the story is submitted: 'accepted' needs it to be decided"):
        spoken(after(SUBMITTED), Wish.ACCEPT, actor="ann")


def test_a_revision_keeps_what_it_does_not_change_and_is_checked_like_a_story() -> None:
    """Checks are added, never lost."""
    story = after(BY_MODEL, REVISED)
    more = revision(story, actor="bob", checks=("false", "true"))
    assert (more.title, more.text, more.checks) == ("t2", "x2", ("true", "false"))
    with pytest.raises(InvalidInput, match="nothing is revised"):
        revision(story, actor="bob", reason="because")
    with pytest.raises(InvalidInput) as caught:
        revision(story, actor="bob", text="x" * 32_001)
    assert caught.value.field == "text"
    with pytest.raises(FailedPrecondition, match="life_cycle"):
        revision(after(*DECIDED), actor="bob", text="other")


def test_a_successor_says_what_is_left_and_why() -> None:
    """Same wish, same settings, and the history behind the text; however long, it fits."""
    story = after(*DECIDED[:7], decided(T2, "abstained"), SENT_BACK)
    following = successor(story, CARRIED_OVER)
    assert following.carried_from == S1
    assert following.text.startswith("x\n\nCarried over from story s-1.\n\nlater")
    assert "Task 'One': decided" in following.text
    assert "Task 'Two': abstained" in following.text
    assert "sent back: no" in following.text
    assert (following.planning, following.autopilot, following.repository) == (Planning.MODEL, False, "/r")


@pytest.mark.parametrize("text", ["x" * 32_000, "\u8bf7" * 15_800, "\n" * 23_900 + "x", "x" * 31_990])
def test_a_successor_fits_however_long_the_story_is(text: str) -> None:
    """Its own words stay whole; the history gives way."""
    long = msgspec.structs.replace(BY_MODEL, text=text)
    following = successor(after(long, *DECIDED[1:], SENT_BACK), CARRIED_OVER)
    assert following.text.startswith(text)
    assert len(following.text) <= 32_000
    assert len(msgspec.json.encode(following)) < 56 * 1024


def test_a_long_task_keeps_its_own_text_when_it_is_tried_again() -> None:
    """What was said of earlier tries gives way, however much that is."""
    checks = tuple(f"{n:02}" + "c" * 790 for n in range(20))
    long = msgspec.structs.replace(SUBMITTED, text="x" * 32_000, checks=checks)
    revised = StoryRevised(actor="ann", title="t", text=long.text, checks=checks, reason="\U0001f600" * 3_000)
    story = after(long, revised, revised)
    released = due(after(long, revised, revised, single(story), APPROVED), Limits(tasks_in_flight=1))
    assert isinstance(released, TaskReleased)
    assert released.spec.text.startswith(long.text + "\n\n# What was said of earlier tries")
    assert len(msgspec.json.encode(released.spec)) <= RELEASED_BYTES


def test_the_table_has_every_fact_of_a_story() -> None:
    """A new fact cannot be forgotten."""
    told: set[type[Fact]] = {StoryAssessed, StoryRevised, StoryPlanned, PlanApproved, PlanRejected, StepFailed}
    words: set[type[Fact]] = {StoryAccepted, StorySentBack, StoryCancelled, StoryCarriedOver}
    assert told | {TaskReleased, TaskContinued, TaskDecided} | words == set(LIFE_CYCLE)


def test_nothing_follows_the_end() -> None:
    """Accepted, carried over and cancelled are last words."""
    assert {s for s in StoryState if all(s not in states for states in LIFE_CYCLE.values())} == {
        s for s in StoryState if s.terminal
    }


def test_the_document_tells_every_state_and_guard() -> None:
    """A reader of docs/stories.md meets nothing that it does not explain."""
    text = (Path(__file__).parents[2] / "docs" / "stories.md").read_text("utf-8")
    assert all(f"| {state.replace('_', ' ')} |" in text for state in StoryState)
    sources = [inspect.getsource(module) for module in (lifecycle, journal, stories)]
    guards = {guard for source in sources for guard in re.findall(r'FailedPrecondition\(\s*"(\w+)"', source)}
    assert len(guards) > 8
    assert [guard for guard in sorted(guards) if f"`{guard}`" not in text] == []


def test_an_empty_or_headless_subject_is_no_story() -> None:
    """Not found for the caller; broken for the log."""
    with pytest.raises(NotFound):
        fold([])
    with pytest.raises(BrokenChain, match="not the submission"):
        after(PLANNED)

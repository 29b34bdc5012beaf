"""What a person sees of critique, revision, sealed tests and judging."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.spinner import Spinner

from folkmoot.cli import draw, words
from folkmoot.cli.lane import Lane, LaneState
from folkmoot.cli.lanes import View, fold, peers, row
from folkmoot.cli.stories.history import actor
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.evidence import Refusal, SuiteKind
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptStarted,
    Convened,
    DeliberationEnded,
    Examined,
    Judged,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Seat,
    Stage,
    Staged,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.ids import AgentId, ProposalId, StoryId
from folkmoot.kernel.result import Result, State, Usage
from folkmoot.kernel.task import ModelChoice
from tests.fixtures.cli_events import event
from tests.fixtures.cli_tasks import step
from tests.fixtures.deliberated import JUDGE, ONE, RIGHT, TASK, TWO, WRONG, admission, examination, recorded, told

EVENTS = [stored.event for stored in told().events]
SPARE, WRITER = AgentId("dev-3"), AgentId("tester-1")


def view_of(facts: Sequence[Fact], start: View | None = None) -> View:
    view = start or View()
    for second, fact in enumerate(facts):
        view = fold(view, event(fact, second))
    return view


def until(kind: type[Fact], stage: Stage | None = None) -> View:
    """The view after the first event of that kind, and of that stage."""
    view = View()
    for told_ in EVENTS:
        view = fold(view, told_)
        if isinstance(told_.data, kind) and stage in (None, getattr(told_.data, "stage", None)):
            break
    return view


def lane(view: View, agent: str) -> Lane:
    return next(lane for lane in view.lanes if lane.agent_id == agent)


def text_of(view: View) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(draw.live(view, Spinner("dots"), datetime(2026, 1, 2, 4, tzinfo=UTC)))
    return out.getvalue()


def test_phases_are_those_that_came() -> None:
    """In the order in which they came, and back to examining between them."""
    seen = [view.phase for view in _views()]
    assert list(dict.fromkeys(seen)) == [
        "requested",
        "convened",
        "proposing",
        "examining",
        "critiquing",
        "revising",
        "judging",
        "ranked",
        "abstained",
    ]
    assert view_of([e.data for e in EVENTS]).course[-3:] == ("critiquing", "revising", "judging")
    assert "◉ critiquing ─ ○ ranked" in text_of(until(Staged, Stage.CRITIQUE))
    assert "◉ examining ─ ● critiquing ─ ○ ranked" in text_of(_before(Staged, Stage.REVISE))


def _views() -> list[View]:
    view, seen = View(), []
    for told_ in EVENTS:
        view = fold(view, told_)
        seen.append(view)
    return seen


def _before(kind: type[Fact], stage: Stage) -> View:
    return next(v for v, e in zip([View(), *_views()], EVENTS, strict=False) if _is(e, kind, stage))


def _is(told_: Event, kind: type[Fact], stage: Stage) -> bool:
    return isinstance(told_.data, kind) and getattr(told_.data, "stage", None) is stage


def test_a_lane_goes_back_to_its_proposal_after_a_later_work() -> None:
    """With what came of the work; the proposal stays what it is."""
    called = lane(until(Staged, Stage.CRITIQUE), ONE)
    assert (called.state, called.phase, called.proposal_id) == (LaneState.WAITING, "review", RIGHT)
    done = lane(until(WorkEnded), TWO)
    assert (done.state, done.proposal_id) == (LaneState.PROPOSED, WRONG)
    assert done.note == "no more of revise: the tree is the same "
    assert lane(until(Reviewed), ONE).note == "findings: 1"


def test_steps_count_for_the_work_that_they_belong_to() -> None:
    """One of an earlier attempt that comes late is none of the new work's."""
    view = until(Staged, Stage.CRITIQUE)
    late = fold(view, event(step("dev-1", 7, "run", attempt=1), 50))
    assert lane(late, ONE).state is LaneState.WAITING
    begun = fold(late, event(AttemptStarted(agent_id=ONE, attempt=2, phase="review"), 51))
    at_work = fold(begun, event(step("dev-1", 1, "report_finding", '{"claim": "drops a cent"}', attempt=2), 52))
    now = lane(at_work, ONE)
    assert (now.state, now.steps, now.doing) == (LaneState.WORKING, 1, "report_finding drops a cent")
    assert "reviews: report_finding drops a cent" in text_of(at_work)


def test_tokens_of_all_works_add_up() -> None:
    """Each end tells those of its own work."""
    work = Work(agent_id=ONE, phase="review")
    used = Usage(prompt_tokens=900, completion_tokens=100)
    facts: list[Fact] = [
        Staged(stage=Stage.PROPOSE, works=(Work(agent_id=ONE, phase="propose"),)),
        ProposalAdmitted(admission=admission(RIGHT), usage=used),
        Staged(stage=Stage.CRITIQUE, works=(work,)),
        Reviewed(work=work, usage=used),
    ]
    assert lane(view_of(facts, until(Convened)), ONE).tokens == 2_000


def test_a_revision_is_a_further_proposal() -> None:
    """One that the border turns back leaves the earlier one where it was."""
    start = until(Staged, Stage.REVISE)
    second = msgspec.structs.replace(admission(WRONG), proposal_id=ProposalId("dev-2-r2"), agent_id=TWO)
    assert lane(view_of([ProposalAdmitted(admission=second, round=2)], start), TWO).proposal_id == "dev-2-r2"
    refusal = Refusal(proposal_id=ProposalId("dev-2-r2"), agent_id=TWO, reason="links outside")
    kept = lane(view_of([ProposalRefused(refusal=refusal, round=2)], start), TWO)
    assert (kept.state, kept.proposal_id) == (LaneState.PROPOSED, WRONG)
    assert kept.note == "its revision is refused: links outside"


def test_helpers_and_further_seats_are_shown_when_something_is_asked_of_them() -> None:
    """Writers of tests end as done, with what they wrote."""
    convened = next(e.data for e in EVENTS if isinstance(e.data, Convened))
    seat = Seat(agent_id=SPARE, role="DEV", persona="", model=ModelChoice())
    writer = msgspec.structs.replace(seat, agent_id=WRITER, duty="sealed")
    larger = msgspec.structs.replace(convened, seats=(*convened.seats, seat), helpers=(*convened.helpers, writer))
    view = view_of([EVENTS[0].data, larger])
    assert [n.agent_id for n in view.lanes if n.asked] == [ONE, TWO]
    assert not any(name in text_of(view) for name in (SPARE, WRITER, JUDGE))
    work, more = Work(agent_id=WRITER, phase="test"), Work(agent_id=SPARE, phase="propose")
    at_work = view_of([Staged(stage=Stage.TEST, works=(work, more))], view)
    assert at_work.phase == "testing"
    done = view_of([TestsWritten(work=work, exhibits=("sealed-tester-1-r1",))], at_work)
    assert (lane(done, WRITER).state, lane(done, WRITER).note) == (LaneState.DONE, "sets of tests: 1")
    failed = view_of([AgentFailed(agent_id=SPARE, reason="too long")], done)
    assert lane(failed, SPARE).state is LaneState.FAILED


def test_a_task_that_goes_on_is_not_said_to_ask_for_proposals() -> None:
    """Its candidates are there, and only the reason is told."""
    going_on = Staged(stage=Stage.PROPOSE, reasons=("an earlier task's candidates are judged anew",))
    assert words.sentence(event(going_on)) == "an earlier task's candidates are judged anew"


def test_inherited_candidates_stand_in_their_lanes() -> None:
    """Of a task that goes on with another's: nobody proposes."""
    convened = next(e.data for e in EVENTS if isinstance(e.data, Convened))
    view = view_of([EVENTS[0].data, msgspec.structs.replace(convened, inherited=(admission(RIGHT), admission(WRONG)))])
    assert [(n.state, n.proposal_id) for n in view.lanes if n.asked] == [
        (LaneState.PROPOSED, RIGHT),
        (LaneState.PROPOSED, WRONG),
    ]
    assert view.state is State.EXAMINING


def test_tests_of_others_are_no_checks_of_the_story() -> None:
    """They are counted by themselves, each set by its last run."""
    found = row(view_of([e.data for e in EVENTS if isinstance(e.data, Examined)]), WRONG)
    assert (len(found.suites), len(found.checks), peers(found)) == (1, 1, (2, 5))
    assert "others' tests 2/5" in text_of(_views()[-1])


def test_every_event_has_its_words() -> None:
    """One line each, and whom it is about."""
    said = [(actor(e), words.sentence(e)) for e in EVENTS]
    for expected in (
        ("test", "peers review: confidence 0.5: peers look for faults"),
        (ONE, "dev-1 starts to review"),
        (ONE, "dev-1 finds 1 fault in dev-2-r1"),
        (TWO, "dev-2 starts to revise its proposal"),
        (TWO, "dev-2 brings nothing more (revise): the tree is the same"),
        (JUDGE, "judge-1 compares dev-1-r1 with dev-2-r1: level, for its two answers differ"),
    ):
        assert expected in said
    assert "dev-1's tests join the evidence as own-dev-1-r1 (1 file)" in [text for _, text in said]
    assert "examined base: own-dev-1-r1: 1 passed, 1 failed" in [text for _, text in said]
    assert "examined dev-2-r1: own-dev-2-r1 (run 2): 1 failed" in [text for _, text in said]
    lint = examination(RIGHT, SuiteKind.LINT, "lint", {}, code=1)
    assert words.sentence(event(recorded(lint))) == "looked over dev-1-r1 with linters"
    nothing = Reviewed(work=Work(agent_id=ONE, phase="review"))
    assert words.sentence(event(nothing)) == "dev-1 is done reviewing"
    verdict = next(e.data.verdict for e in EVENTS if isinstance(e.data, Judged))
    other = msgspec.structs.replace(verdict, better=RIGHT, consistent=True)
    assert "dev-1-r1 is better" in words.sentence(event(Judged(verdict=other)))


def test_an_abstention_says_what_would_settle_it() -> None:
    """In words, and as the command that takes it."""
    ranking = next(e.data.result.ranking for e in EVENTS if isinstance(e.data, DeliberationEnded))
    result = Result(task_id=TASK, story_id=StoryId(""), state=State.ABSTAINED, ranking=ranking)
    settled = msgspec.structs.replace(result, settle=("is a cent lost on purpose?",))
    out = io.StringIO()
    Console(file=out, width=160).print(draw.decision(settled), draw.closing(settled))
    assert "? is a cent lost on purpose?" in out.getvalue()
    assert f"moot continue {TASK} --check CMD" in out.getvalue()
    none = msgspec.structs.replace(result, ranking=())
    assert not [command for command, _ in words.next_steps(none) if "continue" in command]


def test_the_ranking_says_what_others_say() -> None:
    """Where anybody was asked; what decides is the worst duel."""
    ranking = next(e.data.result.ranking for e in EVENTS if isinstance(e.data, DeliberationEnded))
    first, *rest = ranking
    said = first.scores | {"opinions_for": 2.0, "opinions_against": 1.0, "duels": 1.386}
    refused = msgspec.structs.replace(first, proposal_id=ProposalId("dev-9-r1"), scores={})
    told_ = (msgspec.structs.replace(first, scores=said), *rest, refused)
    result = Result(task_id=TASK, story_id=StoryId(""), state=State.ABSTAINED, ranking=told_)
    out = io.StringIO()
    Console(file=out, width=120).print(draw.ranking(result))
    for piece in ("what others say", "2 for, 1 against", "worst duel +1.39"):
        assert piece in out.getvalue()
    plain = io.StringIO()
    Console(file=plain, width=120).print(draw.ranking(msgspec.structs.replace(result, ranking=(refused,))))
    assert "what others say" not in plain.getvalue()

"""What a person sees of a deliberation, folded from its events: no terminal, no clock."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console
from rich.spinner import Spinner

from folkmoot.cli import draw, words
from folkmoot.cli.lane import TRAIL, LaneState
from folkmoot.cli.lanes import View, fold, row, rows_of
from folkmoot.cli.steps import Steps
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    PreparedBase,
    Refusal,
    SuiteKind,
    Tampering,
)
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Seat,
    StepTaken,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, RepositoryId, StoryId, TaskId
from folkmoot.kernel.result import Ranked, Result, State, Usage
from folkmoot.kernel.task import ModelChoice, TaskSpec
from tests.fixtures.cli_events import event
from tests.fixtures.cli_tasks import examined, step

NOTHING = ArtifactRef(sha256="0" * 64, size=0)
ONE, TWO = AgentId("dev-1"), AgentId("dev-2")
REQUEST = DeliberationRequested(
    spec=TaskSpec(task_id=TaskId("t-1"), title="Count", text="Count.", repository="/r", checks=("true",), agents=2),
    digest="d",
)
CONVENED = Convened(
    base=PreparedBase(
        repository_id=RepositoryId("r"),
        commit=CommitId("a" * 40),
        suite=None,
        protected=(),
        max_files=1,
        max_diff_lines=1,
        notices=("no tests were found",),
    ),
    seats=tuple(Seat(agent_id=a, role="DEV", persona="", model=ModelChoice()) for a in (ONE, TWO)),
)
OPENING: list[Fact] = [REQUEST, CONVENED, AttemptStarted(agent_id=ONE, attempt=1)]


def admitted(agent: AgentId, *tampered: Tampering) -> ProposalAdmitted:
    return ProposalAdmitted(
        admission=Admission(
            proposal_id=ProposalId(f"{agent}-r1"),
            agent_id=agent,
            commit=CommitId("b" * 40),
            tree="c" * 40,
            diff=NOTHING,
            bundle=NOTHING,
            files=("a.py",),
            lines_added=3,
            lines_removed=1,
            tampered=tampered,
        ),
        usage=Usage(prompt_tokens=900, completion_tokens=100),
    )


def refused(agent: AgentId) -> ProposalRefused:
    return ProposalRefused(
        refusal=Refusal(proposal_id=ProposalId(f"{agent}-r1"), agent_id=agent, reason="a link leads outside")
    )


def ending(state: State) -> DeliberationEnded:
    return DeliberationEnded(result=Result(task_id=TaskId("t-1"), story_id=StoryId(""), state=state))


RANKED = CandidatesRanked(
    ranking=(
        Ranked(
            proposal_id=ProposalId("dev-1-r1"),
            agent_id=ONE,
            rank=1,
            acceptable=True,
            reasons=(),
            commit=CommitId("b" * 40),
            scores={},
        ),
    ),
    chosen=None,
    decided_by=None,
    confidence=None,
    reasons=(),
    policy="1",
)


def views(facts: Sequence[Fact]) -> Iterator[View]:
    view = View()
    for second, fact in enumerate(facts):
        view = fold(view, event(fact, second))
        yield view


def view_of(*facts: Fact) -> View:
    return list(views([*OPENING, *facts]))[-1]


def thought(number: int) -> StepTaken:
    usage = Usage(prompt_tokens=90, completion_tokens=10)
    return msgspec.structs.replace(step("dev-1", number, "a-model"), kind="model", usage=usage)


def test_the_phase_follows_the_events() -> None:
    """Requested, convened, proposing, examining, ranked, and the end's own state."""
    facts: list[Fact] = [
        *OPENING,
        AgentFailed(agent_id=ONE, reason="x"),
        refused(TWO),
        RANKED,
        ending(State.ABSTAINED),
    ]
    expected = [
        State.REQUESTED,
        State.CONVENED,
        State.PROPOSING,
        State.PROPOSING,
        State.EXAMINING,
        State.RANKED,
        State.ABSTAINED,
    ]
    assert [v.state for v in views(facts)] == expected


def test_a_lane_moves_with_its_agent_only() -> None:
    """Steps, tokens and the last tool are counted for the agent that took them."""
    view = view_of(thought(1), step("dev-1", 2, "edit_file", '{"path": "a.py"}'), step("dev-9", 1, "run"))
    one, two = view.lanes
    assert (one.steps, one.tokens, one.doing) == (2, 100, "edit_file a.py")
    assert [m.kind for m in one.trail] == ["model", "edit"]
    assert two.state is LaneState.WAITING


def test_the_agents_own_tests_are_its_last_run() -> None:
    """Failed, then passed: passed."""
    failing, passing = step("dev-1", 1, "run_tests", ok=False), step("dev-1", 2, "run_tests")
    assert [v.lanes[0].tests for v in list(views([*OPENING, failing, passing]))[-2:]] == [False, True]


def test_a_trail_is_bounded() -> None:
    """A long run does not widen its lane."""
    assert len(view_of(*(thought(n) for n in range(1, 100))).lanes[0].trail) == TRAIL


def test_arguments_that_were_cut_off_still_name_the_tool() -> None:
    """Arguments are stored cut to 2,000 characters, which breaks their JSON."""
    assert view_of(step("dev-1", 1, "write_file", '{"path": "a.p')).lanes[0].doing == "write_file"


def test_a_new_attempt_begins_anew_in_the_same_lane() -> None:
    """The count starts again, the clock does not; late steps of the lost attempt change nothing."""
    view = view_of(
        thought(5),
        AttemptLost(agent_id=ONE, attempt=1, reason="its actor died"),
        AttemptStarted(agent_id=ONE, attempt=2),
        step("dev-1", 9, "run", attempt=1),
    )
    lane = view.lanes[0]
    assert (lane.state, lane.attempt, lane.steps) == (LaneState.WORKING, 2, 0)
    assert lane.started_at == event(REQUEST, 2).time


def test_a_step_that_comes_after_the_end_changes_nothing() -> None:
    """Steps come on a stream of their own, in their own time."""
    before = view_of(admitted(ONE))
    assert fold(before, event(step("dev-1", 9, "run"), 9)).lanes == before.lanes


def test_a_step_may_come_before_its_attempt() -> None:
    """The lane is at work as soon as anything says so."""
    lanes = list(views([REQUEST, CONVENED, step("dev-2", 1, "run")]))[-1].lanes
    assert (lanes[1].state, lanes[1].steps) == (LaneState.WORKING, 1)


def test_endings_of_lanes_are_told_apart() -> None:
    """Proposed with its size and what it tampered with; refused and failed with why."""
    tampered = view_of(admitted(ONE, Tampering(path="tests/a.py", how="deleted"))).lanes[0]
    assert (tampered.state, tampered.change, tampered.tokens) == (LaneState.PROPOSED, "+3 -1 in 1 file", 1000)
    assert "tests/a.py" in tampered.note
    assert view_of(refused(ONE)).lanes[0].note == "a link leads outside"
    assert view_of(AgentFailed(agent_id=ONE, reason="too long")).lanes[0].state is LaneState.FAILED


def test_what_was_examined_is_kept_by_subject() -> None:
    """Base first, whatever came first; runs of the same suite side by side."""
    facts = (
        examined("dev-1-r1", SuiteKind.CHECK, "true", good=True),
        examined(BASE, SuiteKind.TESTS, "tests", good=True, passed=2),
        examined(BASE, SuiteKind.TESTS, "tests", good=False, passed=1, failed=1, run=2),
    )
    assert [r.subject for r in rows_of(facts)] == [BASE, "dev-1-r1"]
    assert len(row(view_of(*facts), BASE).suites) == 2


def test_unknown_facts_change_nothing() -> None:
    """A view never stops: what it cannot place it leaves out."""
    before = view_of()
    after = fold(before, event(OwnerTook(owner="o"), 3))
    assert msgspec.structs.replace(after, seen_at=before.seen_at) == before


@pytest.mark.parametrize(
    ("end", "fields", "says"),
    [
        (CommandEnd(exit_code=0), {"passed": 12}, "12 passed"),
        (CommandEnd(exit_code=1), {"passed": 3, "failed": 1}, "3 passed, 1 failed"),
        (CommandEnd(exit_code=None, limit="time"), {}, "ended by the time limit"),
        (CommandEnd(exit_code=None, signal=9), {}, "ended by signal 9"),
        (CommandEnd(exit_code=0), {"report_problem": "no report"}, "no report"),
    ],
)
def test_outcomes_in_words(end: CommandEnd, fields: dict[str, object], says: str) -> None:
    """Counts where there are any, else how it ended."""
    plain = Examined(
        subject=BASE,
        kind=SuiteKind.TESTS,
        name="tests",
        run=1,
        end=end,
        passed=0,
        failed=0,
        skipped=0,
        examination=NOTHING,
    )
    assert words.outcome(msgspec.structs.replace(plain, **fields)) == says


def test_every_moment_can_be_drawn() -> None:
    """From the empty view to the end, at any width, with every kind of lane."""
    facts: list[Fact] = [
        *OPENING,
        thought(1),
        step("dev-1", 2, "run_tests", ok=False),
        AttemptLost(agent_id=ONE, attempt=1, reason="died"),
        AttemptStarted(agent_id=ONE, attempt=2),
        examined(BASE, SuiteKind.TESTS, "tests", good=True, passed=2),
        admitted(ONE),
        refused(TWO),
        CancelRequested(actor="ana"),
        RANKED,
        ending(State.CANCELLED),
    ]
    for width in (10, 60, 120):
        out = Console(file=io.StringIO(), width=width, force_terminal=True)
        for view in [View(), *views(facts)]:
            out.print(draw.live(view, Spinner("dots"), datetime.now(UTC) + timedelta(seconds=1)))
        assert isinstance(out.file, io.StringIO)
        assert width < 60 or "dev-1" in out.file.getvalue()


def test_the_end_of_a_long_diff_is_left_to_its_command() -> None:
    """The first lines, and how many there are more."""
    out = Console(file=io.StringIO(), width=80)
    out.print(draw.change("\n".join(f"+{n}" for n in range(100)), limit=10))
    assert isinstance(out.file, io.StringIO)
    assert "+9\n" in "\n".join(line.rstrip() for line in out.file.getvalue().splitlines()) + "\n"
    assert "90 more lines" in out.file.getvalue()


@pytest.mark.parametrize("width", [24, 40, 80, 100])
def test_a_command_to_copy_is_never_cut(width: int) -> None:
    """Narrow terminals show what it does below it; only what no line can hold is broken."""
    command = "moot story send-back s-0123456789abcdef0123 --reason TEXT"
    out = Console(file=io.StringIO(), width=width)
    out.print(Steps([(command, "say what is wrong"), ("moot log s-0123456789abcdef0123", "what happened")]))
    assert isinstance(out.file, io.StringIO)
    said = " ".join(out.file.getvalue().split())
    assert "…" not in said
    assert said.startswith(command if width < 69 else f"{command} say")

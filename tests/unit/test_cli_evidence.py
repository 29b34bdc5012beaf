"""What `moot evidence` shows of tests, findings and verdicts, and what it decides again."""

import io
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from folkmoot.cli.client import Evidence
from folkmoot.cli.evidence import course, draw, replaying
from folkmoot.cli.evidence.command import heard
from folkmoot.cli.evidence.matrix import Line, findings, matrix
from folkmoot.kernel.deliberation import BASE, fold
from folkmoot.kernel.evidence import CommandEnd, Examination, Exhibit, Source, SuiteKind, Verdict
from folkmoot.kernel.facts import Reviewed, Stage, Staged, Work
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.jury import POLICY, Cell, Policy
from tests.fixtures.cli_tasks import EVIL
from tests.fixtures.deliberated import ONE, RIGHT, TWO, WRONG, Told, examination, exhibit, finding, told

OWN = exhibit("own-dev-1-r1", ONE)
TOLD = told()


def run(subject: str, tests: dict[str, str], number: int = 1) -> Examination:
    return examination(subject, SuiteKind.EXHIBIT, OWN.exhibit_id, tests, run=number)


def evidence(log: Told = TOLD) -> Evidence:
    state = fold(log.events)
    return Evidence(
        base=state.base,
        admissions=state.admissions,
        examinations=state.examined,
        exhibits=state.exhibits,
        reviews=state.reviews,
        verdicts=state.verdicts,
        stages=state.staged,
        idle=state.idle,
        ranked=state.ranked,
        spec=state.spec,
    )


def lines_of(*runs: Examination, exhibits: Sequence[Exhibit] = (OWN,)) -> tuple[Line, ...]:
    return matrix(heard(msgspec.structs.replace(evidence(), exhibits=tuple(exhibits)), runs))


def seen(evil: str = "") -> tuple[Evidence, tuple[Line, ...]]:
    """All of the made-up deliberation."""
    log = told(evil=evil)
    found = evidence(log)
    return found, matrix(heard(found, log.examinations))


def drawn(found: Evidence, lines: tuple[Line, ...], limit: int | None = None) -> str:
    out = io.StringIO()
    shown = findings(found.reviews, lines)
    Console(file=out, width=140, markup=False, emoji=False, highlight=False).print(
        draw.evidence(found, lines, shown, limit)
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("outcome", "cell"),
    [("passed", Cell.PASSED), ("failed", Cell.FAILED), ("error", Cell.ERROR), ("skipped", Cell.SKIPPED)],
)
def test_a_cell_is_what_the_test_did(outcome: str, cell: Cell) -> None:
    """On that subject, in the run's own words."""
    (line,) = lines_of(run(BASE, {"t::a": "passed"}), run(RIGHT, {"t::a": outcome}))
    assert line.cells == {BASE: Cell.PASSED, RIGHT: cell}


def test_what_a_run_does_not_tell_of_is_missing_or_ended_by_the_time_limit() -> None:
    """A test that is seen elsewhere was there to be run."""
    late = msgspec.structs.replace(run(WRONG, {}), end=CommandEnd(exit_code=None, limit="time"))
    (line,) = lines_of(run(BASE, {"t::a": "passed"}), run(RIGHT, {}), late)
    assert line.cells == {BASE: Cell.PASSED, RIGHT: Cell.MISSING, WRONG: Cell.TIMEOUT}


def test_runs_that_differ_are_flaky() -> None:
    """And tell no candidates apart."""
    runs = [run(RIGHT, {"t::a": "passed"}), run(WRONG, {"t::a": "passed"}), run(WRONG, {"t::a": "failed"}, 2)]
    (line,) = lines_of(*runs)
    assert line.cells == {RIGHT: Cell.PASSED, WRONG: Cell.FLAKY}
    assert not line.discriminates


def test_tests_that_tell_candidates_apart_come_first() -> None:
    """What base does makes no difference to that."""
    tests = {"t::a": "passed", "t::b": "passed", "t::c": "failed"}
    runs = [run(BASE, tests), run(RIGHT, tests | {"t::c": "passed"}), run(WRONG, tests)]
    assert [(line.test, line.discriminates) for line in lines_of(*runs)] == [
        ("t::c", True),
        ("t::a", False),
        ("t::b", False),
    ]


def test_an_exhibit_of_which_no_test_counts_has_a_line() -> None:
    """Nobody should look for it in vain: none ran, or they are base's own."""
    (line,) = lines_of(run(RIGHT, {}))
    assert (line.test, line.cells) == ("", {})
    old = examination(BASE, SuiteKind.TESTS, "tests", {"t::old": "passed"})
    assert [line.test for line in lines_of(old, run(RIGHT, {"t::old": "passed"}))] == [""]


@given(st.permutations(TOLD.examinations))
def test_the_order_of_examinations_does_not_matter(examinations: list[Examination]) -> None:
    """Whoever was examined first."""
    found = evidence()
    assert matrix(heard(found, examinations)) == matrix(heard(found, TOLD.examinations))


def test_a_finding_is_reproduced_where_its_test_fails_on_what_it_speaks_of() -> None:
    """Not by a test that passes there, nor by one of another finding."""
    found, lines = seen()
    assert [(s.reviewer, s.reproduced) for s in findings(found.reviews, lines)] == [(ONE, True), (TWO, False)]


def test_a_finding_that_was_not_run_is_neither() -> None:
    """Nobody knows yet; one whose reproducer cannot be made a test says why."""
    broken = msgspec.structs.replace(finding(ONE, WRONG, "x"), exhibit_id="", problem="it is no test")
    work = Work(agent_id=ONE, phase="review")
    review = Reviewed(work=work, findings=(finding(ONE, WRONG, "drops a cent"), broken))
    shown = findings([review], lines_of(exhibits=[exhibit("finding-dev-1-r1", ONE, Source.FINDING)]))
    assert [s.reproduced for s in shown] == [None, None]
    assert "could not be run (it is no test)" in drawn(Evidence(base=None, reviews=(review,)), ())


def test_a_finding_whose_test_cannot_be_loaded_was_run_and_shows_nothing() -> None:
    """It is not one that nobody has run."""
    claim = finding(ONE, WRONG, "has a slip of the pen")
    slip = exhibit(claim.exhibit_id, ONE, Source.FINDING)
    run = examination(WRONG, SuiteKind.EXHIBIT, slip.exhibit_id, {"tests.test_slip": "error"})
    review = Reviewed(work=Work(agent_id=ONE, phase="review"), findings=(claim,))
    (shown,) = findings([review], lines_of(run, exhibits=[slip]), {(run.name, run.subject)})
    assert shown.reproduced is False


def test_what_would_settle_it_is_said_once() -> None:
    """The jury's reasons hold it too."""
    ranked = evidence().ranked
    assert ranked is not None
    asked = msgspec.structs.replace(
        ranked, chosen=None, reasons=("too close", "which is right?"), settle=("which is right?",)
    )
    text = drawn(msgspec.structs.replace(evidence(), ranked=asked), ())
    assert "  - too close" in text
    assert text.count("which is right?") == 1


def test_everything_is_shown() -> None:
    """The matrix, who wrote what, findings, verdicts, what was done and why, the decision with its weights."""
    text = drawn(*seen())
    for piece in (
        "t::counts all",
        "flaky",
        "finding-dev-1-r1: written by dev-1 as a finding",
        "dev-1 of dev-2-r1 (high): reproduced: drops a cent",
        "dev-2 of dev-1-r1 (low): not reproduced: is slow",
        "dev-1-r1 or dev-2-r1: a tie, for the two orders got different answers (by judge-1, m)",
        "dev-1 and dev-2 review each other: confidence 0.5: peers look for faults",
        "nothing came of dev-2's revision (it would be dev-2-r2): the tree is the same",
        "from log-odds",
        "(policy ",
    ):
        assert piece in text
    row = next(line for line in text.splitlines() if "t::counts all" in line)
    assert row.split()[-3:] == ["fail", "pass", "fail"]


def test_a_long_matrix_is_cut_and_the_rest_counted() -> None:
    """With how many of the rest tell candidates apart."""
    found, lines = seen()
    text = drawn(found, lines, 1)
    assert "… 4 more tests, 1 of which tell candidates apart; --all shows them" in text
    assert "more test" not in drawn(found, lines)


def test_words_of_agents_steer_nothing() -> None:
    """Test ids, claims, reasons of judges: all of them are foreign."""
    text = drawn(*seen(EVIL))
    assert "owned" not in text
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(text)


def test_a_verdict_without_an_answer_says_why() -> None:
    """It is no tie, and no vote."""
    verdict = Verdict(one=RIGHT, other=WRONG, better=None, consistent=False, judge=ONE, model="m", problem="no JSON")
    better = msgspec.structs.replace(verdict, better=RIGHT, consistent=True, problem="")
    text = drawn(Evidence(base=None, verdicts=(verdict, better)), ())
    assert "no usable answer: no JSON" in text
    assert "dev-1-r1 or dev-2-r1: dev-1-r1 (by dev-1, m)" in text


def test_stages_are_told_as_what_agents_do() -> None:
    """By name, with what a revision is called, and for which time; no number that a reader would have to look up."""
    said = list(
        course.stages(
            (
                staged(Stage.PROPOSE, work("dev-1", "propose"), work("dev-2", "propose"), work("tester-1", "test")),
                staged(Stage.CRITIQUE, work("dev-1", "review"), work("dev-2", "review")),
                staged(Stage.REVISE, work("dev-2", "revise", 2)),
                staged(Stage.CRITIQUE, work("dev-1", "review", 2)),
                staged(Stage.PROPOSE, work("dev-3", "propose")),
                staged(Stage.TEST, work("splitter-1", "test", 1), pairs=((RIGHT, WRONG),)),
                staged(Stage.JUDGE, pairs=((RIGHT, WRONG),)),
                staged(Stage.RANK),
            )
        )
    )
    assert said == [
        "dev-1 and dev-2 propose; tester-1 writes tests",
        "dev-1 and dev-2 review each other",
        "dev-2 revises its proposal (as dev-2-r2)",
        "dev-1 reviews the others again",
        "dev-3 proposes",
        "splitter-1 writes tests to tell dev-1-r1 and dev-2-r1 apart",
        "a judge compares dev-1-r1 with dev-2-r1",
        "the candidates are ranked",
    ]
    assert course.nothing_of("dev-1 review 2") == "dev-1's review in round 2"


def staged(stage: Stage, *works: Work, pairs: tuple[tuple[ProposalId, ProposalId], ...] = ()) -> Staged:
    return Staged(stage=stage, works=works, pairs=pairs)


def work(agent: str, phase: str, number: int = 1) -> Work:
    return Work(agent_id=AgentId(agent), phase=phase, round=number)


def against(given: Policy, version: str = POLICY.version, decided_by: Policy | None = POLICY) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(replaying.against(given, "mine.toml", version, decided_by))
    return out.getvalue()


def test_a_policy_of_ones_own_is_named_with_what_it_changes() -> None:
    """By its file, and number by number; one that bears the name of what ships is told from it."""
    changed = msgspec.structs.replace(POLICY, weak=0.9)
    assert f"weak: {POLICY.weak} -> 0.9" in against(changed)
    assert f"another policy by the name of {POLICY.version}: give it a version of its own" in against(changed)
    assert "another policy by the name" not in against(msgspec.structs.replace(changed, version="mine"))
    same = against(msgspec.structs.replace(POLICY, version="mine"))
    assert (
        same == f"mine.toml, version mine: the same numbers as in version {POLICY.version}, by which it was decided\n"
    )
    assert "version 99, which is not here to compare it with" in against(POLICY, "99", None)

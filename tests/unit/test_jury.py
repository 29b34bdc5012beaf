import random
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Examination,
    Outcome,
    Refusal,
    SuiteKind,
    Tampering,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId
from folkmoot.kernel.jury import POLICY, Candidate, Evidence, Ruling, judge
from folkmoot.kernel.result import DecidedBy
from folkmoot.kernel.task import Rigor

NO_BODY = ArtifactRef(sha256="0" * 64, size=0)
GREEN = {"t::a": "passed", "t::b": "passed"}
CHECK = "python check.py"


def end(code: int | None = 0, *, limit: str = "", signal: int | None = None) -> CommandEnd:
    return CommandEnd(exit_code=code, limit=limit, signal=signal)


def suite_run(subject: str, outcomes: dict[str, str], *, run: int = 1, **more: Any) -> Examination:
    tests = {t: Outcome(o) for t, o in outcomes.items()}
    code = 0 if set(outcomes.values()) <= {"passed", "skipped"} else 1
    values: dict[str, Any] = {"end": end(code)} | more
    return Examination(subject=subject, kind=SuiteKind.TESTS, name="tests", run=run, tests=tests, **values)


def check_run(subject: str, passes: bool, name: str = CHECK) -> Examination:
    return Examination(subject=subject, kind=SuiteKind.CHECK, name=name, end=end(0 if passes else 1))


def candidate(
    agent: str,
    outcomes: dict[str, str] | None = None,
    *,
    check: bool | None = None,
    tree: str = "",
    lines: int = 4,
    examinations: tuple[Examination, ...] = (),
    **more: Any,
) -> Candidate:
    proposal = ProposalId(f"{agent}-r1")
    runs = [suite_run(proposal, GREEN if outcomes is None else outcomes)]
    runs += [] if check is None else [check_run(proposal, check)]
    values: dict[str, Any] = {"files": ("a.py",), "fingerprint": ""} | more
    admission = Admission(
        proposal_id=proposal,
        agent_id=AgentId(agent),
        commit=CommitId(f"c-{agent}"),
        tree=tree or f"tree-{agent}",
        diff=NO_BODY,
        bundle=NO_BODY,
        lines_added=lines,
        lines_removed=0,
        **values,
    )
    return Candidate(admission=admission, examinations=examinations or tuple(runs))


def evidence(*candidates: Candidate, base: tuple[Examination, ...] | None = None, **more: Any) -> Evidence:
    twice = tuple(suite_run("base", GREEN, run=n) for n in (1, 2))
    values: dict[str, Any] = {"rigor": Rigor.L1, "checks": (), "tested": True} | more
    return Evidence(base=twice if base is None else base, candidates=candidates, **values)


def with_check(*candidates: Candidate, at_base: bool = False, **more: Any) -> Evidence:
    given_ = evidence(*candidates, checks=(CHECK,), **more)
    return msgspec.structs.replace(given_, base=(*given_.base, check_run("base", at_base)))


def said(ruling: Ruling) -> str:
    return "\n".join(ruling.reasons)


# --- gates -------------------------------------------------------------------------------------------------------


def test_the_one_that_passes_the_check_is_chosen_and_the_others_are_told_why() -> None:
    """The demo: right, wrong unseen by base's tests, and cheating; each loses for its own reason."""
    cheat = candidate(
        "dev-3", check=True, tampered=(Tampering(path="tests/test_x.py", how="4 lines removed: `assert`"),)
    )
    ruling = judge(with_check(candidate("dev-1", check=True), candidate("dev-2", check=False), cheat))
    assert ruling.chosen == "dev-1-r1"
    assert ruling.decided_by is DecidedBy.ACCEPTANCE
    assert "dev-2 fails the check `python check.py` (exit 1)" in ruling.reasons
    assert "dev-3 changed tests/test_x.py: 4 lines removed: `assert`" in ruling.reasons
    assert [(r.agent_id, r.rank, r.acceptable) for r in ruling.ranking] == [
        ("dev-1", 1, True),
        ("dev-2", 2, False),
        ("dev-3", 3, False),
    ]


@pytest.mark.parametrize(
    ("loser", "by", "words"),
    [
        (candidate("dev-2", {**GREEN, "t::b": "failed"}), DecidedBy.REGRESSION, "dev-2 breaks 1 test of base: `t::b`"),
        (candidate("dev-2", {"t::a": "passed"}), DecidedBy.REGRESSION, "1 test of base did not run: `t::b`"),
        (candidate("dev-2", {**GREEN, "t::b": "skipped"}), DecidedBy.REGRESSION, "dev-2 breaks 1 test"),
        (candidate("dev-2", {}), DecidedBy.REGRESSION, "2 tests of base did not run"),
        (
            candidate("dev-2", examinations=(suite_run("dev-2-r1", GREEN, end=end(None, limit="time")),)),
            DecidedBy.REGRESSION,
            "ended by the time limit",
        ),
        (
            candidate("dev-2", examinations=(suite_run("dev-2-r1", GREEN, end=end(None, signal=11)),)),
            DecidedBy.REGRESSION,
            "ended by signal 11",
        ),
        (
            candidate("dev-2", examinations=(suite_run("dev-2-r1", GREEN, report_problem="the report is cut off"),)),
            DecidedBy.REGRESSION,
            "the report is cut off",
        ),
        (
            candidate("dev-2", examinations=(suite_run("dev-2-r1", GREEN, end=end(3)),)),
            DecidedBy.REGRESSION,
            "end with exit 3 though none failed",
        ),
        (
            candidate("dev-2", examinations=(check_run("dev-2-r1", passes=True),)),
            DecidedBy.REGRESSION,
            "base's tests were not run on it",
        ),
        (
            candidate("dev-2", tampered=(Tampering(path="tests/test_a.py", how="deleted"),)),
            DecidedBy.INTEGRITY,
            "dev-2 changed tests/test_a.py: deleted",
        ),
    ],
)
def test_each_gate_names_what_it_stopped(loser: Candidate, by: DecidedBy, words: str) -> None:
    """A gate that a candidate does not pass is said in plain words, and decides when it leaves one class."""
    ruling = judge(evidence(candidate("dev-1", lines=900), loser))
    assert ruling.chosen == "dev-1-r1"
    assert ruling.decided_by is by
    assert words in said(ruling)


def test_a_refused_bundle_is_ranked_last_with_its_reason() -> None:
    """The border's reason is what a person reads; there is no commit to show."""
    refusal = Refusal(proposal_id=ProposalId("dev-2-r1"), agent_id=AgentId("dev-2"), reason="a symlink leaves the tree")
    ruling = judge(evidence(candidate("dev-1"), refusals=(refusal,)))
    assert ruling.decided_by is DecidedBy.INTEGRITY
    assert ruling.ranking[-1].commit is None
    assert ruling.ranking[-1].reasons == ("dev-2 was turned back: a symlink leaves the tree",)


def test_flaky_and_failing_tests_gate_nothing_and_are_named() -> None:
    """What does not pass in every baseline run proves nothing against a candidate."""
    first = {"ok": "passed", "flaky": "passed", "red": "failed"}
    base = (suite_run("base", first), suite_run("base", first | {"flaky": "failed"}, run=2))
    ruling = judge(evidence(candidate("dev-1", {"ok": "passed", "flaky": "failed", "red": "failed"}), base=base))
    assert ruling.chosen == "dev-1-r1"
    assert "1 test flaky at base, which gates nothing: `flaky`" in ruling.reasons
    assert "1 test failing at base, which gates nothing: `red`" in ruling.reasons


def test_repairing_a_failing_test_of_base_beats_a_smaller_change() -> None:
    """A story without checks is often about the test that is red."""
    red = {"ok": "passed", "red": "failed"}
    base = (suite_run("base", red), suite_run("base", red, run=2))
    right = candidate("dev-1", {"ok": "passed", "red": "passed"}, lines=50)
    ruling = judge(evidence(right, candidate("dev-2", red, lines=1), base=base))
    assert ruling.chosen == "dev-1-r1"
    assert ruling.decided_by is DecidedBy.ACCEPTANCE
    assert [r.acceptable for r in ruling.ranking] == [True, True]


def test_without_tests_or_checks_a_sole_candidate_is_chosen_but_called_weak() -> None:
    """Nothing speaks against it; what little speaks for it is said."""
    ruling = judge(evidence(candidate("dev-1"), tested=False, base=()))
    assert (ruling.chosen, ruling.decided_by) == ("dev-1-r1", DecidedBy.ONLY_CANDIDATE)
    assert ruling.confidence == 0.4
    assert "base has no tests: nothing guards against regressions" in ruling.reasons
    assert "weakly supported" in said(ruling)


def test_a_baseline_without_a_report_gates_nothing() -> None:
    """A repository whose tests cannot be read is no reason to refuse every candidate."""
    base = tuple(suite_run("base", {}, run=n, report_problem="there is no report") for n in (1, 2))
    broken = candidate("dev-1", examinations=(suite_run("dev-1-r1", {}, report_problem="there is no report"),))
    ruling = judge(evidence(broken, base=base))
    assert ruling.chosen == "dev-1-r1"
    assert "base's tests, run 1: there is no report" in ruling.reasons


def test_a_check_that_passes_at_base_adds_no_confidence() -> None:
    """It must still pass, but it shows nothing."""
    idle = judge(with_check(candidate("dev-1", check=True), at_base=True))
    telling = judge(with_check(candidate("dev-1", check=True)))
    assert idle.confidence == 0.61
    assert telling.confidence is not None
    assert telling.confidence > 0.9
    assert "the check `python check.py` passes at base already: it shows nothing here" in idle.reasons


def test_a_check_that_was_not_run_is_not_passed() -> None:
    """Absent evidence is never good evidence."""
    ruling = judge(evidence(candidate("dev-1"), checks=(CHECK,)))
    assert ruling.chosen is None
    assert "dev-1: the check `python check.py` was not run on it" in ruling.reasons


# --- choice ------------------------------------------------------------------------------------------------------


def test_cost_decides_between_changes_that_evidence_leaves_level_and_says_so() -> None:
    """The smaller change, with a confidence that shows how little that means."""
    ruling = judge(evidence(candidate("dev-1", lines=9), candidate("dev-2", lines=3)))
    assert (ruling.chosen, ruling.decided_by) == ("dev-2-r1", DecidedBy.COST)
    assert ruling.confidence == 0.439
    assert "2 different changes are acceptable" in ruling.reasons[0]
    assert "runner-up dev-1" in ruling.reasons[0]


def test_equal_evidence_is_a_level_rank() -> None:
    """Ranks say what the evidence says, not what the tie-break says."""
    ruling = judge(evidence(candidate("dev-1"), candidate("dev-2"), candidate("dev-3", lines=50)))
    assert [r.rank for r in ruling.ranking] == [1, 1, 3]
    assert ruling.chosen == ruling.ranking[0].proposal_id


def test_the_same_change_is_one_competitor_and_some_support() -> None:
    """Equal trees or fingerprints are merged; each other author adds a little."""
    twins = (candidate("dev-1", tree="t"), candidate("dev-2", tree="t"), candidate("dev-3", fingerprint="f"))
    alone = judge(evidence(twins[0]))
    ruling = judge(evidence(*twins[:2]))
    assert ruling.decided_by is DecidedBy.ONLY_CANDIDATE
    assert ruling.confidence is not None
    assert alone.confidence is not None
    assert ruling.confidence > alone.confidence
    assert [r.scores["same_change"] for r in ruling.ranking] == [1.0, 1.0]
    assert "the same change as dev-2" in {r.agent_id: r for r in ruling.ranking}[AgentId("dev-1")].reasons


def test_too_little_confidence_abstains_and_says_what_would_settle_it() -> None:
    """The threshold belongs to the rigor."""
    level = evidence(candidate("dev-1"), candidate("dev-2"), candidate("dev-3"), rigor=Rigor.L3)
    ruling = judge(level)
    assert (ruling.chosen, ruling.decided_by, ruling.confidence) == (None, None, None)
    assert "0.34" in ruling.reasons[0]
    assert "would settle it" in ruling.reasons[1]


def test_silence_of_all_agents_abstains() -> None:
    """No proposal at all is an answer too."""
    ruling = judge(evidence(failures={AgentId("dev-1"): "the model never answered"}))
    assert ruling.chosen is None
    assert "dev-1 made no proposal: the model never answered" in ruling.reasons


def test_the_example_of_the_documentation() -> None:
    """docs/decisions.md promises that a reader can predict this one."""
    cheat = (Tampering(path="tests/test_cart.py", how="2 lines removed: `assert total(cart) == 12`"),)
    ruling = judge(
        with_check(
            candidate("dev-1", check=True, lines=14, tree="one"),
            candidate("dev-2", check=False, lines=3),
            candidate("dev-3", check=True, lines=2, tampered=cheat),
            candidate("dev-4", check=True, lines=14, tree="one"),
            candidate("dev-5", check=True, lines=30),
        )
    )
    assert [(r.agent_id, r.rank) for r in ruling.ranking if r.agent_id in ("dev-2", "dev-3", "dev-5")] == [
        ("dev-5", 3),
        ("dev-2", 4),
        ("dev-3", 5),
    ]
    assert {r.agent_id for r in ruling.ranking if r.rank == 1} == {"dev-1", "dev-4"}
    assert (ruling.decided_by, ruling.confidence) == (DecidedBy.COST, 0.859)


# --- bounds ------------------------------------------------------------------------------------------------------


def test_what_the_winner_brings_along_is_always_told() -> None:
    """However many checks it passes: in its own reasons before them, and in the ruling's."""
    checks = tuple(f"check {n}" for n in range(8))
    runs = (suite_run("dev-1-r1", GREEN), *(check_run("dev-1-r1", True, name=c) for c in checks))
    flags = ("adds a hook: .husky/pre-commit", "adds a CI file: .github/x.yml")
    ruling = judge(evidence(candidate("dev-1", examinations=runs, flags=flags), checks=checks))
    assert set(flags) < set(ruling.ranking[0].reasons)
    assert [r for r in ruling.reasons if "before you merge" in r] == [
        f"look before you merge (dev-1): {flag}" for flag in flags
    ]


def test_a_ruling_on_hostile_names_fits_an_event() -> None:
    """Sixteen candidates with endless, unprintable names stay far under the event's 64 KiB."""
    wild = {"\x1b[31m" + '"é' * 400 + str(n): "passed" for n in range(40)}
    tampered = tuple(Tampering(path="\n" * 50 + "x" * 900, how="\u202e" * 400) for _ in range(30))
    base = tuple(suite_run("base", wild, run=n) for n in (1, 2))
    field = [candidate(f"dev-{n}", {}, tampered=tampered, flags=("z" * 5000,) * 50) for n in range(16)]
    ruling = judge(evidence(*field, base=base, failures={AgentId(f"x{n}"): "y" * 9000 for n in range(16)}))
    assert len(msgspec.json.encode(ruling)) < 48 * 1024
    assert all(r.isprintable() for r in ruling.reasons)


def test_judging_eight_candidates_of_500_tests_takes_milliseconds(record_property: Any) -> None:
    """The jury is never what one waits for."""
    many = {f"tests/test_{n}.py::test_case_{n}": "passed" for n in range(500)}
    given_ = evidence(*(candidate(f"dev-{n}", many) for n in range(8)), base=(suite_run("base", many),) * 2)
    began = time.perf_counter()
    judge(given_)
    elapsed = time.perf_counter() - began
    record_property("jury_ms", round(elapsed * 1000, 2))
    assert elapsed < 0.5


# --- promises that hold for all evidence --------------------------------------------------------------------------

OUTCOMES = st.fixed_dictionaries({"t::a": st.sampled_from(["passed", "passed", "failed"]), "t::b": st.just("passed")})


@st.composite
def fields(draw: st.DrawFn) -> tuple[Candidate, ...]:
    number = draw(st.integers(1, 5))
    return tuple(
        candidate(
            f"dev-{n}",
            draw(OUTCOMES),
            check=draw(st.booleans()),
            tree=draw(st.sampled_from(["x", "y", "z", ""])),
            lines=draw(st.integers(1, 3)),
            fingerprint=draw(st.sampled_from(["", "", "f"])),
            tampered=draw(st.sampled_from([(), (), (Tampering(path="t", how="deleted"),)])),
        )
        for n in range(number)
    )


def tree_of(ruling: Ruling, field: tuple[Candidate, ...]) -> str | None:
    return next((c.admission.tree for c in field if c.admission.proposal_id == ruling.chosen), None)


@settings(max_examples=60, deadline=None)
@given(fields(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_never_matters(field: tuple[Candidate, ...], shuffler: random.Random) -> None:
    """Same evidence, same words."""
    other = list(field)
    shuffler.shuffle(other)
    assert judge(with_check(*field)) == judge(with_check(*other))


@settings(max_examples=60, deadline=None)
@given(fields(), st.data())
def test_a_clone_never_changes_which_change_wins(field: tuple[Candidate, ...], data: st.DataObject) -> None:
    """Copying a change does not promote it."""
    cloned = data.draw(st.sampled_from(field))
    admission = msgspec.structs.replace(
        cloned.admission, proposal_id=ProposalId("a-clone-r1"), agent_id=AgentId("a-clone"), commit=CommitId("c-0")
    )
    clone = msgspec.structs.replace(cloned, admission=admission)
    with_clone = (*field, clone)
    assert tree_of(judge(with_check(*with_clone)), with_clone) == tree_of(judge(with_check(*field)), field)


@settings(max_examples=60, deadline=None)
@given(fields(), st.sampled_from(["x", "y", "new"]), st.booleans())
def test_an_unacceptable_candidate_never_changes_the_winner(
    field: tuple[Candidate, ...], tree: str, tampers: bool
) -> None:
    """Whatever is out, stays out of the choice."""
    tampered = (Tampering(path="t", how="deleted"),) if tampers else ()
    bad = candidate("a-bad", check=tampers, tree=tree, lines=0, tampered=tampered, fingerprint="f")
    assert judge(with_check(*field, bad)).chosen == judge(with_check(*field)).chosen


@settings(max_examples=60, deadline=None)
@given(fields())
def test_a_winner_is_acceptable_and_nothing_acceptable_abstains(field: tuple[Candidate, ...]) -> None:
    """At L1 an answer is given exactly when a candidate passes the gates."""
    ruling = judge(with_check(*field))
    acceptable = {r.proposal_id for r in ruling.ranking if r.acceptable}
    assert (ruling.chosen in acceptable) if acceptable else (ruling.chosen is None)
    assert [r.acceptable for r in ruling.ranking] == sorted((r.acceptable for r in ruling.ranking), reverse=True)


def test_the_policy_is_named_in_the_ruling() -> None:
    """A stored ruling says by which numbers it was made."""
    assert judge(evidence(candidate("dev-1")), msgspec.structs.replace(POLICY, version="mine")).policy == "mine"

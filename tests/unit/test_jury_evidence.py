"""The jury where tests are evidence: matrix, gates, duels, confidence, and what comes next."""

import math
import re
from collections.abc import Sequence
from importlib.resources import files

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import Examination, Exhibit, Finding, Outcome, Source, SuiteKind, Tampering
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.jury import (
    POLICY,
    VERSIONS,
    Cell,
    Evidence,
    judge,
    matrix_of,
    policy_from,
    reruns,
    shipped,
    standing,
)
from folkmoot.kernel.result import DecidedBy
from folkmoot.kernel.task import Rigor
from tests.bench.judging import jury_ms
from tests.fixtures.jury import NO_BODY, PACK, ended, heard, later, probed, proposal, run, suite, verdict

THREE = ("dev-1", "dev-2", "dev-3")
EXAMPLE = {"dev-1": ["FPFP"], "dev-2": ["FPPF"], "dev-3": ["PPPP"]}
"""Base, then the three: two authors each catch one of the others, and both are right about dev-1."""


def said(evidence: Evidence) -> str:
    return "\n".join(judge(evidence).reasons)


def test_the_example_of_cross_examination_in_the_documentation() -> None:
    """docs/decisions.md promises that a reader can predict this one."""
    ruling = judge(heard(THREE, EXAMPLE, lines={"dev-1": 40, "dev-2": 3, "dev-3": 5}))
    assert (ruling.chosen, ruling.decided_by) == ("dev-1-r1", DecidedBy.CROSS_EXAMINATION)
    assert ruling.confidence == 0.799
    assert [(r.agent_id, r.rank, r.scores["duels"]) for r in ruling.ranking] == [
        ("dev-1", 1, 2.197),
        ("dev-2", 2, -2.197),
        ("dev-3", 3, -2.197),
    ]
    assert "dev-1 against dev-2: its own (dev-1) +2.20" in ruling.reasons
    assert [(r.scores["opinions_for"], r.scores["opinions_against"]) for r in ruling.ranking] == [
        (1, 0),  # dev-2's test
        (0, 1),  # dev-1's test
        (1, 1),
    ]


# --- matrix ------------------------------------------------------------------------------------------------------


def cells(evidence: Evidence) -> dict[str, dict[str, Cell]]:
    return {t.test: t.cells for t in matrix_of(evidence)}


def test_every_way_not_to_pass_is_told_apart() -> None:
    """A test that errs, is skipped, is missing or was cut off says so, by subject."""
    evidence = heard(("dev-1", "dev-2", "dev-3"), {"dev-1": ["FPES", "FP-F"]})
    seen = cells(evidence)
    assert list(seen["dev-1::t0"].values()) == [Cell.FAILED, Cell.PASSED, Cell.ERROR, Cell.SKIPPED]
    assert seen["dev-1::t1"][proposal("dev-2")] is Cell.MISSING


def with_run(evidence: Evidence, again: Examination) -> Evidence:
    return msgspec.structs.replace(
        evidence,
        candidates=tuple(
            msgspec.structs.replace(c, examinations=(*c.examinations, again))
            if c.admission.proposal_id == again.subject
            else c
            for c in evidence.candidates
        ),
    )


def test_runs_that_disagree_make_a_cell_flaky_and_say_nothing() -> None:
    """What passes now and fails then is no reason for anything."""
    evidence = heard(THREE, EXAMPLE)
    again = run(proposal("dev-2"), "candidate-dev-1-r1", {"dev-1::t0": Outcome.PASSED}, number=2)
    turned = with_run(evidence, again)
    assert cells(turned)["dev-1::t0"][proposal("dev-2")] is Cell.FLAKY
    assert judge(turned).ranking[0].scores["duels"] < judge(evidence).ranking[0].scores["duels"]


def test_a_run_that_hit_the_time_limit_gives_no_other_cells() -> None:
    """Whatever its report says; and a run whose report cannot be believed leaves its tests missing."""
    late = run(proposal("dev-2"), "candidate-dev-1-r1", {"dev-1::t0": Outcome.PASSED}, number=2, limit="time")
    assert cells(with_run(heard(THREE, EXAMPLE), late))["dev-1::t0"][proposal("dev-2")] is not Cell.PASSED
    bad = msgspec.structs.replace(late, end=ended(0), report_problem="cut off", subject=proposal("dev-3"))
    assert cells(with_run(heard(THREE, EXAMPLE), bad))["dev-1::t0"][proposal("dev-3")] is Cell.FLAKY


def test_tests_of_base_and_files_that_nowhere_load_are_no_new_tests() -> None:
    """They would be counted twice, or stand for nothing."""
    evidence = heard(("dev-1", "dev-2"), {"dev-1": ["FPF", "E--", "EEE"]})
    known = msgspec.structs.replace(suite("base", {"dev-1::t0": Outcome.FAILED}), run=3)
    assert list(cells(evidence)) == ["dev-1::t0"]
    assert not cells(msgspec.structs.replace(evidence, base=(*evidence.base, known)))


# --- what counts -------------------------------------------------------------------------------------------------


def test_sealed_tests_decide_what_the_authors_leave_level() -> None:
    """And the result says that it was they."""
    ruling = judge(heard(("dev-1", "dev-2"), sealed={"tester-1": ["FPF"], "tester-2": ["FPF"]}, lines={"dev-1": 50}))
    assert (ruling.chosen, ruling.decided_by) == ("dev-1-r1", DecidedBy.SEALED_TESTS)


def test_a_verdict_decides_only_where_both_orders_agree() -> None:
    """A judge who follows the order, or fails, has said nothing."""
    pair = heard(("dev-1", "dev-2"), lines={"dev-1": 50})
    judged = msgspec.structs.replace(pair, verdicts=(verdict("dev-1", "dev-2", "dev-1"),))
    assert judge(judged).chosen is not None
    told = heard(("dev-1", "dev-2"), {"dev-1": ["FPF"], "dev-2": ["FFP"]}, lines={"dev-1": 50})
    for spoken, by in (
        (verdict("dev-1", "dev-2", "dev-1"), DecidedBy.JUDGING),
        (verdict("dev-1", "dev-2", None, consistent=False), None),
        (verdict("dev-1", "dev-2", "dev-1", problem="the answer is no JSON"), None),
    ):
        ruling = judge(msgspec.structs.replace(told, verdicts=(spoken,)))
        assert ruling.decided_by == by


def test_two_camps_that_contradict_each_other_are_asked_about() -> None:
    """Counting cannot tell: the answer is the question that would settle it."""
    ruling = judge(heard(("dev-1", "dev-2"), {"dev-1": ["FPF"], "dev-2": ["FFP"]}))
    assert ruling.chosen is None
    assert "`dev-1` and `dev-2` differ on test `dev-1::t0` by dev-1: which is right?" in ruling.settle


def test_camps_are_the_reason_and_not_a_confidence_that_would_do() -> None:
    """Each is sure enough for the rigor: that its rival is as good is what stands against it."""
    given = heard(("dev-1", "dev-2"), {"dev-1": ["FPF"], "dev-2": ["FFP"]})
    sure = judge(given)
    assert sure.chosen is None
    assert sure.reasons[0].startswith("dev-1 and dev-2 behave differently, no evidence puts one of them first")
    assert not any(" asks for " in reason for reason in sure.reasons)
    asked = msgspec.structs.replace(POLICY.profile[Rigor.L2], threshold=0.9)
    strict = msgspec.structs.replace(POLICY, profile=POLICY.profile | {Rigor.L2: asked})
    assert any(" asks for " in reason for reason in judge(given, strict).reasons)


def test_an_abstention_contradicts_itself_nowhere() -> None:
    """A confidence that rounds to the threshold is told as below it; who differs on a test is not said to be told apart
    by none; the step that would settle it is never counted away."""
    calls = {f"f({n})": "AB" for n in range(6)}
    tests = {"dev-1": [*["FPF"] * 3], "dev-2": [*["FFP"] * 3]}
    given = probed(heard(("dev-1", "dev-2"), tests), calls)
    ruling = judge(given)
    assert ruling.settle[-1] == "an acceptance check that fails at base and passes on a right change would settle it"
    assert not any("+0.00" in reason or "-0.00" in reason for reason in ruling.reasons)
    assert any("only its own author passes" in reason for reason in ruling.reasons)
    confidence = 1 / (1 + math.exp(-_sum(ruling.reasons)))
    profile = POLICY.profile | {
        Rigor.L2: msgspec.structs.replace(POLICY.profile[Rigor.L2], threshold=confidence + 1e-3)
    }
    just = judge(given, msgspec.structs.replace(POLICY, profile=profile))
    assert any("just below the" in reason for reason in just.reasons), just.reasons


def _sum(reasons: Sequence[str]) -> float:
    """Of the log-odds that the confidence is told with."""
    (told,) = [reason for reason in reasons if reason.startswith("confidence ")]
    return sum(float(odds) for odds in re.findall(r"[+-]\d+\.\d\d", told))


@pytest.mark.parametrize("wording", [1, 2])
def test_a_decision_is_told_in_the_words_of_its_time(wording: int) -> None:
    """So that one of before is reproduced bit for bit; words decide nothing."""
    given = heard(("dev-1", "dev-2"), {"dev-1": ["FPF"], "dev-2": ["FFP"]})
    ruling, now = judge(given, wording=wording), judge(given)
    assert (ruling.wording, ruling.chosen, ruling.ranking) == (wording, now.chosen, now.ranking)
    assert ruling.reasons[0].startswith("the best candidate has a confidence of") == (wording == 1)


def test_a_majority_with_the_same_mistake_is_one_opinion() -> None:
    """Three authors of one behaviour weigh no more than the one whom an outsider bears out."""
    names = ("dev-1", "dev-2", "dev-3", "dev-4", "dev-5")
    own = {"dev-1": ["FPFFFP"], "dev-2": ["FFPPPP"], "dev-3": ["FFPPPP"], "dev-4": ["FFPPPP"], "dev-5": ["FPFFFP"]}
    assert judge(heard(names, own)).chosen in (proposal("dev-1"), proposal("dev-5"))


def test_a_test_that_passes_only_where_a_check_fails_is_thrown_out_and_reported() -> None:
    """It contradicts what the product owner asked for."""
    check = "python check.py"

    def checked(subject: str, passes: bool) -> Examination:
        return Examination(subject=subject, kind=SuiteKind.CHECK, name=check, end=ended(0 if passes else 1))

    given = heard(THREE, {"dev-3": ["FFFP"], "dev-1": ["FPFP"]}, checks=(check,))
    given = msgspec.structs.replace(given, base=(*given.base, checked("base", False)))
    for name in THREE:
        given = with_run(given, checked(proposal(name), name != "dev-3"))
    assert "1 test without weight, for it passes only where a check of the story fails: `dev-3::t0`" in said(given)


def test_tests_of_one_whose_change_is_out_by_integrity_have_no_weight() -> None:
    """Who changes protected files is no witness."""
    given = heard(THREE, EXAMPLE)
    assert "without weight" not in said(given)
    cheat = msgspec.structs.replace(
        given.candidates[2].admission, tampered=(Tampering(path="tests/test_a.py", how="deleted"),)
    )
    third = msgspec.structs.replace(given.candidates[2], admission=cheat)
    assert "for its author's change is out by integrity" in said(
        msgspec.structs.replace(given, candidates=(*given.candidates[:2], third))
    )


def test_a_finding_that_is_not_reproduced_is_counted_against_its_reviewer() -> None:
    """Its test fails nowhere, so it says nothing of the accused."""
    given = heard(("dev-1", "dev-2"), {"dev-1": ["PPP"]})
    finding = Finding(
        proposal_id=proposal("dev-2"),
        claim="wrong",
        severity="high",
        path="dev-1",
        reproducer=NO_BODY,
        exhibit_id="candidate-dev-1-r1",
    )
    assert "1 finding of dev-1 was not reproduced" in said(msgspec.structs.replace(given, findings=(finding,)))


# --- calls that no test makes ------------------------------------------------------------------------------------

FOUR = ("dev-1", "dev-2", "dev-3", "dev-4")
EACH_ERRS = {"f(1)": "ABAA", "f(2)": "AABA", "f(3)": "AAAB"}
"""Each of the last three errs in another way."""
APART = {"dev-2": ["FPPFF"], "dev-3": ["FPFPF"]}
"""Tests tell all of them apart, and most none from the first."""
assert POLICY.weights is not None
VOTING = msgspec.structs.replace(
    POLICY, weights=msgspec.structs.replace(POLICY.weights, probed=6.0, outvoted=15.0, upheld=2.0)
)
"""By the shipped policy they only ask."""


def test_what_most_of_the_others_give_decides() -> None:
    """Where they have a vote, and two differ, two others who err elsewhere give what the first gives: no test had to
    say so."""
    plain = heard(FOUR, {"dev-2": ["FPPFF", "FFPFF"], "dev-3": ["FPFPF"]}, lines={"dev-1": 50})
    ruling = judge(probed(plain, EACH_ERRS), VOTING)
    assert ruling.chosen == proposal("dev-1")
    assert (ruling.confidence or 0) > (judge(plain).confidence or 0)
    assert any("nowhere agree against it" in words for words in ruling.reasons), ruling.reasons


def test_where_everybody_is_outvoted_somewhere_none_is_chosen() -> None:
    """Each errs in another way, and none is right: the answer says which calls would settle it."""
    three = heard(THREE, {"dev-1": ["FPFF"], "dev-2": ["FFPF"], "dev-3": ["FFFP"]})
    given = probed(three, {"f(1)": "BAA", "f(2)": "ABA", "f(3)": "AAB"})
    assert judge(given, VOTING).chosen is None
    ruling = judge(given)
    assert any("`f(" in words and "which is right" in words for words in ruling.settle), ruling.settle


def test_the_same_behaviour_has_one_vote_however_often_it_is_proposed() -> None:
    """Three who make the same mistake outvote nobody."""
    given = probed(heard(FOUR, {"dev-1": ["FPFFF"]}), {"f(1)": "ABBB"})
    assert not any("agree" in words for words in said(given).split("; "))


def test_nobody_votes_for_what_he_made_himself() -> None:
    """An author's earlier version is no second opinion on his later one."""
    names = ("dev-1-r1", "dev-1-r2", "dev-2")
    tests = {"dev-2": ["FPFP", "FFFP", "FPPF"]}
    alone, helped = (probed(heard(names, tests), calls) for calls in ({"f(1)": "?AB"}, {"f(1)": "AAB", "f(2)": "BAA"}))
    assert "agree" not in said(alone)
    assert "agree with each other" not in said(helped)


def test_older_policies_know_nothing_of_calls() -> None:
    """What was decided by them is decided so again."""
    plain = heard(FOUR, APART)
    assert judge(probed(plain, EACH_ERRS), shipped("2")).ranking == judge(plain, shipped("2")).ranking


def test_calls_whose_answers_differ_are_run_again() -> None:
    """An answer that comes out otherwise each time is none."""
    given = probed(heard(THREE), {"f(1)": "ABA"})
    assert {exhibit for exhibit, _, _ in reruns(given)} == {"probe-1"}
    assert not reruns(probed(heard(THREE), {"f(1)": "AAA"}))


# --- base's tests ------------------------------------------------------------------------------------------------


def breaking(*names: str) -> Evidence:
    """All break the same test of base, and nothing else."""
    tests = {"base::a": Outcome.PASSED, "base::old": Outcome.PASSED}
    base = (suite("base", tests), msgspec.structs.replace(suite("base", tests), run=2))
    given = heard(names)
    return msgspec.structs.replace(
        given,
        base=base,
        candidates=tuple(
            msgspec.structs.replace(
                c, examinations=(suite(c.admission.proposal_id, tests | {"base::old": Outcome.FAILED}),)
            )
            for c in given.candidates
        ),
    )


def test_what_all_good_candidates_break_alike_is_a_question() -> None:
    """Not a verdict on all of them; one alone may simply be wrong."""
    ruling = judge(breaking("dev-1", "dev-2"))
    assert ruling.chosen is None
    assert ruling.settle == ("is `base::old` of base meant to change? Name it as superseded, or it stays",)
    assert "meant to change" not in said(breaking("dev-1"))


def test_a_superseded_test_gates_nothing_and_the_result_says_so() -> None:
    """The story makes it wrong."""
    given = msgspec.structs.replace(breaking("dev-1", "dev-2"), superseded=("base::old",))
    assert judge(given).chosen is not None
    assert "1 test of base superseded by the story, which gates nothing: `base::old`" in said(given)


@pytest.mark.parametrize(
    ("test", "how", "acceptable"),
    [
        ("tests.test_a::old", "1 line removed or changed: assert", True),
        ("tests.test_a.TestOld::old", "1 line removed or changed: assert", True),
        ("tests.test_b::old", "1 line removed or changed: assert", False),
        ("tests.test_a::old", "deleted", False),
    ],
)
def test_only_a_file_with_a_superseded_test_may_be_changed(test: str, how: str, *, acceptable: bool) -> None:
    """Its author has to; the rest of the file is run as base has it, and taking it away is no change."""
    given = heard(THREE, EXAMPLE)
    changed = msgspec.structs.replace(
        given.candidates[2].admission, tampered=(Tampering(path="tests/test_a.py", how=how),)
    )
    third = msgspec.structs.replace(given.candidates[2], admission=changed)
    ruling = judge(msgspec.structs.replace(given, candidates=(*given.candidates[:2], third), superseded=(test,)))
    assert [r.acceptable for r in ruling.ranking if r.agent_id == "dev-3"] == [acceptable]


def test_a_superseded_test_that_base_does_not_have_is_told() -> None:
    """Somebody misspelt it: it must not look as if it had worked."""
    given = msgspec.structs.replace(heard(THREE, EXAMPLE), superseded=("tests.test_a::typo",))
    assert "named as superseded, but base has no such test: `tests.test_a::typo`" in said(given)


def test_two_camps_that_contradict_each_other_are_a_question_and_not_a_matter_of_size() -> None:
    """Each author's test fails on the other, and nothing else tells them apart: none is chosen, and the test named."""
    ruling = judge(heard(("dev-1", "dev-2"), {"dev-1": ["FPF"], "dev-2": ["FFP"]}))
    assert ruling.chosen is None
    assert any("which is right" in words for words in ruling.settle), ruling.settle


def test_new_findings_of_linters_and_files_off_the_story_cost() -> None:
    """As last tie-break: each as much as one more file."""
    given = heard(("dev-1", "dev-2"), lines={"dev-1": 3, "dev-2": 30})
    assert judge(given).chosen == "dev-1-r1"
    lint = Examination(subject=proposal("dev-1"), kind=SuiteKind.LINT, name="lint", end=ended(), counts={"ruff": 1})
    assert judge(with_run(given, lint)).chosen == "dev-2-r1"
    at_base = msgspec.structs.replace(lint, subject="base")
    before = msgspec.structs.replace(given, base=(*given.base, at_base))
    assert judge(with_run(before, lint)).chosen == "dev-1-r1"


# --- what comes next ---------------------------------------------------------------------------------------------


def test_standing_names_objections_and_pairs_that_are_near() -> None:
    """What authors are shown, and what a writer of tests is asked to split."""
    now = standing(heard(THREE, EXAMPLE))
    assert now.classes[0] == (proposal("dev-1"),)
    assert [(o.test, o.author) for o in now.objections[proposal("dev-2")]] == [("dev-1::t0", "dev-1")]
    assert proposal("dev-1") not in now.objections
    assert now.close[0] == (proposal("dev-1"), proposal("dev-2"))
    assert now.confidence == judge(heard(THREE, EXAMPLE)).confidence
    assert sum(now.probability) <= 1.001


def test_nothing_is_settled_by_two_that_agree_while_nobody_looked() -> None:
    """Agents on one model err alike; with sealed tests that they pass it is enough."""
    agreed = heard(("dev-1", "dev-2"), {"dev-1": ["FPP"]})
    assert standing(agreed).settled == ""
    assert "behave alike" in standing(heard(("dev-1", "dev-2"), sealed={"tester-1": ["FPP"]})).settled


def test_only_what_tells_candidates_apart_is_run_again() -> None:
    """On every acceptable candidate, as often as the profile says."""
    wanted = reruns(heard(THREE, EXAMPLE))
    assert {exhibit for exhibit, _, _ in wanted} == {"candidate-dev-1-r1", "candidate-dev-2-r1"}
    assert len(wanted) == 6
    assert {number for _, _, number in wanted} == {2}


# --- when a behaviour came up ---------------------------------------------------------------------------------------


def test_a_behaviour_that_only_a_revision_has_is_doubted() -> None:
    """What it passes, its author was shown. One that somebody had before stands, though it is the dearer one."""
    names, own = ("dev-1", "dev-2"), {"dev-1": ["FPP"], "dev-2": ["PPF"]}
    lines = {"dev-1": 2, "dev-2": 40}
    early = judge(heard(names, own, lines=lines))
    late = judge(later(heard(names, own, lines=lines), "dev-1"))
    assert early.chosen == "dev-1-r1"
    assert late.chosen == "dev-2-r1"
    assert "dev-2 against dev-1: dev-2 -0.92; who behaved so before he saw the evidence +2.08" in late.reasons


def test_a_revision_that_behaves_as_somebody_did_before_is_not_doubted() -> None:
    """The class is known by its first member."""
    given = heard(THREE, {"dev-1": ["FPFP"]})
    one, other = judge(given), judge(later(given, "dev-3"))
    assert (one.chosen, other.chosen) == ("dev-1-r1", "dev-1-r1")
    assert one.confidence == other.confidence


def test_an_author_who_fails_his_own_test_is_doubted() -> None:
    """Another passes what he asserts: he meant something else than he made. That another does so is no doubt of his."""
    given = heard(THREE, {"dev-1": ["FPPF", "FFPF"], "dev-2": ["FPPF"]})
    assert POLICY.weights is not None
    deaf = msgspec.structs.replace(POLICY, weights=msgspec.structs.replace(POLICY.weights, disowned=1.0))
    doubted, plain = (
        {str(r.agent_id): r.scores["confidence"] for r in judge(given, policy).ranking} for policy in (POLICY, deaf)
    )
    assert doubted["dev-1"] < plain["dev-1"] - 0.05
    assert doubted["dev-2"] == plain["dev-2"]


# --- policies ----------------------------------------------------------------------------------------------------


def test_every_shipped_policy_loads_and_old_ones_ignore_what_they_do_not_know() -> None:
    """A ruling names its policy; version 1 knows no tests of candidates."""
    assert [shipped(v).version for v in VERSIONS] == list(VERSIONS)
    assert POLICY.version == VERSIONS[-1]
    given = heard(THREE, EXAMPLE, lines={"dev-1": 40}, rigor=Rigor.L1)
    assert judge(given, shipped("1")).decided_by is DecidedBy.COST


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("guarded = 0.61", "", "guarded"),
        ("guarded = 0.61", "guarded = 1.0", "guarded"),
        ("threshold = 0.3", "threshold = 7", "threshold"),
        ("peers = 3", "peers = 3\nunknown = 1", "unknown"),
        ("L3 = {", "# {", "no profile for L3"),
    ],
)
def test_a_policy_that_makes_no_sense_names_the_field(old: str, new: str, names: str) -> None:
    """Probabilities lie between 0 and 1, every rigor has its profile, and nothing is guessed."""
    whole = files("folkmoot.kernel.jury").joinpath("policies", "1.toml").read_text()
    assert old in whole
    with pytest.raises(InvalidInput, match=names):
        policy_from(whole.replace(old, new, 1).encode())


def test_the_jury_thinks_for_milliseconds() -> None:
    """Eight candidates, 500 tests of their authors: nobody waits for it. The aim is 5 ms on a quiet machine."""
    assert jury_ms(rounds=3) < 100


def test_an_exhibit_nobody_ran_says_nothing() -> None:
    """Absent evidence is no evidence."""
    given = heard(("dev-1", "dev-2"))
    exhibit = Exhibit(exhibit_id="own-dev-1-r1", author=AgentId("dev-1"), source=Source.CANDIDATE, pack=PACK)
    assert judge(msgspec.structs.replace(given, exhibits=(exhibit,))).chosen is not None

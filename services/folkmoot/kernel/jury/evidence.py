"""What the jury may know, and what base showed."""

from collections.abc import Iterable, Sequence

import msgspec

from folkmoot.kernel.deliberation import BASE, TESTS, Deliberation, checks
from folkmoot.kernel.evidence import (
    Admission,
    CommandEnd,
    Examination,
    Exhibit,
    Finding,
    Outcome,
    Refusal,
    SuiteKind,
    Verdict,
)
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.jury.words import ending, named, tests
from folkmoot.kernel.task import Rigor

DOUBTED = "its report is in doubt: "
"""So a report problem begins where there are outcomes, and the run may have made them up."""

UNRELIABLE = "none of base's tests passes reliably: nothing guards against regressions"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An admitted proposal and all that was run on it."""

    admission: Admission
    examinations: tuple[Examination, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the jury may know."""

    rigor: Rigor
    checks: tuple[str, ...]
    """Each must have been run on every candidate."""
    tested: bool
    """Base has a test suite."""
    base: tuple[Examination, ...]
    """The baseline's runs, and the checks at base."""
    candidates: tuple[Candidate, ...]
    refusals: tuple[Refusal, ...] = ()
    failures: dict[AgentId, str] = {}
    """Agents without a proposal."""
    exhibits: tuple[Exhibit, ...] = ()
    """Tests that were run on base and on every candidate, as examinations of kind `exhibit` by their id."""
    findings: tuple[Finding, ...] = ()
    """What reviewers said, with the exhibit that is to show it."""
    verdicts: tuple[Verdict, ...] = ()
    superseded: tuple[str, ...] = ()
    """Ids of base's tests that the story makes wrong."""
    paths: tuple[str, ...] = ()
    """Files and folders that the story is about; empty: nobody said."""


def collect(state: Deliberation, examinations: Iterable[Examination]) -> Evidence:
    """What was recorded, sorted for the jury. `examinations` are the bodies behind `state.examined`."""
    by_subject: dict[str, list[Examination]] = {}
    for examination in examinations:
        by_subject.setdefault(examination.subject, []).append(examination)
    return Evidence(
        rigor=state.spec.rigor,
        checks=checks(state),
        tested=state.base is not None and state.base.suite is not None,
        base=tuple(by_subject.get(BASE, ())),
        candidates=tuple(
            Candidate(admission=a, examinations=tuple(by_subject.get(a.proposal_id, ()))) for a in state.admissions
        ),
        refusals=state.refusals,
        failures=state.failures,
        exhibits=state.exhibits,
        findings=tuple(f for review in state.reviews for f in review.findings),
        verdicts=state.verdicts,
        superseded=state.spec.superseded,
        paths=state.spec.paths,
    )


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    passing: frozenset[str]
    """Tests that passed in all runs at base, or at another side of the merge: the only ones that gate."""
    failing: frozenset[str]
    """Tests that ran and passed in none: a candidate may repair them."""
    clean_exit: bool
    """All runs ended with exit code 0."""
    open_checks: frozenset[str]
    """Checks that ran on base and failed there."""
    doubts: frozenset[str]
    """Why its own runs' reports are in doubt: habits of base, which nobody is to blame for."""
    words: tuple[str, ...]


def baseline_of(evidence: Evidence) -> Baseline:
    runs = [e for e in evidence.base if e.kind is SuiteKind.TESTS and e.name == TESTS]
    seen = {test for run in runs for test in run.tests}
    ever, reliable = _ever_and_always(runs)
    superseded = set(evidence.superseded)
    always = (reliable | (_at_sides(evidence) - ever)) - superseded
    ran = {t for run in runs for t, outcome in run.tests.items() if outcome is not Outcome.SKIPPED} - always
    flaky, failing = ever - always - superseded, ran - ever - superseded
    at_base = {e.name: e.end for e in evidence.base if e.kind is SuiteKind.CHECK}
    return Baseline(
        passing=frozenset(always),
        failing=frozenset(seen & failing),
        clean_exit=bool(runs) and all(ended_well(r.end) for r in runs),
        open_checks=frozenset(name for name, end in at_base.items() if not ended_well(end)),
        doubts=habits(evidence),
        words=(*_baseline_words(evidence, runs, always, flaky, failing), *_check_words(at_base)),
    )


def habits(evidence: Evidence) -> frozenset[str]:
    """Why reports of base's own tests on base are in doubt: whatever these words say, it is no candidate's doing."""
    runs = [e for e in evidence.base if e.kind is SuiteKind.TESTS]
    return frozenset(r.report_problem for r in runs if r.report_problem.startswith(DOUBTED))


def _ever_and_always(runs: Sequence[Examination]) -> tuple[set[str], set[str]]:
    """Tests that passed in a run, and those that did in all."""
    passed = [{t for t, outcome in run.tests.items() if outcome is Outcome.PASSED} for run in runs]
    ever = set().union(*passed)
    return ever, ever.intersection(*passed)


def _at_sides(evidence: Evidence) -> set[str]:
    """What passes reliably at the other sides of a merge."""
    sides: dict[str, list[Examination]] = {}
    for run in evidence.base:
        if run.kind is SuiteKind.TESTS and run.name != TESTS:
            sides.setdefault(run.name, []).append(run)
    return set().union(*(_ever_and_always(runs)[1] for runs in sides.values()))


def _baseline_words(
    evidence: Evidence, runs: Sequence[Examination], always: set[str], flaky: set[str], failing: set[str]
) -> list[str]:
    if not evidence.tested:
        return ["base has no tests: nothing guards against regressions"]
    words = [f"base's tests, run {r.run}: {problem}" for r in runs if (problem := unbelievable(r))]
    if not always:
        words.append(UNRELIABLE)
    if flaky:
        words.append(f"{tests(flaky)} flaky at base, which gates nothing: {named(flaky)}")
    there = {test for run in runs for test in run.tests}
    if gone := sorted(there & set(evidence.superseded)):
        words.append(f"{tests(gone)} of base superseded by the story, which gates nothing: {named(gone)}")
    if unknown := sorted(set(evidence.superseded) - there):
        words.append(
            f"named as superseded, but base has no such {'test' if len(unknown) == 1 else 'tests'}: {named(unknown)}"
        )
    if failing:
        words.append(f"{tests(failing)} failing at base, which gates nothing: {named(failing)}")
    return words


def _check_words(at_base: dict[str, CommandEnd]) -> list[str]:
    idle = sorted(name for name, end in at_base.items() if ended_well(end))
    return [f"the check `{name}` passes at base already: it shows nothing here" for name in idle]


def unbelievable(run: Examination) -> str:
    """Why a run of tests cannot count as passed, whatever its report says."""
    if not run.end.limit and run.end.exit_code is not None:
        return run.report_problem
    return f"ended by {ending(run.end)}" + (f"; {run.report_problem}" if run.report_problem else "")


def ended_well(end: CommandEnd) -> bool:
    return end.ok and not end.limit and end.signal is None

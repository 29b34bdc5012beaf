"""What every author's tests say of base and of every candidate: one cell per test and subject."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from folkmoot.kernel.evidence import Examination, Exhibit, Outcome, SuiteKind
from folkmoot.kernel.jury.evidence import Evidence, habits, unbelievable


class Cell(StrEnum):
    PASSED = "pass"
    FAILED = "fail"
    ERROR = "error"
    TIMEOUT = "timeout"
    """The run hit the time limit."""
    MISSING = "missing"
    """It ran elsewhere, and not here; or the report of the run cannot be believed."""
    SKIPPED = "skipped"
    FLAKY = "flaky"
    """Runs disagree: it says nothing."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One test of an exhibit."""

    exhibit: Exhibit
    test: str
    cells: dict[str, Cell]
    """By subject; a subject on which the exhibit was not run has none."""


_CELLS = {
    Outcome.PASSED: Cell.PASSED,
    Outcome.FAILED: Cell.FAILED,
    Outcome.ERROR: Cell.ERROR,
    Outcome.SKIPPED: Cell.SKIPPED,
}


_RAN = frozenset({Cell.PASSED, Cell.FAILED, Cell.SKIPPED, Cell.FLAKY})
"""What nowhere gets as far is no test: a file that cannot be loaded is reported under an id of its own."""


def matrix_of(evidence: Evidence) -> tuple[Trial, ...]:
    """By exhibit and test id. Tests that base's own suite has are no new ones, unless the story supersedes them."""
    runs = _runs(evidence)
    known = _base_ids(evidence)
    exhibits = sorted(evidence.exhibits, key=lambda e: e.exhibit_id)
    return tuple(trial for e in exhibits for trial in _trials(e, runs.get(e.exhibit_id, {}), known))


def _runs(evidence: Evidence) -> dict[str, dict[str, list[Examination]]]:
    """By exhibit and subject. A doubt that is a habit of base is none."""
    doubts = habits(evidence)
    found: dict[str, dict[str, list[Examination]]] = {}
    for examinations in (evidence.base, *(c.examinations for c in evidence.candidates)):
        for e in examinations:
            if e.kind is SuiteKind.EXHIBIT:
                run = msgspec.structs.replace(e, report_problem="") if e.report_problem in doubts else e
                found.setdefault(e.name, {}).setdefault(e.subject, []).append(run)
    return found


def _base_ids(evidence: Evidence) -> set[str]:
    suites = [e.tests.keys() for e in evidence.base if e.kind is SuiteKind.TESTS]
    return set().union(*suites) - set(evidence.superseded)


def _trials(exhibit: Exhibit, runs: dict[str, list[Examination]], known: set[str]) -> Iterator[Trial]:
    columns = [(subject, *_column(of)) for subject, of in runs.items()]
    tests = set().union(*(cells for _, _, cells in columns)) - known
    for test in sorted(tests):
        cells = {subject: of.get(test, absent) for subject, absent, of in columns}
        if not _RAN.isdisjoint(cells.values()):
            yield Trial(exhibit=exhibit, test=test, cells=cells)


def _column(runs: Sequence[Examination]) -> tuple[Cell, dict[str, Cell]]:
    """What a test that is not named has, and the cells of those that are."""
    columns = [_single(run) for run in runs]
    if len(columns) == 1:
        return columns[0]
    tests = set().union(*(cells for _, cells in columns))
    absent = _agreed(absent for absent, _ in columns)
    return absent, {t: _agreed(cells.get(t, absent) for absent, cells in columns) for t in tests}


def _single(run: Examination) -> tuple[Cell, dict[str, Cell]]:
    if not unbelievable(run):
        return Cell.MISSING, {test: _CELLS[outcome] for test, outcome in run.tests.items()}
    return (Cell.TIMEOUT if run.end.limit == "time" else Cell.MISSING), {}


def _agreed(cells: Iterable[Cell]) -> Cell:
    """Of several runs: which way it does not pass is no disagreement."""
    seen = set(cells)
    if len(seen) == 1:
        return seen.pop()
    if seen & {Cell.PASSED, Cell.SKIPPED}:
        return Cell.FLAKY
    return Cell.FAILED if Cell.FAILED in seen else Cell.ERROR

"""Tests against candidates: a row per test, a cell per candidate. Pure, and no judge of what it shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Examination, Exhibit, Finding, Outcome, Source, SuiteKind
from folkmoot.kernel.facts import Reviewed


class Cell(StrEnum):
    """What one test did on base or on one candidate, over all runs."""

    PASSED = "pass"
    FAILED = "fail"
    ERROR = "error"
    SKIPPED = "skipped"
    TIMEOUT = "timeout"
    MISSING = "missing"
    """The run ended without a word of it."""
    FLAKY = "flaky"
    """Its runs differ."""


_OF_OUTCOME = {
    Outcome.PASSED: Cell.PASSED,
    Outcome.FAILED: Cell.FAILED,
    Outcome.ERROR: Cell.ERROR,
    Outcome.SKIPPED: Cell.SKIPPED,
}
_AGAINST = frozenset({Cell.FAILED, Cell.ERROR, Cell.TIMEOUT, Cell.MISSING})
Runs = Mapping[tuple[str, str], Sequence[Examination]]
"""By exhibit and subject."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one exhibit."""

    exhibit_id: str
    author: str
    source: Source
    test: str
    """Its id; empty for an exhibit of which no test was ever seen to run."""
    discriminates: bool
    """Passes on a candidate and does not on another."""
    cells: dict[str, Cell]
    """By subject; without those on which it was not run."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and whether the platform saw what it says."""

    reviewer: str
    round: int
    finding: Finding
    reproduced: bool | None
    """None: it was not run (yet)."""


def matrix(exhibits: Iterable[Exhibit], examinations: Iterable[Examination]) -> tuple[Line, ...]:
    """Tests that tell candidates apart first; else as the exhibits came, and by id within one."""
    runs = _runs(examinations)
    lines = [line for exhibit in exhibits for line in _lines(exhibit, runs)]
    return tuple(sorted(lines, key=lambda line: not line.discriminates))


def _runs(examinations: Iterable[Examination]) -> Runs:
    found: dict[tuple[str, str], list[Examination]] = {}
    for e in examinations:
        if e.kind is SuiteKind.EXHIBIT:
            found.setdefault((e.name, e.subject), []).append(e)
    return found


def _lines(exhibit: Exhibit, runs: Runs) -> Iterator[Line]:
    of_it = {subject: own for (name, subject), own in runs.items() if name == exhibit.exhibit_id}
    seen = sorted({test for own in of_it.values() for run in own for test in run.tests})
    for test in seen or [""]:
        cells = {subject: _cell(test, own) for subject, own in of_it.items()}
        yield Line(
            exhibit_id=exhibit.exhibit_id,
            author=exhibit.author,
            source=exhibit.source,
            test=test,
            discriminates=_discriminates(cells),
            cells=cells,
        )


def _cell(test: str, runs: Sequence[Examination]) -> Cell:
    seen = {_of_run(test, run) for run in runs}
    return seen.pop() if len(seen) == 1 else Cell.FLAKY


def _of_run(test: str, run: Examination) -> Cell:
    if test in run.tests:
        return _OF_OUTCOME[run.tests[test]]
    return Cell.TIMEOUT if run.end.limit == "time" else Cell.MISSING


def _discriminates(cells: Mapping[str, Cell]) -> bool:
    on_candidates = {cell for subject, cell in cells.items() if subject != BASE}
    return Cell.PASSED in on_candidates and bool(on_candidates & _AGAINST)


def findings(reviews: Iterable[Reviewed], lines: Sequence[Line]) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            reviewer=review.work.agent_id,
            round=review.work.round,
            finding=finding,
            reproduced=_reproduced(finding, lines),
        )
        for review in reviews
        for finding in review.findings
    )


def _reproduced(finding: Finding, lines: Sequence[Line]) -> bool | None:
    """A test of its own fails on the proposal that it speaks of, each time."""
    own = [line for line in lines if finding.exhibit_id and line.exhibit_id == finding.exhibit_id]
    run = [line for line in own if finding.proposal_id in line.cells]
    return any(line.test and line.cells[finding.proposal_id] in _AGAINST for line in run) if run else None

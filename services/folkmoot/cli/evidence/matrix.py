"""Tests against candidates, as the jury reads them: a row per test, a cell per candidate. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Exhibit, Finding, Source
from folkmoot.kernel.facts import Reviewed
from folkmoot.kernel.jury import Cell, Evidence, matrix_of

_SHOWS = frozenset({Cell.FAILED, Cell.ERROR, Cell.TIMEOUT})
_AGAINST = _SHOWS | {Cell.MISSING}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one exhibit."""

    exhibit_id: str
    author: str
    source: Source
    test: str
    """Its id; empty for an exhibit of which no test counts: none ran anywhere, or they are base's own."""
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


def matrix(evidence: Evidence) -> tuple[Line, ...]:
    """Tests that tell candidates apart first; else as the exhibits came, and by id within one."""
    trials = matrix_of(evidence)
    lines = [_line(trial.exhibit, trial.test, trial.cells) for trial in trials]
    idle = {e.exhibit_id: e for e in evidence.exhibits if e not in [trial.exhibit for trial in trials]}
    lines += [_line(exhibit, "", {}) for exhibit in idle.values()]
    came = {exhibit.exhibit_id: number for number, exhibit in enumerate(evidence.exhibits)}
    return tuple(sorted(lines, key=lambda line: (not line.discriminates, came[line.exhibit_id])))


def _line(exhibit: Exhibit, test: str, cells: dict[str, Cell]) -> Line:
    return Line(
        exhibit_id=exhibit.exhibit_id,
        author=exhibit.author,
        source=exhibit.source,
        test=test,
        discriminates=_discriminates(cells),
        cells=cells,
    )


def _discriminates(cells: Mapping[str, Cell]) -> bool:
    on_candidates = {cell for subject, cell in cells.items() if subject != BASE}
    return Cell.PASSED in on_candidates and bool(on_candidates & _AGAINST)


def findings(
    reviews: Iterable[Reviewed], lines: Sequence[Line], run: Collection[tuple[str, str]] = ()
) -> tuple[Shown, ...]:
    """`run`: name and subject of every examination; one that left no line showed nothing, which is not none."""
    return tuple(shown for review in reviews for shown in _of(review, lines, run))


def _of(review: Reviewed, lines: Sequence[Line], run: Collection[tuple[str, str]]) -> Iterator[Shown]:
    for finding in review.findings:
        seen = _reproduced(finding, lines)
        if seen is None and (finding.exhibit_id, finding.proposal_id) in run:
            seen = False
        yield Shown(reviewer=review.work.agent_id, round=review.work.round, finding=finding, reproduced=seen)


def _reproduced(finding: Finding, lines: Sequence[Line]) -> bool | None:
    """As the jury: a test of its own fails on the proposal that it speaks of, and passes somewhere."""
    own = [line.cells for line in lines if finding.exhibit_id and line.exhibit_id == finding.exhibit_id]
    run = [cells for cells in own if finding.proposal_id in cells]
    shown = (cells[finding.proposal_id] in _SHOWS and Cell.PASSED in cells.values() for cells in run)
    return any(shown) if run else None

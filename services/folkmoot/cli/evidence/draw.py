"""Drawing evidence: tables and lists from values. No I/O; foreign text goes through `text.line`."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from folkmoot.cli import draw, paper
from folkmoot.cli.client import Evidence
from folkmoot.cli.evidence import course
from folkmoot.cli.evidence.matrix import Line, Shown
from folkmoot.cli.lanes import rows_of
from folkmoot.cli.text import line
from folkmoot.cli.words import several
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Source, Verdict
from folkmoot.kernel.facts import CandidatesRanked, Staged
from folkmoot.kernel.jury import Cell

LINES = 30
"""Of the matrix, unless all are asked for."""
_COLOURS = {
    Cell.PASSED: "green",
    Cell.FAILED: "red",
    Cell.ERROR: "red",
    Cell.TIMEOUT: "red",
    Cell.MISSING: "yellow",
    Cell.FLAKY: "yellow",
    Cell.SKIPPED: "dim",
}
_SOURCES = {
    Source.CANDIDATE: "with its proposal",
    Source.FINDING: "as a finding",
    Source.SEALED: "without seeing a candidate",
    Source.SPLIT: "to tell two apart",
    Source.PROBE: "to see where candidates differ: each test is a call and what it gives",
}


def evidence(found: Evidence, lines: Sequence[Line], shown: Sequence[Shown], limit: int | None) -> RenderableType:
    """Everything that there is, part by part; `limit` lines of the matrix, None for all."""
    parts: list[RenderableType] = []
    if found.papers:
        parts.append(draw.headed("Claims of its documents", Group(*map(paper.found, found.papers))))
    else:
        parts.append(draw.matrix(rows_of(found.examinations), found.admissions, found.refusals))
    if found.exhibits:
        parts.append(draw.headed("Tests of its authors, reviewers and test writers", _tests(found, lines, limit)))
    if found.papers and found.reviews:
        parts.append(draw.headed("Criticism", Group(*map(paper.criticism, found.reviews))))
    if shown:
        parts.append(draw.headed("Findings", Group(*map(_finding, shown))))
    if found.verdicts:
        parts.append(draw.headed("Verdicts", Group(*map(_verdict, found.verdicts))))
    if found.stages:
        parts.append(draw.headed("How it went", Group(*_went(found.stages, found.idle))))
    if found.ranked:
        parts.append(draw.headed("What was decided on it", ruling(found.ranked)))
    return Group(*parts)


# --- the matrix --------------------------------------------------------------------------------------------------


def _tests(found: Evidence, lines: Sequence[Line], limit: int | None) -> RenderableType:
    subjects = [BASE, *(a.proposal_id for a in found.admissions)]
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in ("exhibit", "test", *(line(s, 40) for s in subjects)):
        table.add_column(column, overflow="fold")
    shown = lines if limit is None else lines[:limit]
    for row in shown:
        name = Text(line(row.test, 200)) if row.test else Text("(no test of it counts)", style="dim")
        table.add_row(Text(line(row.exhibit_id, 60), style="dim"), name, *(_cell(row, s) for s in subjects))
    exhibits = [_exhibit(e.exhibit_id, e.author, e.source) for e in found.exhibits]
    return Group(table, *_left(lines[len(shown) :]), *exhibits)


def _cell(row: Line, subject: str) -> Text:
    cell = row.cells.get(subject)
    return Text(cell, style=_COLOURS[cell]) if cell else Text("-", style="dim")


def _left(hidden: Sequence[Line]) -> Iterator[Text]:
    if hidden:
        telling = sum(row.discriminates for row in hidden)
        yield Text(f"… {several(len(hidden), 'more test')}, {telling} of which tell candidates apart; --all shows them")


def _exhibit(name: str, author: str, source: Source) -> Text:
    return Text(f"{line(name, 60)}: written by {line(author, 40)} {_SOURCES[source]}", style="dim")


# --- what was said -----------------------------------------------------------------------------------------------


def _finding(shown: Shown) -> Text:
    finding = shown.finding
    out = Text(f"  - {line(shown.reviewer, 40)} of {line(finding.proposal_id, 40)} ({line(finding.severity, 10)}): ")
    return out.append_text(_reproduced(shown)).append(f": {line(finding.claim, 600)}")


def _reproduced(shown: Shown) -> Text:
    if shown.finding.problem:
        return Text(f"could not be run ({line(shown.finding.problem, 200)})", style="yellow")
    words = {True: "reproduced", False: "not reproduced", None: "not run"}
    return Text(words[shown.reproduced], style={True: "red", False: "dim", None: "yellow"}[shown.reproduced])


def _verdict(verdict: Verdict) -> Text:
    pair = f"  - {line(verdict.one, 40)} or {line(verdict.other, 40)}: "
    by = f" (by {line(verdict.judge, 40)}, {line(verdict.model, 60)})"
    return Text(f"{pair}{_says(verdict)}{by}").append(
        "".join(f"\n      {line(r, 400)}" for r in verdict.reasons), "dim"
    )


def _says(verdict: Verdict) -> str:
    if verdict.problem:
        return f"no usable answer: {line(verdict.problem, 200)}"
    if not verdict.consistent:
        return "a tie, for the two orders got different answers"
    return line(verdict.better, 40) if verdict.better else "a tie"


def _went(stages: Sequence[Staged], idle: dict[str, str]) -> Iterator[Text]:
    for staged, what in zip(stages, course.stages(stages), strict=True):
        reasons = "; ".join(line(r, 300) for r in staged.reasons)
        yield Text(f"  - {line(what, 600)}").append(f": {reasons}" if reasons else "", "dim")
    for work, reason in idle.items():
        yield Text(f"  - nothing came of {line(course.nothing_of(work), 120)}: {line(reason, 300)}", style="dim")


def ruling(ranked: CandidatesRanked) -> RenderableType:
    """The choice, its reasons with what each opinion weighs, and what would settle it."""
    chosen = line(ranked.chosen, 40) if ranked.chosen else "none"
    sure = f", confidence {ranked.confidence}" if ranked.confidence is not None else ""
    lines = [Text(f"  {chosen}{sure} (policy {line(ranked.policy, 64)})", style="bold")]
    lines += [Text(f"  - {line(reason, 600)}") for reason in ranked.reasons if reason not in ranked.settle]
    lines += [Text(f"  ? {line(words, 600)}", style="yellow") for words in ranked.settle]
    return Group(*lines)

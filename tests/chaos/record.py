"""What was done and what came of it, a line of JSON each, written at once: readable when a campaign is cut off."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tests.chaos.faults import Fault

FILE = "chaos.jsonl"


class Row(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """A fault that is over."""

    seed: str
    fault: Fault
    at_s: float
    """Of the run."""
    skipped: str = ""
    """Why it could not be carried out: nobody of that name was there, or nothing can be mounted here."""
    recovered_s: float | None = None
    """From its end; None: it was not carried out, or nothing recovered from it."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    seed: str
    subject: str
    """A story, or what of the whole run."""
    faults: tuple[int, int]
    """Number of the last fault that had begun when the story was asked for, and when it ended."""
    problem: str

    def __str__(self) -> str:
        first, last = self.faults
        return f"seed {self.seed}, faults {first} to {last}, {self.subject}: {self.problem}"


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """What came of one sequence of faults."""

    seed: str
    findings: tuple[Finding, ...]
    stories: int = 0
    plans: int = 0
    """Of the stories, those with several tasks."""
    tasks: int = 0
    swallowed: int = 0
    """Replies of the log that were lost or late."""
    kept: str = ""
    """Folder with the platform's data and logs; only where something was found."""

    def __str__(self) -> str:
        counts = f"{self.stories} stories, {self.plans} of them plans, {self.tasks} tasks"
        lines = [f"seed {self.seed}: {counts}, {self.swallowed} replies lost or late, {len(self.findings)} violations"]
        return "\n".join([*lines, *map(str, self.findings), *([f"kept: {self.kept}"] if self.kept else [])])


def append(folder: Path, entry: Row | Run) -> None:
    with (folder / FILE).open("ab") as file:
        file.write(msgspec.json.encode(entry) + b"\n")


def read(folder: Path) -> tuple[list[Row], list[Run]]:
    """Empty where nothing was written. A line that was cut off is left out."""
    rows: list[Row] = []
    runs: list[Run] = []
    file = folder / FILE
    for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
        if line.endswith(b"\n"):
            entry = msgspec.json.decode(line, type=Row | Run)
            rows, runs = ([*rows, entry], runs) if isinstance(entry, Row) else (rows, [*runs, entry])
    return rows, runs


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Fault by outcome; recovery is from a fault's end until all services answer and each task goes on."""
    by: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by[row.fault.kind, row.fault.victim].append(row)
    yield "| fault | to | times | not run | recovered | not recovered | median s | longest s |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for (kind, victim), alike in sorted(by.items()):
        yield _line(kind, victim, alike)
    yield _line("all", "", [row for alike in by.values() for row in alike])


def _line(kind: str, victim: str, rows: list[Row]) -> str:
    times = [row.recovered_s for row in rows if row.recovered_s is not None]
    middle, longest = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
    skipped = sum(bool(row.skipped) for row in rows)
    cells = [kind, victim, len(rows), skipped, len(times), len(rows) - skipped - len(times), middle, longest]
    return f"| {' | '.join(map(str, cells))} |"


def summary(rows: list[Row], runs: list[Run]) -> Iterator[str]:
    """Sums over all runs, those that were cut off too, and what was found."""
    yield from table(rows)
    yield ""
    yield from (f"not run: {reason}" for reason in sorted({row.skipped for row in rows if row.skipped}))
    cut_off = sorted({row.seed for row in rows} - {run.seed for run in runs})
    yield from (f"cut off: seed {seed}" for seed in cut_off)
    findings = [finding for run in runs for finding in run.findings]
    yield from map(str, findings)
    counts = f"{sum(r.stories for r in runs)} stories, {sum(r.plans for r in runs)} of them plans"
    tasks = f"{sum(r.tasks for r in runs)} tasks, {sum(r.swallowed for r in runs)} replies lost or late"
    yield f"{len(rows)} faults in {len(runs)} runs, {counts}, {tasks}, {len(findings)} violations"

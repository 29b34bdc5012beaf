"""`python -m tests.chaos --faults 1000 --seed 1`: faults at random over many deliberations, and a table of outcomes.

Every RUN faults there is a new platform, with a seed of its own (`1.1`, `1.2`, …); `--replay 1.2` plays that one again:
the same faults in the same order, waiting for the same phases; to the moment only as far as processes allow. Exits
with 1 when something that must hold did not.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.chaos.faults import drawn
from tests.chaos.inject import Row
from tests.chaos.play import Run, run

RUN = 50
"""Faults on one platform: about 4 minutes."""


async def campaign(seeds: list[tuple[str, int]], keep: Path) -> list[Run]:
    """Seed and number of faults of each run, one after the other."""
    runs = []
    for seed, count in seeds:
        with tempfile.TemporaryDirectory(prefix="moot-chaos-") as folder:
            done = await run(seed, drawn(seed, count), Path(folder), keep=keep)
        _report(done)
        runs.append(done)
    return runs


def _report(done: Run) -> None:
    counts = f"{len(done.rows)} faults, {done.tasks} deliberations, {done.swallowed} replies lost or late"
    _say(f"seed {done.seed}: {counts}, {len(done.findings)} violations")
    if done.findings:
        _say("\n".join([*done.timeline, *map(str, done.findings), f"kept: {done.kept}"]))


def table(runs: list[Run]) -> str:
    """Fault by outcome; recovery is from a fault's end until all services answer and each task goes on."""
    by: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in (row for each in runs for row in each.rows):
        by[row.fault.victim, row.fault.kind].append(row)
    lines = [
        f"{'victim':16} {'fault':28} {'count':>5} {'not run':>7} {'recovered':>9} {'median s':>8} {'longest s':>9}"
    ]
    for (victim, kind), rows in sorted(by.items()):
        times = [row.recovered_s for row in rows if row.recovered_s is not None]
        middle, longest = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
        skipped = sum(bool(row.skipped) for row in rows)
        lines.append(f"{victim:16} {kind:28} {len(rows):5} {skipped:7} {len(times):9} {middle:>8} {longest:>9}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _seeds(options: argparse.Namespace) -> list[tuple[str, int]]:
    if options.replay:
        return [(options.replay, min(options.faults, RUN))]
    starts = range(0, options.faults, RUN)
    return [(f"{options.seed}.{n}", min(RUN, options.faults - at)) for n, at in enumerate(starts, 1)]


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--replay", metavar="SEED", default="", help="of one run, as a violation names it")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()), help="where data of violations goes")
    options = parser.parse_args()
    runs = asyncio.run(campaign(_seeds(options), options.keep))
    violations = sum(len(each.findings) for each in runs)
    not_run = {row.skipped for each in runs for row in each.rows if row.skipped}
    _say(f"\n{table(runs)}\n")
    _say("\n".join(f"not run: {reason}" for reason in sorted(not_run)))
    _say(
        f"{sum(len(r.rows) for r in runs)} faults, {sum(r.tasks for r in runs)} deliberations, {violations} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())

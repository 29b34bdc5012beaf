"""`python -m tests.chaos --rounds 20 --seed 1`: parts die at random moments of many deliberations; a table of outcomes.

Exits with 1 when a decision differs from the undisturbed one, or something was done twice or left behind.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import msgspec

from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.kernel.ids import TaskId
from tests.chaos import processes
from tests.chaos.arena import Arena, Outcome
from tests.chaos.conftest import played, standing
from tests.fixtures.platform import Moot

EVENTS = 20
"""Of an undisturbed deliberation, roughly: a fault comes behind one of them."""
VICTIMS = ("orchestrator", "runner", "ray worker", "ray head", "ray gcs", "raylet", "nats", "planning", "context")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    victim: str
    after: int
    """Events of the task."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    faults: tuple[Fault, ...]
    problem: str
    """Empty: the decision is the undisturbed one, and everything was done once."""
    seconds: float


def drawn(chance: random.Random) -> tuple[Fault, ...]:
    """One fault or two, the earlier first."""
    moments = sorted(chance.sample(range(1, EVENTS), chance.choice((1, 1, 2))))
    return tuple(Fault(victim=chance.choice(VICTIMS), after=m) for m in moments)


def _nth(number: int) -> Callable[[Stored], bool]:
    """True behind so many events, or at the end."""
    seen = iter(range(1, sys.maxsize))
    return lambda stored: next(seen) >= number or isinstance(stored.event.data, DeliberationEnded)


async def round_(arena: Arena, faults: tuple[Fault, ...], expected: Outcome) -> Row:
    began = time.monotonic()
    task = await arena.submit()
    for fault in faults:
        await arena.reached(task, _nth(fault.after))
        victim = processes.part_or_none(arena.info, fault.victim)
        if victim is not None:
            processes.kill(victim)
    problem = await _problem(arena, task, expected)
    return Row(faults=faults, problem=problem, seconds=time.monotonic() - began)


async def _problem(arena: Arena, task: TaskId, expected: Outcome) -> str:
    try:
        outcome = await arena.outcome(task)
        await arena.sound(task)
        await arena.tidy(task)
    except (AssertionError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if outcome == expected else f"decided otherwise: {outcome}"


async def run(arena: Arena, rounds: int, seed: int) -> list[Row]:
    expected, usual_s = await arena.undisturbed()
    _say(f"seed {seed}; undisturbed: {usual_s:.1f} s, {expected.winner} by {expected.decided_by}")
    chance = random.Random(seed)
    rows = []
    for number in range(1, rounds + 1):
        row = await round_(arena, drawn(chance), expected)
        what = ", ".join(f"{f.victim} after {f.after}" for f in row.faults)
        _say(f"{number:3}  {row.seconds:6.1f} s  {row.problem or 'same'}  ({what})")
        rows.append(row)
    await arena.graph_is_the_log()
    return rows


def table(rows: list[Row]) -> str:
    """Fault by outcome; a round with two faults counts for both."""
    by: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for victim in {f.victim for f in row.faults}:
            by[victim].append(row)
    lines = [f"{'killed':14} {'rounds':>6} {'same':>6} {'other':>6} {'median s':>9} {'longest s':>10}"]
    for victim, ours in sorted(by.items()):
        bad = sum(bool(r.problem) for r in ours)
        times = [r.seconds for r in ours]
        middle, longest = statistics.median(times), max(times)
        lines.append(f"{victim:14} {len(ours):6} {len(ours) - bad:6} {bad:6} {middle:9.1f} {longest:10.1f}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="moot-chaos-") as folder,
        contextmanager(played)(Path(folder)) as url,
        contextmanager(standing)(Moot(Path(folder) / "data"), url) as arena,
    ):
        rows = asyncio.run(run(arena, options.rounds, options.seed))
    _say(f"\n{table(rows)}")
    return 1 if any(r.problem for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

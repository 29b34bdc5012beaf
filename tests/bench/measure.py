"""What a measurement is: our times and the floor's, taken in turn in one run, so that a busy machine burdens both."""

import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

Probe = Callable[[], Awaitable[float]]
"""Does the work once; answers with seconds."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. Times in seconds, unless `unit` says otherwise."""

    work: str
    ours: tuple[float, ...]
    floor: tuple[float, ...] = ()
    aim: str = ""
    unit: str = "ms"
    """`ms`, or a rate such as `events/s`."""


async def interleaved(work: str, ours: Probe, floor: Probe, *, rounds: int, aim: str, warm: int = 1) -> Row:
    """`rounds` of both, one after the other; what the first `warm` rounds took is thrown away."""
    pairs = [(await ours(), await floor()) for _ in range(warm + rounds)][warm:]
    return _told(Row(work=work, ours=tuple(p[0] for p in pairs), floor=tuple(p[1] for p in pairs), aim=aim))


async def repeated(work: str, ours: Probe, *, rounds: int, aim: str = "") -> Row:
    """Where no floor exists: the aim is a time."""
    return _told(Row(work=work, ours=tuple([await ours() for _ in range(rounds)]), aim=aim))


def _told(row: Row) -> Row:
    """A bench that takes minutes says how far it is, and a broken one what it had found."""
    sys.stderr.write(_line(row) + "\n")
    return row


async def timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def timed_call(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def quantile(values: Sequence[float], share: float) -> float:
    """By nearest rank, so that few values give one of themselves."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| work | ours p50 (p90) | floor p50 | ratio | aim |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    middle = statistics.median(row.ours)
    ours = f"{_shown(middle, row.unit)} ({_shown(quantile(row.ours, 0.9), row.unit)})"
    floor = statistics.median(row.floor) if row.floor else None
    ratio = f"{middle / floor:.2f}" if floor else "-"
    return f"| {row.work} | {ours} | {_shown(floor, row.unit) if floor else '-'} | {ratio} | {row.aim or '-'} |"


def _shown(value: float, unit: str) -> str:
    if unit != "ms":
        return f"{value:,.0f} {unit}"
    milliseconds = value * 1_000
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.3g} ms"

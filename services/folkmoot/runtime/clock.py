"""Time as a port, so that leases, deadlines and back-off are tested without waiting."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never jumps."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """`shift_file` holds seconds that are added to wall time, read whenever it is asked for: a machine whose clock
    jumps, for one process and no other. Empty, or no such file: none."""

    def __init__(self, shift_file: str = "") -> None:
        self._shift = Path(shift_file) if shift_file else None

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=_seconds(self._shift) if self._shift else 0)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _seconds(file: Path) -> float:
    try:
        return float(file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return 0.0


class VirtualClock:
    """Stands still until `advance` moves it; sleepers wake in the order of their deadlines."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start.timestamp() + self._elapsed, UTC)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self._elapsed + seconds, woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers on the way and letting each run until it waits again."""
        deadline = self._elapsed + seconds
        while due := sorted((s for s in self._sleepers if s[0] <= deadline), key=lambda s: s[0]):
            moment, woken = due[0]
            self._sleepers.remove(due[0])
            self._elapsed = max(self._elapsed, moment)
            woken.set()
            await asyncio.sleep(0)
        self._elapsed = deadline
        await asyncio.sleep(0)

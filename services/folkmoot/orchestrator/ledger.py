"""What all tasks together used in the last 24 hours, followed from the log: no history is kept, and none is read."""

import asyncio
import functools
import logging
import math
from contextlib import aclosing, suppress
from datetime import datetime, timedelta

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.kernel.limits import Prices, Quota, Spent
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.port import Log

log = logging.getLogger(__name__)

WINDOW = timedelta(hours=24)
PATIENCE_S = 2.0
"""A busy day has some hundred thousand events, of which the first look must read all."""
STEP_S = 60
"""Uses within one minute are one entry: a day is at most 1,441 of them."""


class Ledger:
    """Counts while `follow` runs."""

    def __init__(self, log_: Log, clock: Clock, prices: Prices) -> None:
        self._log = log_
        self._prices = prices
        self._clock = clock
        self._wanted = asyncio.Event()
        self._counted = asyncio.Event()
        self._seq = 0
        self._used: dict[int, Spent] = {}
        """By minute since the epoch."""

    async def follow(self) -> None:
        """For ever, once it is wanted; before that nothing is read. What cannot be read is not counted."""
        await self._wanted.wait()
        since = self._clock.now() - WINDOW
        await self._read(since, once=True)
        self._counted.set()
        await self._read(since, once=False)

    async def counted(self) -> None:
        """From now on it is wanted; returns when the last day is in, or after two seconds with what is in by then."""
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._counted.wait()

    async def _read(self, since: datetime, *, once: bool) -> None:
        subject = subjects.ALL_DELIBERATIONS
        while True:
            try:
                async with aclosing(self._log.follow(subject, after_seq=self._seq, since=since, once=once)) as events:
                    async for stored in events:
                        self._seq = stored.seq
                        self._count(stored)
            except InvalidInput as error:
                log.warning("an event behind %d cannot be read: %s", self._seq, error, extra={"action": "unreadable"})
                self._seq += 1
            else:
                return

    def _count(self, stored: Stored) -> None:
        if isinstance(stored.event.data, DeliberationEnded):
            self.add(stored.event.time, Spent.by(stored.event.data.result.usage, self._prices))

    def add(self, at: datetime, spent: Spent) -> None:
        minute = int(at.timestamp()) // STEP_S
        self._used[minute] = self._used.get(minute, Spent()).plus(spent)

    @property
    def spent(self) -> Spent:
        """In the last 24 hours, to the minute."""
        oldest = self._oldest()
        for minute in [m for m in self._used if m < oldest]:
            del self._used[minute]
        return functools.reduce(Spent.plus, self._used.values(), Spent())

    def below_in_s(self, quota: Quota) -> float:
        """Seconds until `quota` is not reached, if nothing more is used; 0 when it is not now."""
        kept, now = Spent(), self._clock.now().timestamp()
        for minute in sorted(self._used, reverse=True):
            kept = kept.plus(self._used[minute])
            if quota.reached(kept):  # without this minute it would not be
                return max(1.0, (minute + 1) * STEP_S + WINDOW.total_seconds() - now)
        return 0.0

    def _oldest(self) -> int:
        return math.ceil((self._clock.now() - WINDOW).timestamp() / STEP_S)

"""Whose examination runs: at most so many at once, and nobody's slow start holds up the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self, TypeVar
from weakref import WeakValueDictionary

from folkmoot.kernel.ids import TaskId

T = TypeVar("T")

PATIENCE_S = 2.0
"""An opening takes a tenth of that; one that waits for a cache of a tool chain takes a minute, and no processor."""


class Turns:
    """`parallel` examinations run at once, and as many of one task are under way."""

    def __init__(self, parallel: int, *, patience_s: float = PATIENCE_S) -> None:
        self._parallel = parallel
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(parallel)
        self._tasks: WeakValueDictionary[TaskId, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, task_id: TaskId, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """What `opening` gives, in a turn. A turn whose opening takes longer than the patience is given to others, and
        taken again before the block runs."""
        own = self._tasks.setdefault(task_id, asyncio.Semaphore(self._parallel))
        async with own, _Turn(self._slots, self._patience_s) as turn, opening as opened:
            await turn.resume()
            yield opened


class _Turn:
    def __init__(self, slots: asyncio.Semaphore, patience_s: float) -> None:
        self._slots = slots
        self._patience_s = patience_s
        self._held = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._slots.acquire()
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._leave)
        return self

    async def resume(self) -> None:
        self._stop_waiting()
        if not self._held:
            await self._slots.acquire()
            self._held = True

    async def __aexit__(self, *_: object) -> None:
        self._stop_waiting()
        self._leave()

    def _leave(self) -> None:
        if self._held:
            self._held = False
            self._slots.release()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

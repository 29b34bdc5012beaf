"""Workspaces that are ready before anybody asks for them: a `Backend` over one that can make such.

Each is claimed once and never comes back. How many there are is `demand`'s affair. They take the places that nobody
needs: they count among the most workspaces of a runner, and give way.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import AbstractAsyncContextManager

from folkmoot.kernel.errors import FolkmootError, ResourceExhausted
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner import demand, observed
from folkmoot.runner.backend import WARM_S, Backend, Kind, Warm, Warming
from folkmoot.runner.demand import Bounds, Windows
from folkmoot.runner.workspace import Manifest, Workspace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.supervise import first_leaf

log = logging.getLogger(__name__)

_REST_S = 10.0
"""After one that could not be made, or that had to give way."""


class _Slot:
    """One that is ready, or on its way."""

    def __init__(self, made: "asyncio.Future[Warm | None]", since: float) -> None:
        self.made = made
        self.since = since

    @property
    def warm(self) -> Warm | None:
        """None while it is not, and where it will not be."""
        return self.made.result() if self.made.done() and not self.made.cancelled() else None


class Pool:
    """A `Backend`."""

    def __init__(self, inner: Warming, settings: RunnerSettings, clock: Clock, group: asyncio.TaskGroup) -> None:
        self._inner = inner
        self._settings = settings
        self._clock = clock
        self._group = group
        self._slots: dict[Kind, list[_Slot]] = {}
        self._asks: dict[Kind, Windows] = {}
        self._taken: set[WorkspaceId] = set()
        """Workspaces that are somebody's, from before they are filled until they are removed."""
        self._looking: asyncio.Task[None] | None = None
        self._parting: set[asyncio.Task[None]] = set()
        self._rests_until = 0.0
        self._stopped = False
        self.claims: Counter[str] = Counter()
        """Wishes that could have been served from here, by what came of it: `observed.claimed`."""

    # --- as the inner one -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._inner.name

    async def known(self) -> list[Workspace]:
        found = await self._inner.known()
        self._taken = {w.wish.workspace_id for w in found}
        now = self._clock.monotonic()
        for warm in await self._inner.left():
            made: asyncio.Future[Warm | None] = asyncio.get_running_loop().create_future()
            made.set_result(warm)
            self._slots.setdefault(warm.kind, []).append(_Slot(made, now - warm.age_s))
            # A predecessor had reason to keep it.
            self._asks[warm.kind] = demand.asked(self._asks.get(warm.kind, ()), now)
        self._look_soon()
        return found

    async def prepared(self, base: PreparedBase) -> None:
        await self._inner.prepared(base)

    async def begun(self, manifest: Manifest) -> Workspace:
        workspace = await self._inner.begun(manifest)
        self._taken.add(manifest.wish.workspace_id)
        return workspace

    async def fill(self, workspace: Workspace) -> None:
        """From a warm one, or, where there is none, from nothing."""
        kind = self._inner.kind(workspace.manifest)
        try:
            if kind is None or not await self._claimed(kind, workspace):
                await self._inner.fill(workspace)
        except ResourceExhausted:
            self._give_way()
            raise
        finally:
            self._look_soon()

    async def keep(self, workspace: Workspace, renewed: Manifest) -> None:
        await self._inner.keep(workspace, renewed)

    async def remove(self, workspace: Workspace) -> None:
        try:
            await self._inner.remove(workspace)
        finally:
            self._taken.discard(workspace.wish.workspace_id)
            self._look_soon()

    async def sweep(self, known: Collection[WorkspaceId]) -> None:
        await self._inner.sweep(known)
        self._look()

    def cramped(self) -> bool:
        """What is only ready leaves the disk to those that work."""
        if not self._inner.cramped():
            return False
        self._give_way()
        return True

    def stop(self) -> None:
        self._stopped = True
        self._inner.stop()

    # --- claiming -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """Whom nobody has yet, and anybody may have at once."""
        return sum(slot.warm is not None for slots in self._slots.values() for slot in slots)

    async def _claimed(self, kind: Kind, workspace: Workspace) -> bool:
        self._asks[kind] = demand.asked(self._asks.get(kind, ()), self._clock.monotonic())
        while (slot := self._next(kind)) is not None:
            outcome = "ready" if slot.made.done() else "waited"
            warm = await self._awaited(slot)
            if warm is not None and await self._claim(warm, workspace):
                self._count(outcome)
                return True
        self._count("none")
        return False

    def _count(self, outcome: str) -> None:
        self.claims[outcome] += 1
        observed.claimed(outcome)

    def _next(self, kind: Kind) -> _Slot | None:
        """Leaves the shelf here, for good: nobody else finds it. One that is ready, else the one begun first."""
        slots = self._slots.get(kind)
        if not slots:
            return None
        return slots.pop(next((n for n, slot in enumerate(slots) if slot.warm is not None), 0))

    async def _awaited(self, slot: _Slot) -> Warm | None:
        try:
            await asyncio.wait([slot.made])
        except asyncio.CancelledError:
            self._drop(slot)
            raise
        return slot.warm

    async def _claim(self, warm: Warm, workspace: Workspace) -> bool:
        try:
            return await self._inner.claim(warm, workspace)
        except BaseException:
            # Where it became the workspace's it is not ours to remove, and stays.
            self._part(self._inner.cooled(warm))
            raise

    # --- keeping --------------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        if self._looking is None and not self._stopped:
            self._looking = self._group.create_task(self._look_later(), name="warm workspaces")

    async def _look_later(self) -> None:
        await self._clock.sleep(self._inner.pause_s)
        self._looking = None
        self._look()

    def _look(self) -> None:
        """Drop what is too much, too old or dead; begin what is missing."""
        if self._stopped:
            return
        now = self._clock.monotonic()
        self._asks = {k: kept for k, w in self._asks.items() if (kept := demand.remembered(w, now))}
        wanted = demand.sizes(self._asks, now, self._bounds(), standing=self._inner.standing)
        for kind, slots in self._slots.items():
            self._trim(slots, wanted.get(kind, 0), now)
        self._slots = {kind: slots for kind, slots in self._slots.items() if slots}
        if now >= self._rests_until and not self._inner.cramped():
            self._make(wanted, now)
        observed.warm(self.ready)

    def _bounds(self) -> Bounds:
        settings = self._settings
        room = settings.max_workspaces - len(self._taken)
        return Bounds(least=min(settings.warm_min, settings.warm_max), most=settings.warm_max, room=room)

    def _trim(self, slots: list[_Slot], size: int, now: float) -> None:
        for slot in [s for s in slots if now - s.since >= WARM_S or not self._good(s)]:
            slots.remove(slot)
            self._drop(slot)
        while len(slots) > size:
            self._drop(slots.pop())

    def _good(self, slot: _Slot) -> bool:
        return not slot.made.done() or (slot.warm is not None and self._inner.lives(slot.warm))

    def _make(self, wanted: dict[Kind, int], now: float) -> None:
        making = sum(not slot.made.done() for slots in self._slots.values() for slot in slots)
        for kind, size in wanted.items():
            slots = self._slots.setdefault(kind, [])
            while len(slots) < size and making < self._inner.at_once:
                slots.append(_Slot(self._group.create_task(self._made(kind), name="warm workspace"), now))
                making += 1

    async def _made(self, kind: Kind) -> Warm | None:
        """None where it could not be made: whoever asks then makes one, and hears why."""
        try:
            return await self._inner.warmed(kind)
        except (FolkmootError, OSError) as error:
            log.info("no warm workspace: %s", error, extra={"action": "warm"})
            self._rests_until = self._clock.monotonic() + _REST_S
            return None
        finally:
            self._look_soon()

    def _give_way(self) -> None:
        """Whoever was refused for want of room comes again, and finds it."""
        self._rests_until = self._clock.monotonic() + _REST_S
        self._drop_all()

    def _drop_all(self) -> None:
        for slot in [slot for slots in self._slots.values() for slot in slots]:
            self._drop(slot)
        self._slots = {}

    def _drop(self, slot: _Slot) -> None:
        slot.made.cancel()  # does nothing to one that is done
        self._part(self._dropped(slot))

    async def _dropped(self, slot: _Slot) -> None:
        await asyncio.wait([slot.made])
        if slot.warm is not None:
            await self._inner.cooled(slot.warm)

    def _part(self, parting: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(parting, name="warm workspace goes")
        self._parting.add(task)
        task.add_done_callback(self._parting.discard)

    async def close(self) -> None:
        """Returns once nothing that nobody claimed is left."""
        self._stopped = True
        if self._looking is not None:
            self._looking.cancel()
        self._drop_all()
        while self._parting:
            await asyncio.wait(list(self._parting))


@contextlib.asynccontextmanager
async def pooled(
    backend: AbstractAsyncContextManager[Warming], *, settings: RunnerSettings, clock: Clock
) -> AsyncIterator[Backend]:
    """`backend` with warm workspaces, as many as the settings allow; drained at the end."""
    async with backend as inner:
        if not settings.warm_max:
            yield inner
            return
        try:
            async with asyncio.TaskGroup() as group:
                pool = Pool(inner, settings, clock, group)
                try:
                    yield pool
                finally:
                    await pool.close()
        except BaseExceptionGroup as failures:
            raise first_leaf(failures) from failures

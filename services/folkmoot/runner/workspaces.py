"""The open workspaces of one runner: leases, tokens, room.

What a workspace is made of is its backend's affair; a runner that starts finds its predecessor's again.
"""

import asyncio
import contextlib
import errno
import hmac
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from folkmoot.kernel.errors import (
    AlreadyExists,
    InvalidInput,
    Misconfigured,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import TaskId, WorkspaceId
from folkmoot.runner import observed, store
from folkmoot.runner.backend import Backend
from folkmoot.runner.workspace import Manifest, Wish, Workspace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.port import NOT_OPEN

log = logging.getLogger(__name__)

Keep = Callable[[Workspace], Awaitable[None]]
"""Takes out of a workspace, before it goes, what is to stay. Raises nothing for want of that."""
_RETRY_S = 5.0
_LOOK_S = 0.5
"""Between two looks whether a full disk has room again: nobody says so."""
_NO_ROOM = "the disk of the workspaces is full"
_TAKE_OVER_S = 10.0
"""A predecessor that was killed is gone at once; one that drains takes a little."""


class Overfilled(ResourceExhausted):
    """There was room on the disk until this workspace was filled: it may be too large for it."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    token: str
    expires_at: datetime


class Workspaces:
    """All of one runner."""

    def __init__(
        self, backend: Backend, settings: RunnerSettings, clock: Clock, key: bytes, keep: Keep | None = None
    ) -> None:
        self._backend = backend
        self._keep = keep
        self._settings = settings
        self._clock = clock
        self._began = clock.now() - timedelta(seconds=clock.monotonic())
        self._key = key
        self._open: dict[WorkspaceId, Workspace] = {}
        self._making: set[WorkspaceId] = set()
        """They have a place already, so that parallel opens count them."""
        self._freed = asyncio.Condition()
        self._locks: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()
        """A lock is there for as long as somebody holds it or waits for it."""

    # --- life -------------------------------------------------------------------------------------------------

    async def resume(self) -> int:
        """At start: find the workspaces of a predecessor, remove what is none; says how many were found."""
        for workspace in await self._backend.known():
            self._open[workspace.manifest.wish.workspace_id] = workspace
        observed.level(len(self._open))
        return len(self._open)

    async def prepare(self, base: PreparedBase) -> None:
        """What workspaces on `base` need besides its files. Raises FailedPrecondition("environment"), Unavailable."""
        await self._backend.prepared(base)

    async def open(self, wish: Wish, ttl_s: float, *, spare: int = 0) -> Opened:
        """Open it, or find it open; either renews the lease. A new one leaves `spare` places free.

        Raises AlreadyExists when it is open with other content, ResourceExhausted when there are too many or the disk
        is full, NotFound for an unknown repository or commit, InvalidInput, Unavailable.
        """
        _check(wish)
        ident = wish.workspace_id
        async with self._lock(ident):
            expires_at = self._expiry(ttl_s)
            found = self._open.get(ident)
            if found is None:
                with observed.opening():
                    found = await self._made(wish, expires_at, spare)
                observed.level(len(self._open))
            # Whether versions are kept is no content: who fetches a token need not know.
            elif found.wish != msgspec.structs.replace(wish, versions=found.wish.versions):
                raise AlreadyExists(f"{ident} is open with other content")
            else:
                await self._renew(found, expires_at)
        return Opened(workspace_id=ident, token=self._token(found.manifest), expires_at=found.manifest.expires_at)

    async def close(self, ident: WorkspaceId) -> None:
        """Ends everything in it and removes it; closing what is not open is fine."""
        async with self._lock(ident):
            workspace = self._open.get(ident)
            if workspace is not None:
                if self._keep is not None:
                    await self._keep(workspace)
                await workspace.end()
                await self._backend.remove(workspace)
                # Last: whoever is called off on the way has not closed it, and the next one does.
                del self._open[ident]
                observed.level(len(self._open))
        await self._tell_freed()

    async def vacancy(self, *, spare: int = 0) -> None:
        """Wait until there is room for another one besides `spare`; whoever comes next may still take it."""
        async with self._freed:
            await self._freed.wait_for(lambda: not self._full(spare))
        while self._backend.cramped():
            await self._clock.sleep(_LOOK_S)

    def _full(self, spare: int) -> bool:
        return len(self._open.keys() | self._making) + spare >= self._settings.max_workspaces

    async def _tell_freed(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    def _lock(self, ident: WorkspaceId) -> asyncio.Lock:
        return self._locks.setdefault(ident, asyncio.Lock())

    async def sweep(self) -> list[WorkspaceId]:
        """Close what outlived its lease, remove what belongs to none; says what was closed."""
        now = self._now()
        expired = [i for i, w in self._open.items() if w.manifest.expires_at <= now]
        for ident in expired:
            log.info("workspace %s outlived its lease", ident, extra={"action": "expired", "workspace_id": ident})
            await self.close(ident)
        await self._backend.sweep(self._open.keys() | self._making)
        return expired

    async def keep_swept(self) -> None:
        while True:
            await self._clock.sleep(self._settings.sweep_s)
            await self.sweep()

    def of_task(self, task_id: TaskId) -> list[Workspace]:
        """Sorted by id."""
        return [w for i, w in sorted(self._open.items()) if w.wish.task_id == task_id]

    def listed(self, task_id: str = "") -> list[Manifest]:
        """Sorted by id."""
        manifests = (self._open[i].manifest for i in sorted(self._open))
        return [m for m in manifests if not task_id or m.wish.task_id == task_id]

    async def drain(self) -> None:
        """End every command; the workspaces stay for the next runner."""
        self._backend.stop()
        for workspace in list(self._open.values()):
            await workspace.end()

    def _now(self) -> datetime:
        """Wall time as it was when we began, going on evenly: a clock that jumps ends no lease and prolongs none."""
        return self._began + timedelta(seconds=self._clock.monotonic())

    # --- access -----------------------------------------------------------------------------------------------

    def granted(self, ident: str, token: str) -> Workspace:
        """Raises NotFound when it is not open (any more), PermissionDenied for another one's token."""
        workspace = self._open.get(WorkspaceId(ident))
        if workspace is None or workspace.manifest.expires_at <= self._now():
            raise NotFound(f"{NOT_OPEN}: {ident[:80]!r}")
        if not hmac.compare_digest(token.encode(), self._token(workspace.manifest).encode()):
            raise PermissionDenied("this token is not the workspace's")
        return workspace

    def _token(self, manifest: Manifest) -> str:
        """256 bits that are nowhere on disk."""
        return hmac.digest(self._key, f"{manifest.wish.workspace_id} {manifest.nonce}".encode(), "sha256").hex()

    # --- making -----------------------------------------------------------------------------------------------

    def _expiry(self, ttl_s: float) -> datetime:
        if not 0 < ttl_s < float("inf"):
            raise InvalidInput("ttl_s", f"{ttl_s}: a lease is longer than 0 seconds")
        return self._now() + timedelta(seconds=min(ttl_s, self._settings.ttl_s))

    async def _renew(self, workspace: Workspace, expires_at: datetime) -> None:
        latest = max(expires_at, workspace.manifest.expires_at)
        renewed = msgspec.structs.replace(workspace.manifest, expires_at=latest)
        await self._backend.keep(workspace, renewed)
        workspace.manifest = renewed

    async def _made(self, wish: Wish, expires_at: datetime, spare: int) -> Workspace:
        if self._full(spare):
            limit = self._settings.max_workspaces - spare
            raise ResourceExhausted(f"{limit} workspaces are open, which is the limit", _RETRY_S)
        if self._backend.cramped():
            raise ResourceExhausted(_NO_ROOM, _RETRY_S)
        self._making.add(wish.workspace_id)
        try:
            return await self._filled(wish, expires_at)
        finally:
            self._making.remove(wish.workspace_id)
            await self._tell_freed()

    async def _filled(self, wish: Wish, expires_at: datetime) -> Workspace:
        manifest = Manifest(wish=wish, nonce=secrets.token_hex(16), expires_at=expires_at)
        workspace = await self._backend.begun(manifest)
        # Before its first command, so that it is ended with all others.
        self._open[wish.workspace_id] = workspace
        try:
            await self._backend.fill(workspace)
        except BaseException as error:
            drained, cramped = workspace.ended, self._backend.cramped()
            del self._open[wish.workspace_id]
            await workspace.end()
            await self._backend.remove(workspace)
            if drained and isinstance(error, NotFound):
                # Not the caller's mistake: the next runner opens it.
                raise Unavailable(f"{wish.workspace_id} was ended while it was opened") from error
            if cramped and isinstance(error, Exception):
                raise Overfilled(_NO_ROOM, _RETRY_S) from error
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable(f"{wish.workspace_id}: {error.strerror}") from error
            raise
        return workspace


@contextlib.asynccontextmanager
async def workspaces(
    folder: Path,
    backend: AbstractAsyncContextManager[Backend],
    *,
    settings: RunnerSettings,
    clock: Clock,
    keep: Keep | None = None,
) -> AsyncIterator[Workspaces]:
    """The registry of `backend`, with what a predecessor left; at the end commands end and workspaces stay. The backend
    begins once nobody else has `folder`, where the registry's key is.

    Raises Misconfigured when another runner has the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    async with _alone(folder / "lock"), backend as made:
        registry = Workspaces(made, settings, clock, _key(folder / "key"), keep)
        await registry.resume()
        try:
            yield registry
        finally:
            await registry.drain()


@contextlib.asynccontextmanager
async def _alone(lock: Path) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_TAKE_OVER_S):
                await stack.enter_async_context(store.exclusive(lock))
        except TimeoutError as error:
            raise Misconfigured(
                f"another runner works in {lock.parent}: give this one its own FOLKMOOT_DATA"
            ) from error
        yield


def _check(wish: Wish) -> None:
    if not wish.holder or len(wish.holder) > 200:
        raise InvalidInput("holder", "has 1 to 200 characters")
    if wish.attempt < 1:
        raise InvalidInput("attempt", "counts from 1")


def _key(path: Path) -> bytes:
    """Made once, readable by us only; complete or not there."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
    draft.replace(path)
    return path.read_bytes()

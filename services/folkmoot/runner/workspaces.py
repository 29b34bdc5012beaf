"""The open workspaces of one runner: folders, leases, tokens.

A workspace is a folder with a manifest; a runner that starts finds them again. What is in `repo` and `home` is hostile:
every git command and every file operation on it runs inside the sandbox. The host only makes the empty folder, writes
into it before anybody else could, and removes it.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
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
)
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId, WorkspaceId, workspace_id
from folkmoot.runner import checkout, files, gocache, observed, orphans, store
from folkmoot.runner.checkout import Output, Tree
from folkmoot.runner.gocache import GoCache, Layers
from folkmoot.runner.jobs import Jobs, Part, Turns
from folkmoot.runner.sandbox import HOME, REPO, Command, Ended, Limits, Mount, Profile
from folkmoot.runner.stage import Stage, staged
from folkmoot.runner.toolchain import Toolchains, environment
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.port import Entry, WorkspaceLost

log = logging.getLogger(__name__)

_GO = "go"
"""Folder of a workspace, where its part of Go's cache is."""
_RETRY_S = 5.0
_OWN_TIMEOUT_S = 110.0
"""Of our own commands inside, such as a check-out; just below the callers' patience."""
_TAKE_OVER_S = 10.0
"""A predecessor that was killed is gone at once; one that drains takes a little."""

Bundles = Callable[[RepositoryId, CommitId, CommitId], Awaitable[bytes]]
"""What is there, and commit, to a bundle of what is between: `Mirrors.bundle_of`."""
Objects = Callable[[RepositoryId], Path]
"""`Mirrors.objects`."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace is for. The same task, holder and attempt: the same workspace."""

    task_id: TaskId
    holder: str
    attempt: int
    repository_id: RepositoryId
    tree: Tree

    @property
    def workspace_id(self) -> WorkspaceId:
        return workspace_id(self.task_id, self.holder, self.attempt)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    wish: Wish
    nonce: str
    """Tells this workspace's token from that of another one of the same name."""
    expires_at: datetime


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    workspace_id: WorkspaceId
    token: str
    expires_at: datetime


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Two, so that reading a file never waits behind somebody's tests."""

    ours: Turns
    """Check-outs, files, bundles."""
    theirs: Turns
    """What agents and examinations run."""


class Workspace:
    """One open workspace. All methods raise WorkspaceLost once it is closed."""

    def __init__(
        self, folder: Path, manifest: Manifest, profile: Profile, jobs: Jobs, queues: Queues, settings: RunnerSettings
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._profile = profile
        self._jobs = jobs
        self._queues = queues
        self._settings = settings
        self.go: Layers | None = None
        """Go's build cache, once Go is known to be spoken."""

    def stream(self, command: Command) -> AsyncGenerator[Part, None]:
        return self._jobs.stream(self._leased, command, self._queues.theirs)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[Profile]:
        if self.go is None:
            yield self._profile
            return
        with self.go.taken() as mount:
            yield gocache.cached(self._profile, mount)

    async def shell(self, argv: Sequence[str | bytes], stdin: bytes, limit: int) -> Output:
        command = Command(argv=tuple(argv), stdin=stdin, timeout_s=_OWN_TIMEOUT_S, output_limit=limit)
        streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        async for part in self._jobs.stream(self._leased, command, self._queues.ours):
            if isinstance(part, Ended):
                return Output(ended=part, stdout=b"".join(streams["stdout"]), stderr=b"".join(streams["stderr"]))
            streams[part.stream].append(part.data)
        raise WorkspaceLost("the command vanished")

    async def read(self, path: bytes, limit: int) -> bytes:
        return await files.read(self.shell, path, limit)

    async def write(self, path: bytes, content: bytes, *, append: bool) -> None:
        await files.write(self.shell, path, content, append=append)

    async def listing(self, path: bytes, depth: int, limit: int) -> list[Entry]:
        return await files.listing(self.shell, path, depth, limit)

    async def take_in(self, bundle: bytes, commit: CommitId) -> None:
        if len(bundle) > 4 * self._settings.bundle_bytes:
            raise InvalidInput("bundle", f"{len(bundle)} bytes are too many")
        await checkout.take_in(self.shell, bundle, commit)

    async def bundled(self, base: CommitId) -> bytes:
        return await checkout.bundled(self.shell, base, self._settings.bundle_bytes)

    async def end(self) -> None:
        await self._jobs.end()


class Workspaces:
    """All of one runner. One process per folder."""

    def __init__(
        self,
        folder: Path,
        toolchains: Toolchains,
        *,
        objects: Objects,
        bundles: Bundles,
        settings: RunnerSettings,
        clock: Clock,
        group: asyncio.TaskGroup,
        key: bytes,
        stage: Stage,
        go: GoCache,
    ) -> None:
        self._go = go
        self.folder = folder
        self._stage = stage
        self._toolchains = toolchains
        self._objects = objects
        self._bundles = bundles
        self._settings = settings
        self._clock = clock
        self._group = group
        self._key = key
        at_once = settings.max_commands or 2 * (os.cpu_count() or 1)
        self._queues = Queues(ours=Turns(at_once), theirs=Turns(at_once))
        self._open: dict[WorkspaceId, Workspace] = {}
        self._making: set[WorkspaceId] = set()
        """They have a place already, so that parallel opens count them."""
        self._freed = asyncio.Condition()
        self._locks: WeakValueDictionary[WorkspaceId, asyncio.Lock] = WeakValueDictionary()
        """A lock is there for as long as somebody holds it or waits for it."""

    # --- life -------------------------------------------------------------------------------------------------

    async def resume(self) -> int:
        """At start: find the workspaces of a predecessor, remove what is none; says how many were found."""
        for place in sorted(self.folder.iterdir()):
            manifest = _manifest(place)
            known = manifest is not None and manifest.wish.workspace_id == place.name
            if manifest is None or not known or not await self._adopt(place, manifest):
                await _remove(place)
        return len(self._open)

    async def _adopt(self, place: Path, manifest: Manifest) -> bool:
        try:
            objects = self._objects(manifest.wish.repository_id)
        except NotFound:
            return False
        if not self._stage.owns(place / "repo"):
            return False
        workspace = await self._workspace(place, manifest, objects)
        self._open[manifest.wish.workspace_id] = workspace
        if (place / _GO).is_dir():
            await self._with_go(workspace)
        return True

    async def open(self, wish: Wish, ttl_s: float, *, spare: int = 0) -> Opened:
        """Open it, or find it open; either renews the lease. A new one leaves `spare` places free.

        Raises AlreadyExists when it is open with other content, ResourceExhausted when there are too many, NotFound
        for an unknown repository or commit, InvalidInput.
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
            elif found.manifest.wish != wish:
                raise AlreadyExists(f"{ident} is open with other content")
            else:
                self._renew(found, expires_at)
        return Opened(workspace_id=ident, token=self._token(found.manifest), expires_at=found.manifest.expires_at)

    async def close(self, ident: WorkspaceId) -> None:
        """Ends everything in it and removes it; closing what is not open is fine."""
        async with self._lock(ident):
            workspace = self._open.pop(ident, None)
            if workspace is not None:
                await workspace.end()
                await _remove(workspace.folder)
                observed.level(len(self._open))
        await self._tell_freed()

    async def vacancy(self, *, spare: int = 0) -> None:
        """Wait until there is room for another one besides `spare`; whoever comes next may still take it."""
        async with self._freed:
            await self._freed.wait_for(lambda: not self._full(spare))

    def _full(self, spare: int) -> bool:
        return len(self._open.keys() | self._making) + spare >= self._settings.max_workspaces

    async def _tell_freed(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    def _lock(self, ident: WorkspaceId) -> asyncio.Lock:
        return self._locks.setdefault(ident, asyncio.Lock())

    async def sweep(self) -> list[WorkspaceId]:
        """Close what outlived its lease, remove what belongs to none; says what was closed."""
        now = self._clock.now()
        expired = [i for i, w in self._open.items() if w.manifest.expires_at <= now]
        for ident in expired:
            log.info("workspace %s outlived its lease", ident, extra={"action": "expired", "workspace_id": ident})
            await self.close(ident)
        for place in list(self.folder.iterdir()):
            if place.name.startswith(_TRASH):
                await _remove(place)
        return expired

    async def keep_swept(self) -> None:
        while True:
            await self._clock.sleep(self._settings.sweep_s)
            await self.sweep()

    def listed(self, task_id: str = "") -> list[Manifest]:
        """Sorted by id."""
        manifests = (self._open[i].manifest for i in sorted(self._open))
        return [m for m in manifests if not task_id or m.wish.task_id == task_id]

    async def drain(self) -> None:
        """End every command; the workspaces stay for the next runner."""
        self._go.stop()
        for workspace in list(self._open.values()):
            await workspace.end()

    # --- access -----------------------------------------------------------------------------------------------

    def granted(self, ident: str, token: str) -> Workspace:
        """Raises NotFound when it is not open (any more), PermissionDenied for another one's token."""
        workspace = self._open.get(WorkspaceId(ident))
        if workspace is None or workspace.manifest.expires_at <= self._clock.now():
            raise NotFound(f"workspace {ident[:80]!r} is not open")
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
        return self._clock.now() + timedelta(seconds=min(ttl_s, self._settings.ttl_s))

    def _renew(self, workspace: Workspace, expires_at: datetime) -> None:
        latest = max(expires_at, workspace.manifest.expires_at)
        workspace.manifest = msgspec.structs.replace(workspace.manifest, expires_at=latest)
        _write(workspace.folder, workspace.manifest)

    async def _made(self, wish: Wish, expires_at: datetime, spare: int) -> Workspace:
        if self._full(spare):
            limit = self._settings.max_workspaces - spare
            raise ResourceExhausted(f"{limit} workspaces are open, which is the limit", _RETRY_S)
        self._making.add(wish.workspace_id)
        try:
            return await self._filled(wish, expires_at)
        finally:
            self._making.remove(wish.workspace_id)
            await self._tell_freed()

    async def _filled(self, wish: Wish, expires_at: datetime) -> Workspace:
        objects = self._objects(wish.repository_id)
        tree = wish.tree
        bundle = b"" if tree.commit == tree.below else await self._bundles(wish.repository_id, tree.below, tree.commit)
        manifest = Manifest(wish=wish, nonce=secrets.token_hex(16), expires_at=expires_at)
        place = self.folder / wish.workspace_id
        await _remove(place)
        workspace = await self._workspace(place, manifest, objects)
        self._open[wish.workspace_id] = workspace
        try:
            self._furnish(place, objects, tree)
            if await checkout.fill(workspace.shell, tree, bundle):
                await self._with_go(workspace)
            _write(place, manifest)
        except BaseException:
            del self._open[wish.workspace_id]
            await workspace.end()
            await _remove(place)
            raise
        return workspace

    async def _with_go(self, workspace: Workspace) -> None:
        shared = await self._go.shared()
        if shared is not None:
            place = workspace.folder / _GO
            place.mkdir(exist_ok=True)
            shown = (await self._stage.shown([self.folder]))[self.folder]
            workspace.go = Layers(place, shown / workspace.folder.name / _GO, shared, self._stage)

    def _furnish(self, place: Path, objects: Path, tree: Tree) -> None:
        """The sandboxes' user passes through `place`, owns what lies in it, and reads nothing else there."""
        for part, mode in (("", 0o711), ("repo", 0o700), ("home", 0o700)):
            (place / part).mkdir()
            (place / part).chmod(mode)
        checkout.skeleton(place / "repo", objects, tree)
        for part in ("repo", "home"):
            self._stage.owned(place / part)

    async def _workspace(self, place: Path, manifest: Manifest, objects: Path) -> Workspace:
        shown = await self._stage.shown([self.folder, objects])
        profile = self._profile(place, shown[self.folder] / place.name, shown[objects])
        return Workspace(place, manifest, profile, Jobs(self._group), self._queues, self._settings)

    def _profile(self, place: Path, shown: Path, objects: Path) -> Profile:
        settings = self._settings
        return Profile(
            bwrap=self._toolchains.bwrap,
            mounts=(
                *self._toolchains.mounts,
                Mount(kind="ro", source=str(objects), target=checkout.BASE),
                Mount(kind="rw", source=str(shown / "home"), target=HOME),
                Mount(kind="rw", source=str(shown / "repo"), target=REPO),
            ),
            environment=environment(self._toolchains),
            limits=Limits(
                processes=settings.processes,
                open_files=settings.open_files,
                file_bytes=settings.file_bytes,
                memory_bytes=settings.memory_bytes,
                disk_bytes=settings.disk_bytes,
            ),
            charged=place,
            prefix=self._stage.prefix,
            mark=self._stage.mark,
        )


@contextlib.asynccontextmanager
async def workspaces(
    folder: Path,
    toolchains: Toolchains,
    *,
    objects: Objects,
    bundles: Bundles,
    settings: RunnerSettings,
    clock: Clock,
) -> AsyncIterator[Workspaces]:
    """The registry over `folder`, with what a predecessor left; at the end commands end and workspaces stay.

    Raises Misconfigured when another runner has the folder.
    """
    places = folder / "workspaces"
    places.mkdir(parents=True, exist_ok=True)
    places.chmod(0o711)
    async with (
        _alone(folder / "lock"),
        staged(toolchains, uid=settings.sandbox_uid, mark=orphans.mark(folder)) as stage,
        asyncio.TaskGroup() as group,
    ):
        shown = await stage.toolchains(toolchains)
        registry = Workspaces(
            places,
            shown,
            objects=objects,
            bundles=bundles,
            settings=settings,
            clock=clock,
            group=group,
            key=_key(folder / "key"),
            stage=stage,
            go=GoCache(folder / "go", shown, stage, group),
        )
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


def _manifest(place: Path) -> Manifest | None:
    try:
        return msgspec.json.decode((place / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _write(place: Path, manifest: Manifest) -> None:
    draft = place / ".manifest"
    draft.write_bytes(msgspec.json.encode(manifest))
    draft.chmod(0o600)
    draft.replace(place / "manifest.json")


_TRASH = ".trash-"


async def _remove(place: Path) -> None:
    """First out of sight, then away. coreutils follow no links here and mind no depth."""
    if not place.exists():
        return
    trash = place
    if not place.name.startswith(_TRASH):
        trash = place.rename(place.with_name(f"{_TRASH}{secrets.token_hex(8)}"))
    if await _run("rm", "-rf", "--", str(trash)) == 0:
        return
    await _run("chmod", "-R", "u+rwX", "--", str(trash))
    if await _run("rm", "-rf", "--", str(trash)) != 0:
        log.warning("%s cannot be removed", trash, extra={"action": "sweep"})


async def _run(*argv: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()

"""Folders of workspaces: made, furnished, found again, removed.

The host only makes an empty folder, writes into it before anybody else could reach it, and removes it.
"""

import asyncio
import os
import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import NotFound, Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId, WorkspaceId
from folkmoot.runner import checkout
from folkmoot.runner.backend import Kind, Warm
from folkmoot.runner.border.entries import raw_entries
from folkmoot.runner.checkout import Tree
from folkmoot.runner.command import REPO
from folkmoot.runner.environment.local import LocalEnvironments
from folkmoot.runner.jobs import Jobs, Turns
from folkmoot.runner.local import folders, watch
from folkmoot.runner.local.gocache import GoCache, Layers
from folkmoot.runner.local.launcher import HOME
from folkmoot.runner.local.room import Folder
from folkmoot.runner.local.sandbox import Limits, Mount, Profile
from folkmoot.runner.local.stage import Stage
from folkmoot.runner.local.toolchain import Toolchains, environment
from folkmoot.runner.stock import Sources, Stocks
from folkmoot.runner.versions import shadow
from folkmoot.runner.versions.steps import Steps
from folkmoot.runner.workspace import Manifest, Queues, Wish, Workspace
from folkmoot.runtime.settings import RunnerSettings

_GO = "go"
"""Folder of a workspace, where its part of Go's cache is."""
_WARM = ".warm-"

_BASES = 1_000
"""That something is remembered of."""
_INDEX_BYTES = 64 * 1024**2
"""Of one that is carried over without a sandbox: of half a million files."""
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Ready(Warm, frozen=True, kw_only=True):
    """A folder with its check-out, whose workspace it becomes by a rename."""

    go: bool


class Places:
    """All workspaces' folders, in one. A `Warming` backend: what waits is a check-out of a base, which is most of the
    work."""

    name = "local"
    standing: Kind | None = None
    at_once = 1
    pause_s = 0.7

    def __init__(
        self,
        folder: Path,
        toolchains: Toolchains,
        *,
        sources: Sources,
        settings: RunnerSettings,
        group: asyncio.TaskGroup,
        stage: Stage,
        go: GoCache,
        environments: LocalEnvironments,
    ) -> None:
        self.folder = folder
        self._toolchains = toolchains
        self._objects = sources.objects
        self._stocks = Stocks(sources)
        self._go_at: dict[tuple[RepositoryId, CommitId], bool] = {}
        """Whether Go is spoken at a base, learned from check-outs of it."""
        self._settings = settings
        self._group = group
        self._stage = stage
        self._go = go
        self._environments = environments
        at_once = settings.max_commands or 2 * (os.cpu_count() or 1)
        self._queues = Queues(ours=Turns(at_once), theirs=Turns(at_once))

    async def known(self) -> list[Workspace]:
        """Those of a predecessor; what is none is removed."""
        found = []
        for place in sorted(self.folder.iterdir()):
            manifest = folders.manifest(place)
            named = manifest is not None and manifest.wish.workspace_id == place.name
            workspace = await self._adopted(place, manifest) if manifest is not None and named else None
            if workspace is None:
                await folders.remove(place)
            else:
                found.append(workspace)
        return found

    async def prepared(self, base: PreparedBase) -> None:
        await self._environments.prepared(base)

    async def begun(self, manifest: Manifest) -> Workspace:
        """Nothing of it is on disk yet. Raises NotFound for an unknown repository, and as `prepared`."""
        wish = manifest.wish
        objects = self._objects(wish.repository_id)
        place = self.folder / wish.workspace_id
        await folders.remove(place)
        return await self._workspace(place, await self._environments.entered(manifest), objects)

    async def fill(self, workspace: Workspace) -> None:
        """Make the folder and check the commit out. Raises NotFound for an unknown commit, Unavailable when git fails,
        FailedPrecondition("exhibit"); what was made until then stays."""
        wish, place = workspace.wish, self._place(workspace)
        stock = await self._stocks.of(wish)
        self._furnish(place, self._objects(wish.repository_id), wish, stock)
        go = await self._speaks_go(wish) if wish.deferred else None
        if go is None:
            go = await checkout.fill(workspace.shell, wish.tree, stock)
            self._learn(wish, go=go)
        else:
            workspace.defer(stock)
        await self._versioned(workspace, place, stock)
        if go:
            await self._with_go(workspace)
        folders.write(place, workspace.manifest)

    async def _speaks_go(self, wish: Wish) -> bool | None:
        """Whether there is a Go module in it, as far as that is known before the check-out."""
        base = self._go_at.get((wish.repository_id, wish.tree.base))
        modules = [e for e in raw_entries(await self._stocks.changed(wish)) if _is_module(e.path)]
        if base is None or any(e.deleted for e in modules):
            return None
        return base or bool(modules)

    def kind(self, manifest: Manifest) -> Kind | None:
        """Of a base that the mirror has as it is: others are asked for by one task only. What its first command checks
        out is made in no time."""
        wish = manifest.wish
        tree = wish.tree
        if wish.deferred or tree != Tree(base=tree.base, commit=tree.base):
            return None
        shallow = self._objects(wish.repository_id) / "shallow"
        words = f"{wish.repository_id} {tree.base} {shallow.stat().st_mtime_ns if shallow.is_file() else 'whole'}"
        return Kind(words=words, wish=msgspec.structs.replace(wish, task_id=TaskId("t-0"), holder="nobody", attempt=1))

    async def left(self) -> list[Warm]:
        """A check-out is made faster than it is examined: `known` removed them."""
        return []

    async def warmed(self, kind: Kind) -> Warm:
        assert kind.wish is not None
        place = self.folder / f"{_WARM}{secrets.token_hex(8)}"
        objects = self._objects(kind.wish.repository_id)
        manifest = Manifest(wish=kind.wish, nonce="", expires_at=_NEVER)
        workspace = await self._workspace(place, manifest, objects)
        try:
            go = await self._checked_out(workspace, place, objects)
        except BaseException:
            await workspace.end()
            await folders.remove(place)
            raise
        return Ready(kind=kind, name=place.name, go=go)

    async def _checked_out(self, workspace: Workspace, place: Path, objects: Path) -> bool:
        """Says whether Go is spoken there."""
        wish = workspace.wish
        stock = await self._stocks.of(wish)
        self._furnish(place, objects, wish, stock)
        go = await checkout.fill(workspace.shell, wish.tree, stock)
        self._learn(wish, go=go)
        await self._versioned(workspace, place, stock)
        if workspace.steps is not None:
            await workspace.steps.settled()
        if go:
            await self._go.shared()
        return go

    async def _versioned(self, workspace: Workspace, place: Path, stock: checkout.Stock) -> None:
        """Begins where the check-out ended, before anybody's first command."""
        if not isinstance(workspace.steps, Steps):
            return
        index = None if stock.bundle else await workspace.room.plain(b".git/index", _INDEX_BYTES)
        if index is None:
            workspace.steps.begin(stock.bundle)
        else:
            shadow.knows(place / shadow.FOLDER, index)
            workspace.steps.begun()

    def lives(self, warm: Warm) -> bool:
        return True

    async def claim(self, warm: Warm, workspace: Workspace) -> bool:
        """A folder is renamed once, and one without a manifest is no workspace: a successor removes it."""
        assert isinstance(warm, Ready)
        place = self._place(workspace)
        try:
            (self.folder / warm.name).rename(place)
        except FileNotFoundError:
            return False
        if warm.go:
            await self._with_go(workspace)
        folders.write(place, workspace.manifest)
        return True

    async def cooled(self, warm: Warm) -> None:
        await folders.remove(self.folder / warm.name)

    def _learn(self, wish: Wish, *, go: bool) -> None:
        if wish.tree.commit == wish.tree.base:
            if len(self._go_at) >= _BASES:
                self._go_at.clear()
            self._go_at[wish.repository_id, wish.tree.base] = go

    async def keep(self, workspace: Workspace, renewed: Manifest) -> None:
        try:
            folders.write(self._place(workspace), renewed)
        except OSError as error:
            raise Unavailable(f"{renewed.wish.workspace_id}: {error.strerror}") from error

    async def remove(self, workspace: Workspace) -> None:
        await folders.remove(self._place(workspace))
        self._environments.left(workspace.wish.workspace_id)

    async def sweep(self, known: Collection[WorkspaceId]) -> None:
        """Remove what could not be removed before."""
        for place in list(self.folder.iterdir()):
            if place.name.startswith(folders.TRASH):
                await folders.remove(place)

    def cramped(self) -> bool:
        return watch.cramped(self.folder)

    def stop(self) -> None:
        """Nothing more is built for later."""
        self._go.stop()
        self._environments.stop()

    async def _adopted(self, place: Path, manifest: Manifest) -> Workspace | None:
        try:
            objects = self._objects(manifest.wish.repository_id)
        except NotFound:
            return None
        # One that was to be checked out by its first command may be anything.
        if manifest.wish.deferred or not self._stage.owns(place / "repo"):
            return None
        if manifest.wish.versions and not (place / shadow.FOLDER).is_dir():
            return None
        if not self._environments.resumed(manifest):
            return None
        workspace = await self._workspace(place, manifest, objects)
        if (place / _GO).is_dir():
            await self._with_go(workspace)
        return workspace

    async def _with_go(self, workspace: Workspace) -> None:
        shared = await self._go.shared()
        if shared is not None:
            room = _folder(workspace)
            place = room.path / _GO
            place.mkdir(exist_ok=True)
            shown = (await self._stage.shown([self.folder]))[self.folder]
            room.go = Layers(place, shown / room.path.name / _GO, shared, self._stage)

    def _furnish(self, place: Path, objects: Path, wish: Wish, stock: checkout.Stock) -> None:
        """The sandboxes' user passes through `place`, owns what lies in it, and reads nothing else there."""
        for part, mode in (("", 0o711), ("repo", 0o700), ("home", 0o700)):
            (place / part).mkdir()
            (place / part).chmod(mode)
        checkout.skeleton(place / "repo", objects, wish.tree, stock)
        if wish.versions:
            shadow.skeleton(place / shadow.FOLDER, objects, wish.tree.commit)
            self._stage.owned(place / shadow.FOLDER)
        for part in ("repo", "home"):
            self._stage.owned(place / part)

    async def _workspace(self, place: Path, manifest: Manifest, objects: Path) -> Workspace:
        shown = await self._stage.shown([self.folder, objects])
        plain = self._profile(place, shown[self.folder] / place.name, shown[objects])
        profile = self._environments.over(plain, manifest.environment)
        jobs = Jobs(self._group)
        workspace = Workspace(manifest, Folder(place, profile), jobs, self._queues, self._settings)
        if manifest.wish.versions:
            over = Folder(place, self._beside(profile, shown[self.folder] / place.name, shown[objects]))
            commit = manifest.wish.tree.commit
            workspace.steps = Steps(commit, over.run, jobs, self._queues.ours, self._group)
        return workspace

    def _beside(self, profile: Profile, shown: Path, objects: Path) -> Profile:
        """A sandbox over the versions: what the agent wrote is only read, and of its home nothing."""
        mounts = (
            *self._toolchains.mounts,
            Mount(kind="ro", source=str(objects), target=checkout.BASE),
            Mount(kind="rw", source=str(shown / shadow.FOLDER), target=shadow.INSIDE),
            Mount(kind="ro", source=str(shown / "repo"), target=REPO),
        )
        return msgspec.structs.replace(profile, mounts=mounts)

    def _place(self, workspace: Workspace) -> Path:
        return self.folder / workspace.wish.workspace_id

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
            locked=self._toolchains.locked,
            groups=self._stage.groups,
            mark=self._stage.mark,
        )


def _folder(workspace: Workspace) -> Folder:
    assert isinstance(workspace.room, Folder)
    return workspace.room


def _is_module(path: bytes) -> bool:
    return path == b"go.mod" or path.endswith(b"/go.mod")

"""The backend `kubernetes`: a Job per workspace, in one namespace."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from datetime import datetime
from pathlib import Path

from folkmoot.kernel.errors import FolkmootError, Misconfigured, NotFound, RetryLater, Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner import checkout
from folkmoot.runner.backend import WARM_S, Kind, Warm
from folkmoot.runner.checkout import Output, Shell
from folkmoot.runner.command import REPO
from folkmoot.runner.environment import toolcheck
from folkmoot.runner.environment.proxy import Resolve
from folkmoot.runner.environment.sets import Need
from folkmoot.runner.environment.store import Environments, policy_of
from folkmoot.runner.environment.toolcheck import Toolcheck
from folkmoot.runner.jobs import Jobs as Commands
from folkmoot.runner.jobs import Turns
from folkmoot.runner.kubernetes import dressing, entry, job
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.dressing import Dresser
from folkmoot.runner.kubernetes.entry import Entry
from folkmoot.runner.kubernetes.images import images
from folkmoot.runner.kubernetes.jobs import Found, Jobs
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.packs import Packs, tarred
from folkmoot.runner.kubernetes.plan import MEMORY_SHARE, Plan
from folkmoot.runner.kubernetes.pods import Pod
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runner.kubernetes.setup import Setups
from folkmoot.runner.kubernetes.shelf import Shelf
from folkmoot.runner.kubernetes.wire import Limits
from folkmoot.runner.stock import Sources, Stocks
from folkmoot.runner.workspace import Manifest, Queues, Wish, Workspace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.supervise import first_leaf
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)


class Standing(Warm, frozen=True, kw_only=True):
    """A Job whose pod is up, and was seen to be kept off the network."""

    made: Found
    pod: Pod


class Cluster:
    """A `Warming` backend: what waits is a pod, which takes any repository."""

    name = "kubernetes"
    at_once = 4
    pause_s = 0.05

    def __init__(
        self,
        api: Api,
        jobs: Jobs,
        lookout: Lookout,
        packs: Packs,
        shelf: Shelf,
        *,
        plan: Plan,
        environments: Path,
        resolve: Resolve,
        sources: Sources,
        settings: Settings,
        clock: Clock,
        group: asyncio.TaskGroup,
    ) -> None:
        self.api = api
        self.jobs = jobs
        self._lookout = lookout
        self._packs = packs
        self._shelf = shelf
        self._plan = plan
        self._objects = sources.objects
        self._wants = sources.environment
        self._images = images(settings.kubernetes.images)
        check = Toolcheck(self._asked, f"the image {plan.image}").require
        self.environments = Environments(
            environments,
            Setups(api, self._raised, check, plan=plan, images=self._images, settings=settings, resolve=resolve),
            sources=sources,
            settings=settings.runner,
            policy=policy_of(settings.runner),
            group=group,
        )
        self._dresser = Dresser(api, lookout, self.environments, settings=settings.kubernetes, clock=clock)
        self._lacking: set[Need] = set()
        self._stocks = Stocks(sources)
        self._settings = settings
        self._clock = clock
        self._group = group
        self._present: set[str] = set()
        """Names of Jobs, from before they are asked for until after they are deleted."""
        self._lingering: dict[WorkspaceId, str] = {}
        """Jobs of closed workspaces that could not be deleted yet: no second one is made meanwhile."""
        self._left: list[Warm] = []
        self.standing = Kind(words=job.template(plan))
        at_once = settings.runner.max_commands or 8 * (os.cpu_count() or 1)
        self._entry = Entry(lookout, clock, server=api.server, ready_s=settings.kubernetes.ready_s)
        self._queues = Queues(ours=Turns(at_once), theirs=Turns(at_once))

    async def known(self) -> list[Workspace]:
        found = []
        for there in await self.jobs.listed():
            if (workspace := self._adopted(there)) is not None:
                found.append(workspace)
            elif (warm := self._found_warm(there)) is not None:
                self._left.append(warm)
            else:
                await self.jobs.delete(there.name)
                continue
            self._present.add(there.name)
        await self._shelf.swept({workspace.wish.workspace_id for workspace in found})
        return found

    def _adopted(self, there: Found) -> Workspace | None:
        manifest, pod = there.manifest, self._lookout.pod(there.uid)
        # One that was to be checked out by its first command may be anything.
        if manifest is None or not there.ready or there.over or manifest.wish.deferred or pod is None or pod.over:
            return None
        if there.name != self.jobs.named(manifest.wish.workspace_id) and not job.is_warm_name(there.name):
            return None
        try:
            self._objects(manifest.wish.repository_id)
        except NotFound:
            return None
        workspace = self._workspace(manifest)
        _room(workspace).settle(there, pod)
        self._shelf.resumed(workspace)
        return workspace

    def _found_warm(self, there: Found) -> Warm | None:
        pod = self._lookout.pod(there.uid)
        if not (there.unclaimed and there.ready) or there.over or pod is None or not pod.running:
            return None
        if there.template != self.standing.words:
            return None
        age = self._clock.now() - datetime.fromisoformat(there.began)
        return Standing(kind=self.standing, name=there.name, made=there, pod=pod, age_s=age.total_seconds())

    async def prepared(self, base: PreparedBase) -> None:
        await self.environments.prepared(base)

    async def _asked(self, need: Need) -> str | None:
        """In a pod that nobody has, nor will have: an image that is named by digest stays as it is."""
        if need in self._lacking:
            return None
        warm = _standing(await self.warmed(self.standing))
        try:
            room = self.room()
            room.settle(warm.made, warm.pod)
            said = bytearray()

            async def keep(_: str, piece: bytes) -> None:
                said.extend(piece)

            ended = await room.run(toolcheck.command(need), keep)
        finally:
            await self.cooled(warm)
        if not ended.end.ok:
            self._lacking.add(need)
        return said.decode("utf-8", "replace") if ended.end.ok else None

    async def begun(self, manifest: Manifest) -> Workspace:
        wish = manifest.wish
        self._objects(wish.repository_id)
        image = self._images.chosen(await self._wants(wish.repository_id, wish.tree.base))
        return self._workspace(await self._dresser.entered(manifest, image))

    def _workspace(self, manifest: Manifest) -> Workspace:
        room, commands = self.room(), Commands(self._group)
        room.environment = dressing.variables(manifest.environment)
        workspace = Workspace(manifest, room, commands, self._queues, self._settings.runner)
        workspace.steps = self._shelf.looks(manifest.wish, room, commands, self._queues.ours)
        return workspace

    def room(self) -> PodRoom:
        return PodRoom(self.api, self._lookout, self._limits(), patience_s=self._settings.kubernetes.request_s)

    async def fill(self, workspace: Workspace) -> None:
        room = _room(workspace)
        room.job = self.jobs.named(workspace.wish.workspace_id)

        async def made() -> bool:
            self._present.add(room.job)
            there = await self.jobs.make(workspace.manifest)
            word = workspace.manifest.environment
            if await self._dresser.dressed(there, word):
                await self.settle(room, there)
            else:
                await self._entry.entered(room, there)
            return True

        await self._furnish(workspace, made)

    async def _furnish(self, workspace: Workspace, had: Callable[[], Coroutine[None, None, bool]]) -> bool:
        """Lay the repository into the pod once it is `had`, unless that says no."""
        wish = workspace.wish
        await self._rid(wish.workspace_id)
        stock = await self._stocks.of(wish)
        try:
            async with asyncio.TaskGroup() as group:
                packing = group.create_task(self._packed(wish, stock), name="pack")
                having = group.create_task(had(), name="pod")
            return having.result() and await self._laid(workspace, stock, packing.result())
        except BaseExceptionGroup as failures:
            raise _while_opened(first_leaf(failures)) from failures
        except WorkspaceLost as error:
            raise _while_opened(error) from error
        finally:
            await _room(workspace).leave()

    async def _packed(self, wish: Wish, stock: checkout.Stock) -> bytes:
        objects = self._objects(wish.repository_id)
        pack = await self._packs.of(objects, wish.tree.below)
        return await asyncio.to_thread(tarred, objects, pack, wish.tree, stock)

    async def _laid(self, workspace: Workspace, stock: checkout.Stock, body: bytes) -> bool:
        wish, room = workspace.wish, _room(workspace)
        self._shelf.opened(workspace)
        laying = _laying(workspace.changing, body)
        if wish.deferred:
            done = await laying(["true"], b"", 4096)
            if done.code != 0:
                raise WorkspaceLost(f"the repository cannot be laid into the workspace: {done.complaint}")
            workspace.defer(stock)
        else:
            await checkout.fill(laying, wish.tree, stock)
            self._shelf.begun(workspace)
        await self.jobs.keep(room.job, workspace.manifest, began=room.began, ready=True)
        return True

    @contextlib.asynccontextmanager
    async def _raised(self, plan: Plan, limits: Limits, deadline_s: int) -> AsyncIterator[PodRoom]:
        name = job.setup_name()
        room = PodRoom(self.api, self._lookout, limits, patience_s=self._settings.kubernetes.request_s)
        self._present.add(name)
        try:
            await self._entry.up(room, await self.jobs.make_setup(name, plan, deadline_s=deadline_s))
            yield room
        finally:
            try:
                await self.jobs.delete(name)
            except FolkmootError as error:
                log.info("the Job %s stays until the next sweep: %s", name, error, extra={"action": "sweep"})
            finally:
                self._present.discard(name)

    async def settle(self, room: PodRoom, made: Found) -> Pod:
        """Returns once the pod of `made` runs."""
        return await self._entry.settled(room, made)

    async def keep(self, workspace: Workspace, renewed: Manifest) -> None:
        try:
            room = _room(workspace)
            await self.jobs.keep(room.job, renewed, began=room.began, ready=True)
        except RetryLater as error:
            raise Unavailable(f"{renewed.wish.workspace_id}: {error}", error.retry_after_s) from error

    async def remove(self, workspace: Workspace) -> None:
        """Where the cluster is away, the next sweep does it."""
        ident = workspace.wish.workspace_id
        await self._shelf.dropped(ident)
        self.environments.left(ident)
        name = _room(workspace).job or self.jobs.named(ident)
        try:
            await self.jobs.delete(name)
        except (RetryLater, Misconfigured) as error:
            self._lingering[ident] = name
            log.warning("the Job of %s stays until the next sweep: %s", ident, error, extra={"action": "sweep"})
        finally:
            self._present.discard(name)

    async def _rid(self, ident: WorkspaceId) -> None:
        """Of the Job of an earlier life."""
        if ident in self._lingering:
            await self.jobs.delete(self._lingering[ident])
            self._lingering.pop(ident, None)

    async def sweep(self, known: Collection[WorkspaceId]) -> None:
        try:
            for there in await self.jobs.listed():
                ours = there.workspace or there.unclaimed or there.setup
                if ours and there.name not in self._present and not there.over:
                    await self.jobs.delete(there.name)
        except FolkmootError as error:
            log.warning("the cluster cannot be swept now: %s", error, extra={"action": "sweep"})

    # --- before anybody asks

    def kind(self, manifest: Manifest) -> Kind | None:
        word = manifest.environment
        return Kind(words=job.template(self.jobs.plan_with(word)), environment=word)

    async def left(self) -> list[Warm]:
        return self._left

    async def warmed(self, kind: Kind) -> Warm:
        name, room = job.warm_name(), self.room()
        self._present.add(name)
        try:
            made = await self.jobs.make_warm(name, kind.environment, lives_s=WARM_S)
            dressed = await self._dresser.dressed(made, kind.environment)
            pod = await (self.settle(room, made) if dressed else self._entry.up(room, made))
            await self.jobs.keep_warm(name)
        except BaseException:
            await self._discarded(name)
            raise
        return Standing(kind=kind, name=name, made=made, pod=pod)

    def lives(self, warm: Warm) -> bool:
        pod = self._lookout.pod(_standing(warm).made.uid)
        return pod is not None and pod.running

    async def claim(self, warm: Warm, workspace: Workspace) -> bool:
        """A crash in the middle leaves a Job that is not ready: a successor deletes it."""
        ready = _standing(warm)
        room = _room(workspace)

        async def had() -> bool:
            room.settle(ready.made, ready.pod)
            async with asyncio.TaskGroup() as group:
                group.create_task(entry.tried(room), name="door")
                claimed = group.create_task(self._claimed(ready, workspace), name="claim")
            return claimed.result()

        return await self._furnish(workspace, had)

    async def _claimed(self, warm: Standing, workspace: Workspace) -> bool:
        made = await self.jobs.claim(warm.name, workspace.manifest) if self.lives(warm) else None
        if made is None:
            await self._discarded(warm.name)
            return False
        _room(workspace).settle(made, warm.pod)
        return True

    async def cooled(self, warm: Warm) -> None:
        await self._discarded(warm.name)

    async def _discarded(self, name: str) -> None:
        """Where the cluster is away, the next sweep does it."""
        try:
            await self.jobs.discard(name)
        except FolkmootError as error:
            log.info("the warm Job %s stays until the next sweep: %s", name, error, extra={"action": "sweep"})
        finally:
            self._present.discard(name)

    # --- room

    def cramped(self) -> bool:
        """Each pod has a disk of its own."""
        return False

    def stop(self) -> None:
        """Nothing more is built for later."""
        self.environments.stop()

    def _limits(self) -> Limits:
        runner = self._settings.runner
        return Limits(
            processes=min(self._plan.processes, runner.processes),
            memory_bytes=int(MEMORY_SHARE * self._plan.memory_bytes),
            disk_bytes=self._plan.disk_bytes,
            charged=(REPO, job.HOME, job.TERMINATION_LOG),
            tmp_bytes=self._plan.tmp_bytes,
            tmp=(job.TMP,),
            open_files=runner.open_files,
            file_bytes=runner.file_bytes,
        )


_LAY = 'tar -xf - && exec "$@"'


def _laying(shell: Shell, body: bytes) -> Shell:
    """Runs its command behind the unpacking of `body`: entering a pod costs more than what is done there."""

    async def run(argv: Sequence[str | bytes], _: bytes, limit: int) -> Output:
        return await shell(["sh", "-c", _LAY, "lay", *argv], body, limit)

    return run


def _while_opened(error: BaseException) -> BaseException:
    if isinstance(error, WorkspaceLost):
        return Unavailable(f"a workspace was lost while it was opened: {error}")
    return error


def _standing(warm: Warm) -> Standing:
    assert isinstance(warm, Standing)
    return warm


def _room(workspace: Workspace) -> PodRoom:
    assert isinstance(workspace.room, PodRoom)
    return workspace.room

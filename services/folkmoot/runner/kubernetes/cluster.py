"""The backend `kubernetes`: a Job per workspace, in one namespace."""

import asyncio
import logging
import os
from collections.abc import Collection

from folkmoot.kernel.errors import FolkmootError, Misconfigured, NotFound, RetryLater, Unavailable
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner import checkout
from folkmoot.runner.command import REPO
from folkmoot.runner.jobs import Jobs as Commands
from folkmoot.runner.jobs import Turns
from folkmoot.runner.kubernetes import job, network
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.jobs import Found, Jobs
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.packs import Packs, tarred
from folkmoot.runner.kubernetes.plan import Plan
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runner.kubernetes.wire import Limits
from folkmoot.runner.stock import Sources, Stocks
from folkmoot.runner.workspace import Manifest, Queues, Workspace
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.9
"""Of what the kernel would kill at: the watcher is to see it first."""


class Cluster:
    """A `Backend`."""

    name = "kubernetes"

    def __init__(
        self,
        api: Api,
        jobs: Jobs,
        lookout: Lookout,
        packs: Packs,
        *,
        plan: Plan,
        sources: Sources,
        settings: Settings,
        clock: Clock,
        group: asyncio.TaskGroup,
    ) -> None:
        self.api = api
        self.jobs = jobs
        self._lookout = lookout
        self._packs = packs
        self._plan = plan
        self._objects = sources.objects
        self._stocks = Stocks(sources)
        self._settings = settings
        self._clock = clock
        self._group = group
        self._present: set[WorkspaceId] = set()
        """From before their Job is asked for until after it is deleted."""
        at_once = settings.runner.max_commands or 8 * (os.cpu_count() or 1)
        self._queues = Queues(ours=Turns(at_once), theirs=Turns(at_once))

    async def known(self) -> list[Workspace]:
        found = []
        for there in await self.jobs.listed():
            workspace = self._adopted(there)
            if workspace is None:
                await self.jobs.delete(there.name)
            else:
                self._present.add(workspace.wish.workspace_id)
                found.append(workspace)
        return found

    def _adopted(self, there: Found) -> Workspace | None:
        manifest, pod = there.manifest, self._lookout.pod(there.uid)
        # One that was to be checked out by its first command may be anything.
        if manifest is None or not there.ready or there.over or manifest.wish.deferred or pod is None or pod.over:
            return None
        if there.name != self.jobs.named(manifest.wish.workspace_id):
            return None
        try:
            self._objects(manifest.wish.repository_id)
        except NotFound:
            return None
        workspace = self._workspace(manifest)
        room = _room(workspace)
        room.uid, room.began, room.pod = there.uid, there.began, pod.name
        return workspace

    async def begun(self, manifest: Manifest) -> Workspace:
        self._objects(manifest.wish.repository_id)
        return self._workspace(manifest)

    def _workspace(self, manifest: Manifest) -> Workspace:
        room = self.room()
        return Workspace(manifest, room, Commands(self._group), self._queues, self._settings.runner)

    def room(self) -> PodRoom:
        patience = self._settings.kubernetes.request_s
        return PodRoom(self.api, self._lookout, self._limits(), patience_s=patience)

    async def fill(self, workspace: Workspace) -> None:
        stock = await self._stocks.of(workspace.wish)
        self._present.add(workspace.wish.workspace_id)
        try:
            await self._furnish(workspace, stock)
        except WorkspaceLost as error:
            raise Unavailable(f"a workspace was lost while it was opened: {error}") from error

    async def _furnish(self, workspace: Workspace, stock: checkout.Stock) -> None:
        """Nothing of the repository comes to a pod before it is seen to be kept off the network."""
        wish, room = workspace.wish, _room(workspace)
        await self.settle(room, await self.jobs.make(workspace.manifest))
        await network.closed(room, self._targets(room), self._clock)
        objects = self._objects(wish.repository_id)
        pack = await self._packs.of(objects, wish.tree.below)
        await _laid(workspace, await asyncio.to_thread(tarred, objects, pack, wish.tree, stock))
        if wish.deferred:
            workspace.defer(stock)
        else:
            await checkout.fill(workspace.shell, wish.tree, stock)
        await self.jobs.keep(workspace.manifest, began=room.began, ready=True)

    async def settle(self, room: PodRoom, made: Found) -> None:
        """Returns once the pod of `made` runs."""
        room.uid, room.began = made.uid, made.began
        pod = await self._lookout.running(made.uid, self._settings.kubernetes.ready_s)
        room.pod, room.address, room.node = pod.name, pod.address, pod.node

    def _targets(self, room: PodRoom) -> network.Targets:
        return network.targets(self.api.server, room.node, ())

    async def keep(self, workspace: Workspace, renewed: Manifest) -> None:
        try:
            await self.jobs.keep(renewed, began=_room(workspace).began, ready=True)
        except RetryLater as error:
            raise Unavailable(f"{renewed.wish.workspace_id}: {error}", error.retry_after_s) from error

    async def remove(self, workspace: Workspace) -> None:
        """Where the cluster is away, the next sweep does it."""
        ident = workspace.wish.workspace_id
        try:
            await self.jobs.remove(ident)
        except (RetryLater, Misconfigured) as error:
            log.warning("the Job of %s stays for now: %s", ident, error, extra={"action": "sweep"})
        finally:
            self._present.discard(ident)

    async def sweep(self, known: Collection[WorkspaceId]) -> None:
        try:
            for there in await self.jobs.listed():
                present = {str(ident) for ident in self._present}
                if there.workspace and there.workspace not in present and not there.over:
                    await self.jobs.delete(there.name)
        except FolkmootError as error:
            log.warning("the cluster cannot be swept now: %s", error, extra={"action": "sweep"})

    def cramped(self) -> bool:
        """Each pod has a disk of its own."""
        return False

    def stop(self) -> None:
        """Nothing is built for later."""

    def _limits(self) -> Limits:
        runner = self._settings.runner
        return Limits(
            processes=min(self._plan.processes, runner.processes),
            memory_bytes=int(_MEMORY_SHARE * self._plan.memory_bytes),
            disk_bytes=self._plan.disk_bytes,
            charged=(REPO, job.HOME),
            open_files=runner.open_files,
            file_bytes=runner.file_bytes,
        )


async def _laid(workspace: Workspace, body: bytes) -> None:
    done = await workspace.shell(["tar", "-xf", "-", "-C", REPO], body, 4096)
    if done.code != 0:
        raise WorkspaceLost(f"the repository cannot be laid into the workspace: {done.complaint}")


def _room(workspace: Workspace) -> PodRoom:
    assert isinstance(workspace.room, PodRoom)
    return workspace.room

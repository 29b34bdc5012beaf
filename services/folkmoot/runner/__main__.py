"""`python -P -m folkmoot.runner`: workspaces and mirrors of this machine. One process per data folder."""

import asyncio
import logging
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import CallerError, FailedPrecondition, InvalidInput, NeedsPerson, ResourceExhausted
from folkmoot.kernel.events import START, Fact, Stored
from folkmoot.kernel.facts import WorkspaceReady, WorkspaceRefused, WorkspaceRequested
from folkmoot.runner import service
from folkmoot.runner.backend import Backend
from folkmoot.runner.checkout import Tree
from folkmoot.runner.local import toolchain
from folkmoot.runner.local.making import local
from folkmoot.runner.local.probe import require
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runner.repository_service import RepositoryServicer
from folkmoot.runner.service import WorkspaceServicer
from folkmoot.runner.stock import Sources
from folkmoot.runner.versions.archive import Archive
from folkmoot.runner.versions.desk import Desk, Keeper
from folkmoot.runner.workspace import Wish
from folkmoot.runner.workspaces import Opened, Overfilled, Workspaces, workspaces
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.log.port import Delivery, Log
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.ambient import span

log = logging.getLogger(__name__)

OPENERS = 4
"""Requests that are worked on at once: opening is mostly waiting for a sandbox."""
_TRIES = 3
"""Of a check-out that fills the disk: another one may have taken the room, but not each time."""
_SPARE_SHARE = 8
"""One in so many places is never an agent's: agents that wait for room would take all, and examinations none."""


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    # What sandboxes are shown has to be readable to them; what is secret says so itself.
    os.umask(0o022)
    folder = settings.data_folder / "runner"
    clock = SystemClock(settings.clock.shift_file)
    async with connect(settings.log, source=f"/runner/{instance('runner')}", clock=clock) as bus:
        mirrors = Mirrors(settings.data_folder / "mirrors", bus.artifacts, settings.runner)
        mirrors.sweep()
        sources = Sources(
            objects=mirrors.objects,
            bundles=mirrors.bundle_of,
            changes=mirrors.changes,
            exhibits=bus.artifacts.get,
        )
        backend = await _backend(folder, sources, settings, clock)
        archive = Archive.of(mirrors.folder, settings.runner)
        keeper = Keeper(archive, limit=settings.runner.bundle_bytes)
        async with workspaces(folder, backend, settings=settings.runner, clock=clock, keep=keeper.keep) as registry:
            await _serve(settings, announcement, stop, registry, mirrors, bus, Desk(registry, keeper, archive, clock))


async def _backend(
    folder: Path, sources: Sources, settings: Settings, clock: Clock
) -> AbstractAsyncContextManager[Backend]:
    """Raises Misconfigured where this machine cannot isolate workspaces, and they are to be here."""
    if settings.runner.backend == "kubernetes":
        from folkmoot.runner.kubernetes.making import kubernetes

        return kubernetes(folder, sources=sources, settings=settings, clock=clock)
    toolchains = toolchain.discover(folder)
    await require(toolchains, folder, uid=settings.runner.sandbox_uid)
    return local(folder, toolchains, sources=sources, settings=settings.runner)


async def _serve(
    settings: Settings,
    announcement: Announcement,
    stop: asyncio.Event,
    registry: Workspaces,
    mirrors: Mirrors,
    bus: NatsBus,
    desk: Desk,
) -> None:
    async with (
        serving(settings.grpc, _services(settings, registry, mirrors, bus, desk)) as address,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(registry.keep_swept(), name="sweeper"),
            group.create_task(mirrors.keep_packed(), name="packer"),
            group.create_task(desk.keep_swept(), name="versions"),
        ]
        opener = Opener(registry, bus.log, address, spare=settings.runner.max_workspaces // _SPARE_SHARE)
        readers = [bus.queues.deliveries("runner-requests") for _ in range(OPENERS)]
        tasks += [
            group.create_task(
                consume(r, opener.answer, max_deliver=settings.log.max_deliver, give_up=opener.refuse), name="opener"
            )
            for r in readers
        ]
        announcement.ready(address)
        await stop.wait()
        for task in tasks:
            task.cancel()
        await registry.drain()


def _services(settings: Settings, registry: Workspaces, mirrors: Mirrors, bus: NatsBus, desk: Desk) -> list[Service]:
    return [
        Service(
            name=service.NAME,
            servicer=WorkspaceServicer(registry, desk, service_token=settings.grpc.token),
            add=rpc.add_WorkspaceServiceServicer_to_server,
            capability_methods=service.CAPABILITY_METHODS,
        ),
        Service(
            name="folkmoot.api.workspace.v1.RepositoryService",
            servicer=RepositoryServicer(mirrors, bus.artifacts),
            add=rpc.add_RepositoryServiceServicer_to_server,
        ),
    ]


class Opener:
    """Answers `agent.requests`: opens the workspace, then says so in the log."""

    def __init__(self, registry: Workspaces, log_: Log, address: str, *, spare: int) -> None:
        self._registry = registry
        self._spare = spare
        self._log = log_
        self._address = address

    async def answer(self, delivery: Delivery) -> None:
        """A redelivered request finds its workspace open, and its answer written: saying it once is enough.

        Raises InvalidInput for what is no request, RetryLater, Conflict.
        """
        wanted = _wanted(delivery)
        with span("workspace request", task_id=wanted.task_id, agent_id=wanted.agent_id, attempt=wanted.attempt):
            await self._say(wanted, await self._outcome(wanted, delivery.stored))

    async def refuse(self, delivery: Delivery, reason: str) -> None:
        """Whoever waits for the workspace hears that none will come."""
        wanted = _wanted(delivery)
        await self._say(wanted, WorkspaceRefused(attempt=wanted.attempt, reason=reason[:2_000]))

    async def _outcome(self, wanted: WorkspaceRequested, asked: Stored) -> Fact:
        base = wanted.base
        tree = Tree(base=base.commit, commit=wanted.commit or base.start or base.commit, origin=base.origin)
        wish = Wish(
            task_id=wanted.task_id,
            holder=wanted.agent_id,
            attempt=wanted.attempt,
            repository_id=base.repository_id,
            tree=tree,
            versions=True,
        )
        try:
            opened = await self._opened(wish, wanted.ttl_s, asked)
        except (CallerError, NeedsPerson) as error:
            return WorkspaceRefused(attempt=wanted.attempt, reason=str(error)[:2_000])
        return WorkspaceReady(attempt=wanted.attempt, workspace_id=opened.workspace_id, endpoint=self._address)

    async def _opened(self, wish: Wish, ttl_s: float, asked: Stored) -> Opened:
        """A full runner is no reason to lose an attempt: the request waits here, under its lease, for a place.

        Raises FailedPrecondition when its own check-out fills the disk again and again (`disk`), and when it is not the
        agent's newest request (`newest`); asked for the first time in a runner with room, it is.
        """
        overfilled = 0
        while True:
            try:
                if wish.attempt > 1:
                    await self._require_newest(asked)
                return await self._registry.open(wish, ttl_s, spare=self._spare)
            except ResourceExhausted as full:
                overfilled += isinstance(full, Overfilled)
                if overfilled == _TRIES:
                    problem = f"its check-out filled the disk of the workspaces {_TRIES} times: give them more room"
                    raise FailedPrecondition("disk", problem) from full
                log.info("%s waits for a place: %s", wish.workspace_id, full, extra={"action": "wait"})
                await self._registry.vacancy(spare=self._spare)
                await self._require_newest(asked)

    async def _require_newest(self, asked: Stored) -> None:
        """An attempt that is over waits for nothing: opened all the same, its workspace would keep a place from those
        that are waited for. Raises FailedPrecondition (`newest`)."""
        newest = await patiently(lambda: self._log.last(asked.event.subject))
        if newest is not None and newest.seq > asked.seq:
            raise FailedPrecondition("newest", "a later attempt of this agent asks for a workspace")

    async def _say(self, wanted: WorkspaceRequested, fact: Fact) -> None:
        subject = subjects.agent_response(wanted.task_id, wanted.agent_id)
        last = await patiently(lambda: self._log.last(subject))
        if last is not None and last.event.data == fact:
            return
        await self._log.append(subject, fact, after=last.head if last else START)


def _wanted(delivery: Delivery) -> WorkspaceRequested:
    fact = delivery.stored.event.data
    if not isinstance(fact, WorkspaceRequested):
        raise InvalidInput("type", f"{fact.type_name} is no request for a workspace")
    return fact


if __name__ == "__main__":
    main("runner", serve)

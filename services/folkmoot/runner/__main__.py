"""`python -P -m folkmoot.runner`: workspaces and mirrors of this machine. One process per data folder."""

import asyncio
import logging
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.runner import service
from folkmoot.runner.backend import Warming
from folkmoot.runner.local import toolchain
from folkmoot.runner.local.making import local
from folkmoot.runner.local.probe import require
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runner.opener import Opener
from folkmoot.runner.pool import pooled
from folkmoot.runner.repository_service import RepositoryServicer
from folkmoot.runner.service import WorkspaceServicer
from folkmoot.runner.stock import Sources
from folkmoot.runner.versions.archive import Archive
from folkmoot.runner.versions.desk import Desk, Keeper
from folkmoot.runner.workspaces import Workspaces, workspaces
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import Settings

log = logging.getLogger(__name__)

OPENERS = 4
"""Requests that are worked on at once: opening is mostly waiting for a sandbox."""
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
            environment=mirrors.environment,
            contents=mirrors.contents,
        )
        backend = pooled(await _backend(folder, sources, settings, clock), settings=settings.runner, clock=clock)
        archive = Archive.of(mirrors.folder, settings.runner)
        keeper = Keeper(archive, limit=settings.runner.bundle_bytes)
        async with workspaces(folder, backend, settings=settings.runner, clock=clock, keep=keeper.keep) as registry:
            await _serve(settings, announcement, stop, registry, mirrors, bus, Desk(registry, keeper, archive, clock))


async def _backend(
    folder: Path, sources: Sources, settings: Settings, clock: Clock
) -> AbstractAsyncContextManager[Warming]:
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
            servicer=RepositoryServicer(mirrors, bus.artifacts, registry.prepare),
            add=rpc.add_RepositoryServiceServicer_to_server,
        ),
    ]


if __name__ == "__main__":
    main("runner", serve)

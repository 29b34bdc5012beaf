"""The Kubernetes backend, put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from folkmoot.runner.environment.proxy import Resolve, Resolver
from folkmoot.runner.kubernetes import canary
from folkmoot.runner.kubernetes.api import connected
from folkmoot.runner.kubernetes.cluster import Cluster
from folkmoot.runner.kubernetes.jobs import Jobs
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.packs import Packs
from folkmoot.runner.kubernetes.plan import plan
from folkmoot.runner.kubernetes.shelf import Shelf
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.supervise import first_leaf


@contextlib.asynccontextmanager
async def kubernetes(
    folder: Path, *, sources: Sources, settings: Settings, clock: Clock, resolve: Resolve | None = None
) -> AsyncIterator[Cluster]:
    """Workspaces in a cluster that was tried; `folder` is the runner's, which nobody else has, and holds packs,
    environments and the runner's name. `resolve` finds the hosts of set-ups; this machine does by default.

    Raises Misconfigured with what the cluster, its namespace or the image lacks, InvalidInput naming a setting,
    Unavailable.
    """
    async with untried(folder, sources=sources, settings=settings, clock=clock, resolve=resolve) as backend:
        await canary.require(backend, settings)
        yield backend


@contextlib.asynccontextmanager
async def untried(
    folder: Path, *, sources: Sources, settings: Settings, clock: Clock, resolve: Resolve | None = None
) -> AsyncIterator[Cluster]:
    """The same before anybody knows whether workspaces are kept off the network."""
    try:
        async with _made(folder, sources, settings, clock, resolve or Resolver()) as backend:
            yield backend
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures


@contextlib.asynccontextmanager
async def _made(
    folder: Path, sources: Sources, settings: Settings, clock: Clock, resolve: Resolve
) -> AsyncIterator[Cluster]:
    wanted = plan(settings.kubernetes)
    folder.mkdir(parents=True, exist_ok=True)
    runner = canary.identity(folder)
    async with connected(settings.kubernetes) as api, asyncio.TaskGroup() as group:
        await canary.secured(api)
        jobs = Jobs(api, wanted, runner, clock)
        lookout = Lookout(api, jobs.selector)
        environments = folder / "pod-environments"
        environments.mkdir(exist_ok=True)
        packs = Packs(folder / "packs", limit_bytes=settings.kubernetes.repository_bytes)
        shelf = Shelf(folder / "versions", sources.objects, group, limit=settings.runner.bundle_bytes)
        watching = group.create_task(lookout.watch(), name="pods")
        try:
            await lookout.ready()
            cluster = Cluster(
                *(api, jobs, lookout, packs, shelf),
                plan=wanted,
                environments=environments,
                resolve=resolve,
                sources=sources,
                settings=settings,
                clock=clock,
                group=group,
            )
            await cluster.environments.resume()
            yield cluster
        finally:
            watching.cancel()

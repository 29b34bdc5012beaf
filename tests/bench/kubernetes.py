"""Workspaces in the test bed of Kubernetes, against the same pods as bare Jobs and bare execs, in turn."""

import asyncio
import contextlib
import gc
import itertools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp

from folkmoot.runner.kubernetes import job
from folkmoot.runner.kubernetes.api import Api, connected
from folkmoot.runner.kubernetes.cluster import Cluster as Backend
from folkmoot.runner.kubernetes.jobs import Jobs
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.plan import plan
from folkmoot.runner.local import toolchain
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings
from tests.bench.measure import Row, interleaved, repeated, timed
from tests.fixtures.backends import cluster_bench, settings
from tests.fixtures.cluster import Cluster, missing, standing
from tests.fixtures.warming import ready
from tests.fixtures.workspace import Bench

_CROWD = 30
_CORE = 800
"""Thousandths of one, for what is measured one by one. A crowd's pods have a twentieth each, in which starting Python
takes most of a second."""
_TRUE = ("/bin/true",)
_GONE_S = 120.0
_DEADLINE_S = 600
_EXIT = 3
"""The channel on which the cluster says how a command ended."""


async def rows(folder: Path) -> list[Row]:
    """None where no bed can be had, which is said."""
    if reason := missing():
        sys.stderr.write(f"{reason}\n")
        return []
    folder.mkdir()
    with standing() as cluster:
        return await _rows(cluster, folder, toolchain.discover(folder / "toolchain"))


async def _rows(cluster: Cluster, folder: Path, toolchains: Toolchains) -> list[Row]:
    found = []
    async with _beside(cluster, folder / "one", toolchains, cpu_millis=_CORE) as (on, bare):
        found += [await _cold(on, bare), await _calls(on, bare)]
    async with _beside(cluster, folder / "many", toolchains) as (on, bare):
        found += [await _at_once(on, bare), await _idle(on)]
    (folder / "warm").mkdir()
    async with cluster_bench(cluster, folder / "warm", toolchains, warm=True, cpu_millis=_CORE * 3 // 4) as warm:
        found.append(await _warm(warm))
    return found


@contextlib.asynccontextmanager
async def _beside(
    cluster: Cluster, folder: Path, toolchains: Toolchains, *, cpu_millis: int = 50
) -> AsyncIterator[tuple[Bench, "_Bare"]]:
    """Ours and the floor, with the same pods."""
    folder.mkdir()
    async with (
        cluster_bench(cluster, folder, toolchains, cpu_millis=cpu_millis) as on,
        _bare(settings(cluster, folder, cpu_millis=cpu_millis)) as bare,
    ):
        yield on, bare


class _Bare:
    """Jobs with the pods of workspaces, by the same client, with nothing around them."""

    def __init__(self, api: Api, jobs: Jobs, lookout: Lookout) -> None:
        self._api = api
        self._jobs = jobs
        self._lookout = lookout
        self._numbers = itertools.count(1)

    async def up(self) -> tuple[str, str, str]:
        """Name and uid of a Job whose pod runs, and that pod's name."""
        made = await self._jobs.make_canary(f"moot-bare-{next(self._numbers)}", deadline_s=_DEADLINE_S)
        pod = await self._lookout.running(made.uid, _GONE_S)
        return made.name, made.uid, pod.name

    async def down(self, name: str) -> None:
        await self._jobs.delete(name)

    async def gone(self, uid: str) -> None:
        await self._lookout.gone(uid, _GONE_S)

    async def empty(self) -> None:
        """Returns once no pod is left."""
        await _without_pods(self._api, self._jobs.selector)

    async def true(self, pod: str) -> None:
        async with self._api.exec(pod, job.CONTAINER, _TRUE) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY and message.data[0] == _EXIT:
                    return


@contextlib.asynccontextmanager
async def _bare(wanted: KubernetesSettings) -> AsyncIterator[_Bare]:
    async with connected(wanted) as api, asyncio.TaskGroup() as group:
        jobs = Jobs(api, plan(wanted), "bench-bare", SystemClock())
        lookout = Lookout(api, jobs.selector)
        watching = group.create_task(lookout.watch(), name="pods")
        await lookout.ready()
        yield _Bare(api, jobs, lookout)
        watching.cancel()


async def _cold(on: Bench, bare: _Bare) -> Row:
    async def ours() -> float:
        seconds = await timed(on.opened())
        await _close_all(on)
        return seconds

    async def floor() -> float:
        found: list[tuple[str, str, str]] = []

        async def up() -> None:
            found.append(await bare.up())

        seconds = await timed(up())
        ((name, uid, _),) = found
        await bare.down(name)
        await bare.gone(uid)
        return seconds

    return await interleaved("workspace ready, Kubernetes, cold", ours, floor, rounds=8, aim="<= 1.2x")


async def _calls(on: Bench, bare: _Bare) -> Row:
    workspace = await on.workspace()
    name, _, pod = await bare.up()

    async def ours() -> float:
        return await timed(workspace.run(_TRUE))

    async def floor() -> float:
        return await timed(bare.true(pod))

    work = "tool call, Kubernetes: `/bin/true` (floor: a bare exec of it)"
    row = await interleaved(work, ours, floor, rounds=40, aim="<= 1.3x", warm=3)
    await bare.down(name)
    await _close_all(on)
    return row


async def _at_once(on: Bench, bare: _Bare) -> Row:
    async def one_of_ours() -> None:
        workspace = await on.workspace()
        await workspace.run(_TRUE)
        await workspace.close()

    async def one_bare() -> None:
        name, _, pod = await bare.up()
        await bare.true(pod)
        await bare.down(name)

    async def ours() -> float:
        seconds = await timed(_all(one_of_ours))
        await _empty(on)
        return seconds

    async def floor() -> float:
        seconds = await timed(_all(one_bare))
        await bare.empty()
        return seconds

    work = f"{_CROWD} workspaces at once, Kubernetes: open, one command, close (floor: {_CROWD} such Jobs)"
    return await interleaved(work, ours, floor, rounds=2, aim="<= 1.3x, none lost", warm=0)


async def _idle(on: Bench) -> Row:
    """After a first crowd, so that what any number of workspaces needs is there already."""
    await _all(on.workspace)
    await _close_all(on)
    before = _resident()
    await _all(on.workspace)
    kept = max(0, _resident() - before) / _CROWD / 1024
    await _close_all(on)
    work = f"memory of the runner per idle workspace, Kubernetes, of {_CROWD}"
    return Row(work=work, ours=(kept,), aim="<= 100 KiB", unit="KiB")


async def _warm(on: Bench) -> Row:
    async def ours() -> float:
        await ready(on.pool, 1)
        seconds = await timed(on.opened())
        await _close_all(on)
        return seconds

    row = await repeated("workspace from the warm pool, Kubernetes", ours, rounds=10, aim="<= 150 ms")
    if on.pool.claims["ready"] < len(row.ours):
        raise SystemExit(f"not all came from the pool: {on.pool.claims}")
    return row


async def _all(work: Callable[[], Awaitable[object]]) -> None:
    """So many of it at once; one that fails fails all."""

    async def once() -> None:
        await work()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CROWD):
            group.create_task(once())


async def _close_all(on: Bench) -> None:
    for manifest in on.registry.listed():
        await on.registry.close(manifest.wish.workspace_id)
    await _empty(on)


async def _empty(on: Bench) -> None:
    """Pods that end burden whoever is measured next; those that wait do not."""
    assert isinstance(on.backend, Backend)
    selector = f"{on.backend.jobs.selector},{job.KIND}=workspace"
    await _without_pods(on.backend.api, selector)


async def _without_pods(api: Api, selector: str) -> None:
    async with asyncio.timeout(_GONE_S):
        while (await api.get("v1", "pods", query={"labelSelector": selector}))["items"]:  # noqa: ASYNC110 -- of the cluster
            await asyncio.sleep(0.2)


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

"""Every backend of workspaces, as something that can be attacked."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runner.backend import Warming
from folkmoot.runner.kubernetes import making
from folkmoot.runner.local import probe, toolchain
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings, RunnerSettings, Settings
from tests.fixtures import backends
from tests.fixtures.cluster import Cluster, missing, standing
from tests.fixtures.workspace import Bench, Make, bench
from tests.security.abuse.arena import Arena
from tests.security.abuse.limits import SMALL
from tests.security.abuse.lures import lures
from tests.security.abuse.outside import Outside


class NotThereError(Exception):
    """This machine has no such backend; its text says what is missing."""


@contextlib.asynccontextmanager
async def local(folder: Path) -> AsyncIterator[Arena]:
    """bubblewrap on this machine."""
    try:
        toolchains = toolchain.discover(folder / "toolchains")
        await probe.require(toolchains, folder / "toolchains")
    except FolkmootError as error:
        raise NotThereError(str(error)) from error
    async with (
        lures(folder) as around,
        bench(folder / "bench", toolchains) as usual,
        bench(folder / "small", toolchains, settings=SMALL) as small,
    ):
        yield Arena("local", usual, small, around)


@contextlib.asynccontextmanager
async def kubernetes(folder: Path) -> AsyncIterator[Arena]:
    """Jobs on the test bed: the one that is up, or one for as long as this lasts."""
    if reason := missing():
        raise NotThereError(reason)
    with standing() as cluster:
        async with attacked(cluster, folder) as arena:
            yield arena


@contextlib.asynccontextmanager
async def attacked(cluster: Cluster, folder: Path) -> AsyncIterator[Arena]:
    """Its Jobs are closed, and what stands around them is gone, afterwards."""
    async with AsyncExitStack() as stack:
        sync = stack.enter_context(ExitStack())
        around = await stack.enter_async_context(lures(folder, sync.enter_context(Outside(cluster).around(folder))))
        toolchains = toolchain.discover(folder / "toolchains")
        usual = await stack.enter_async_context(_bench(cluster, folder / "bench", toolchains, RunnerSettings()))
        small = await stack.enter_async_context(_bench(cluster, folder / "small", toolchains, SMALL))
        yield Arena("kubernetes", usual, small, around, spares=True)


@contextlib.asynccontextmanager
async def _bench(
    cluster: Cluster, folder: Path, toolchains: Toolchains, runner: RunnerSettings
) -> AsyncIterator[Bench]:
    folder.mkdir()
    wanted = backends.settings(cluster, folder, cpu_millis=390)
    if runner is SMALL:
        wanted = msgspec.structs.replace(wanted, memory_bytes=SMALL.memory_bytes, disk_bytes=SMALL.disk_bytes)
    async with bench(folder, toolchains, settings=runner, backend=_making(wanted, runner)) as made:
        try:
            yield made
        finally:
            for manifest in made.registry.listed():
                await made.registry.close(manifest.wish.workspace_id)


def _making(cluster: KubernetesSettings, runner: RunnerSettings) -> Make:
    settings = Settings(kubernetes=cluster, runner=runner)

    def make(place: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
        return making.kubernetes(place, sources=sources, settings=settings, clock=SystemClock())

    return make


Backend = Callable[[Path], AbstractAsyncContextManager[Arena]]
BACKENDS: dict[str, Backend] = {"local": local, "kubernetes": kubernetes}

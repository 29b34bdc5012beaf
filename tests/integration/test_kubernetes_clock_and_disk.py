"""A slow API server, one that has enough of us, clocks that disagree, a full disk: over the small API server."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from folkmoot.kernel.errors import ResourceExhausted, Unavailable
from folkmoot.runner.backend import Warming
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import Settings
from tests.fixtures import need
from tests.fixtures.apiserver import ApiServer
from tests.fixtures.disk import CannotMount, ballast, mounted
from tests.fixtures.workspace import Bench, bench
from tests.integration.test_kubernetes_backend import api, making, runner, toolchains

__all__ = ["api", "runner", "toolchains"]

SIZE = 64 * 1024**2


class Wrong(SystemClock):
    """A runner's clock that is off by so much."""

    def __init__(self, off: timedelta) -> None:
        super().__init__()
        self._off = off

    def now(self) -> datetime:
        return super().now() + self._off


async def test_a_create_that_is_answered_too_late(runner: Bench, api: ApiServer) -> None:
    """It was done: the second one finds it, and there is one Job and one pod."""
    api.slow.append(("POST", "jobs", 5.0))
    workspace = await runner.workspace()
    assert (await workspace.run(["true"])).end.ok
    assert len(api.jobs) == len(api.pods) == 1


@pytest.mark.parametrize(("method", "resource"), [("GET", "exec"), ("GET", "pods")])
async def test_too_many_requests(runner: Bench, api: ApiServer, method: str, resource: str) -> None:
    """What has not begun is asked again after a while, and a command is run once."""
    workspace = await runner.workspace()
    api.fails.append((method, resource, 429, {"message": "too many requests"}))
    api.stop_watches()
    assert (await workspace.run(["sh", "-c", "echo x >>count; cat count"])).stdout == b"x\n"
    assert api.fails == [] or resource == "pods"


@pytest.mark.parametrize("off", [timedelta(days=-2), timedelta(days=2)])
async def test_clocks_that_disagree(tmp_path: Path, toolchains: Toolchains, api: ApiServer, off: timedelta) -> None:
    """The cluster is told how long, never until when: a workspace lives as long as its lease, and is kept longer."""
    clock = Wrong(off)
    async with api.serving() as settings:
        wanted = Settings(kubernetes=settings)

        def make(folder: Path, sources: Sources) -> AbstractAsyncContextManager[Warming]:
            return untried(folder, sources=sources, settings=wanted, clock=clock)

        async with bench(tmp_path, toolchains, clock=clock, backend=make) as made:
            opened = await made.opened(holder="a", ttl_s=600.0)
            (asked,) = api.jobs.values()
            assert 600 <= asked["spec"]["activeDeadlineSeconds"] <= 1_000
            await made.opened(holder="a", ttl_s=1_200.0)
            assert 1_200 <= asked["spec"]["activeDeadlineSeconds"] <= 1_600
            assert (await made.holding(opened).run(["true"])).end.ok


@pytest.fixture
async def small(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> AsyncIterator[tuple[Bench, Path]]:
    """A runner whose folder lies on a disk of its own."""
    place = tmp_path / "runner"
    place.mkdir()
    try:
        with mounted(place, SIZE):
            async with api.serving() as settings, bench(tmp_path, toolchains, backend=making(settings)) as made:
                yield made, place
    except CannotMount as problem:
        need(condition=False, reason=f"cannot mount: {problem}")


async def test_a_runner_whose_disk_is_full(small: tuple[Bench, Path]) -> None:
    """Workspaces that are open go on; one of a base that is not packed yet is for later, and nothing of it stays."""
    runner, disk = small
    workspace = await runner.workspace()
    runner.repo.commit({"large": bytes(range(256)) * 4096})
    with ballast(disk):
        assert (await workspace.run(["sh", "-c", "echo x >new; cat new"])).stdout == b"x\n"
        base = await runner.mirrors.prepare(str(runner.repo.folder), "HEAD")
        with pytest.raises((ResourceExhausted, Unavailable)):
            await runner.opened(base_commit=base.commit)
    assert not list((disk / "packs").glob(".new-*"))
    again = await runner.workspace(base_commit=base.commit)
    assert (await again.run(["test", "-e", "large"])).end.ok

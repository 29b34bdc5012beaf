"""A workspace that waited for whoever it would be keeps the same promises, in every backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.contract.test_workspace_contract import (
    test_bundle_out_and_in,
    test_closed,
    test_git_is_ready,
)
from tests.fixtures.backends import BACKENDS, cluster_bench
from tests.fixtures.warming import ClockAhead, demanded, ready
from tests.fixtures.workspace import Bench, bench, toolchains

__all__ = [
    "test_bundle_out_and_in",
    "test_closed",
    "test_git_is_ready",
    "toolchains",
]

WARM = RunnerSettings(warm_min=1, warm_max=2)


@pytest.fixture(params=BACKENDS)
async def runner(request: pytest.FixtureRequest, tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Bench]:
    if request.param == "local":
        clock = ClockAhead()
        async with bench(tmp_path, toolchains, settings=WARM, clock=clock, warm=True) as made:
            await demanded(made, clock)
            yield made
        assert [*made.places.glob(".*")] == []
        return
    async with cluster_bench(request.getfixturevalue("cluster"), tmp_path, toolchains, warm=True) as made:
        await ready(made.pool)
        yield made


@pytest.fixture
async def workspace(runner: Bench) -> GrpcWorkspace:
    """One that was claimed."""
    before = runner.pool.claims["ready"]
    found = await runner.workspace()
    assert runner.pool.claims["ready"] == before + 1
    return found


async def test_a_lease_is_as_any_other(runner: Bench, workspace: GrpcWorkspace) -> None:
    """Opened once more it is the same one, by the same token; and closed it is gone."""
    (listed,) = runner.registry.listed()
    await workspace.write("mine", b"1")
    again = await runner.opened(holder=listed.wish.holder)
    assert await runner.holding(again).read("mine") == b"1"
    assert [m.nonce for m in runner.registry.listed()] == [listed.nonce]
    await workspace.close()
    assert runner.registry.listed() == []

"""Warm workspaces of both backends: claimed once whoever else claims, whatever dies, and none is left at the end.

Kubernetes is the small API server of tests/fixtures; tests/contract has the same on a real cluster.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.kernel.errors import Unavailable
from folkmoot.runner.backend import Warm, Warming
from folkmoot.runner.kubernetes import job
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.settings import KubernetesSettings, RunnerSettings
from tests.fixtures.apiserver import ApiServer
from tests.fixtures.warming import ClockAhead, demanded, manifest_at, ready
from tests.fixtures.workspace import Bench, bench, toolchains
from tests.integration.test_kubernetes_backend import making

__all__ = ["toolchains"]

WARM = RunnerSettings(warm_min=1, warm_max=2)
BOUND_S = 30.0


@pytest.fixture
async def api(tmp_path: Path, toolchains: Toolchains) -> ApiServer:
    (tmp_path / "api").mkdir()
    return ApiServer(tmp_path / "api", toolchains)


@contextlib.asynccontextmanager
async def cluster_runner(tmp_path: Path, toolchains: Toolchains, settings: KubernetesSettings) -> AsyncIterator[Bench]:
    async with bench(tmp_path, toolchains, settings=WARM, backend=making(settings), warm=True) as made:
        await ready(made.pool)
        yield made


def unclaimed(api: ApiServer) -> list[str]:
    return [name for name, each in api.jobs.items() if each["metadata"]["labels"][job.KIND] == job.WARM]


async def test_a_check_out_that_waited_is_renamed(tmp_path: Path, toolchains: Toolchains) -> None:
    """It is the same folder, with versions kept in it from the first step on; and what nobody claimed goes at the end,
    while what somebody has stays for the next runner."""
    clock = ClockAhead()
    async with bench(tmp_path, toolchains, settings=WARM, clock=clock, warm=True) as made:
        await demanded(made, clock)
        (waiting,) = made.places.iterdir()
        inode = (waiting / "repo").stat().st_ino
        workspace = await made.workspace()
        (held,) = [m.wish.workspace_id for m in made.registry.listed()]
        assert (made.places / held / "repo").stat().st_ino == inode
        done = await workspace.run(["sh", "-c", "git status --porcelain && git log --format=%s"])
        assert done.stdout == b"a change\n"
        await ready(made.pool)
    assert [p.name for p in made.places.iterdir()] == [held]
    async with bench(tmp_path, toolchains, settings=WARM, warm=True) as again:
        assert [m.wish.workspace_id for m in again.registry.listed()] == [held]


async def test_a_runner_that_is_killed_leaves_none(tmp_path: Path, toolchains: Toolchains) -> None:
    """Neither one that waited, nor one that was claimed but not handed out."""
    places = tmp_path / "runner/workspaces"
    async with bench(tmp_path, toolchains) as made:
        wish = (await claimable(made)).kind
        backend = made.backend
        first, second = await backend.warmed(wish), await backend.warmed(wish)
        (places / second.name).rename(places / "ws-half")
        assert (places / first.name / "repo/README.md").is_file()
    async with bench(tmp_path, toolchains):
        assert [*places.iterdir()] == []


async def claimable(made: Bench) -> Warm:
    kind = made.backend.kind(manifest_at(made.base, "a"))
    assert kind is not None
    return Warm(kind=kind, name="none")


async def test_one_folder_is_claimed_by_one(tmp_path: Path, toolchains: Toolchains) -> None:
    """Two at once: one has it, the other is told no, and is not given half of it."""
    async with bench(tmp_path, toolchains) as made:
        backend = made.backend
        warm = await backend.warmed((await claimable(made)).kind)
        assert sorted(await claims(made, backend, backend, warm)) == [False, True]


async def claims(made: Bench, one: Warming, other: Warming, warm: Warm) -> list[bool]:
    """What both hear that claim it at once."""
    first = await one.begun(manifest_at(made.base, "a"))
    second = await other.begun(manifest_at(made.base, "b"))
    async with asyncio.TaskGroup() as group:
        heard = [
            group.create_task(one.claim(warm, first)),
            group.create_task(other.claim(warm, second)),
        ]
    for backend, workspace in ((one, first), (other, second)):
        await workspace.end()
        await backend.remove(workspace)
    return [task.result() for task in heard]


async def test_one_job_is_claimed_by_one(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Of two runners that know it: by the version of the Job, which changes with the first."""
    async with api.serving() as settings, bench(tmp_path, toolchains, backend=making(settings)) as made:
        warm = await made.backend.warmed((await claimable(made)).kind)
        assert sorted(await claims(made, made.backend, made.backend, warm)) == [False, True]
        assert api.jobs == {}


async def test_a_pod_that_waited(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Becomes the workspace's under another label; another one is started, and at the end only what somebody has is
    left, which the next runner finds by its token."""
    async with api.serving() as settings:
        async with cluster_runner(tmp_path, toolchains, settings) as made:
            (waiting,) = unclaimed(api)
            opened = await made.opened(holder="a")
            assert api.jobs[waiting]["metadata"]["labels"][job.KIND] == "workspace"
            await made.holding(opened).write("kept", b"1")
            await ready(made.pool)
            assert len(unclaimed(api)) == 1
        assert list(api.jobs) == [waiting]
        async with cluster_runner(tmp_path, toolchains, settings) as again:
            found = await again.opened(holder="a")
            assert found.token == opened.token
            assert await again.holding(found).read("kept") == b"1"
            await again.holding(found).close()
            assert waiting not in api.jobs


async def test_a_claim_whose_answer_was_lost(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Asked again, it finds itself the owner."""
    async with api.serving() as settings, cluster_runner(tmp_path, toolchains, settings) as made:
        api.loses_patch = True
        workspace = await made.workspace()
        assert made.pool.claims["ready"] == 1
        assert (await workspace.run(["git", "status", "--porcelain"])).stdout == b""


async def test_a_runner_that_dies_between_claim_and_hand_out(
    tmp_path: Path, toolchains: Toolchains, api: ApiServer
) -> None:
    """Nobody gets what it claimed; what waits is found again, and claimed by its successor."""
    async with api.serving() as settings:
        async with bench(tmp_path, toolchains, backend=making(settings)) as made:
            kind = (await claimable(made)).kind
            half, whole = await made.backend.warmed(kind), await made.backend.warmed(kind)
            workspace = await made.backend.begun(manifest_at(made.base, "a"))
            # It is entered while it is claimed, and anew where that fails.
            api.fails += [("GET", "exec", 404, {"message": "the runner died here"})] * 2
            with pytest.raises(Unavailable):
                await made.backend.claim(half, workspace)
            assert half.name in api.jobs
            # A runner that is killed removes nothing.
        async with cluster_runner(tmp_path, toolchains, settings) as again:
            assert half.name not in api.jobs
            await again.workspace()
            assert api.jobs[whole.name]["metadata"]["labels"][job.KIND] == "workspace"


async def test_a_pod_that_ended_while_it_waited(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """Is nobody's: whoever asks gets another one."""
    async with api.serving() as settings, cluster_runner(tmp_path, toolchains, settings) as made:
        (waiting,) = unclaimed(api)
        (pod,) = api.pods
        await api.lose(pod)
        workspace = await made.workspace()
        assert (await workspace.run(["true"])).end.ok
        assert waiting not in api.jobs


async def test_a_stray_is_swept(tmp_path: Path, toolchains: Toolchains, api: ApiServer) -> None:
    """One that this runner knows nothing of, as after a create whose answer never came; another runner's is let be."""
    async with api.serving() as settings, cluster_runner(tmp_path, toolchains, settings) as made:
        (name,) = unclaimed(api)
        for stray, runner in (("moot-warm-stray", None), ("moot-warm-others", "another")):
            found = api.jobs[name]
            labels = {**found["metadata"]["labels"], **({job.RUNNER: runner} if runner else {})}
            api.jobs[stray] = {**found, "metadata": {**found["metadata"], "name": stray, "labels": labels}}
        await made.registry.sweep()
        assert sorted(api.jobs) == sorted([name, "moot-warm-others"])
        del api.jobs["moot-warm-others"]

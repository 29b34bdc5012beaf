"""Faults of a real cluster under a runner, each with its stated outcome (docs/kubernetes.md)."""

import asyncio
import json
from pathlib import Path

import pytest

from folkmoot.runner.kubernetes import job
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.backends import NAMESPACE, cluster_bench
from tests.fixtures.cluster import Cluster, command
from tests.fixtures.workspace import toolchains

__all__ = ["toolchains"]

BOUND_S = 180.0


def pods(cluster: Cluster, folder: Path) -> list[str]:
    """Of the runner of that folder."""
    runner = (folder / "runner/identity").read_text("ascii")
    return cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", f"{job.RUNNER}={runner}", "-o", "name").split()


async def lost(workspace: GrpcWorkspace, begun: asyncio.Event) -> str:
    """What a command that would run for long is told."""
    with pytest.raises(WorkspaceLost) as end:  # noqa: PT012 -- until it ends
        async for _ in workspace.stream(["sh", "-c", "echo on; exec sleep 1000"], timeout_s=600.0):
            begun.set()
    return str(end.value)


async def test_an_evicted_pod(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """By the eviction API, as a node that is drained does: the command under way and all later ones are told that the
    workspace is lost; a new one of the same name is another pod."""
    async with cluster_bench(cluster, tmp_path, toolchains) as made, asyncio.timeout(BOUND_S):
        workspace = await made.workspace(holder="a")
        (pod,) = pods(cluster, tmp_path)
        name = pod.removeprefix("pod/")
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": NAMESPACE},
        }
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(lost(workspace, begun))
            await begun.wait()
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
            await asyncio.to_thread(cluster.kubectl, "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        with pytest.raises(WorkspaceLost):
            await workspace.run(["true"])
        await workspace.close()
        again = await made.workspace(holder="a")
        assert (await again.run(["true"])).end.ok
        assert name not in {each.removeprefix("pod/") for each in pods(cluster, tmp_path)}


@pytest.mark.disturbs
async def test_a_kubelet_that_is_away(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """What a command did that was under way is unknown, and said to be. One that comes meanwhile waits, and runs when
    the node is back; or, where that takes longer than a request may, counts as on a lost workspace, unbegun."""
    short = cluster_bench(cluster, tmp_path / "short", toolchains, request_s=1.0)
    long = cluster_bench(cluster, tmp_path / "long", toolchains, request_s=90.0)
    for name in ("short", "long"):
        (tmp_path / name).mkdir()
    async with short as hasty, long as patient, asyncio.timeout(BOUND_S):
        first, second = await hasty.workspace(), await patient.workspace()
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            said = group.create_task(lost(second, begun))
            await begun.wait()
            assert (await asyncio.to_thread(command, "kill", "kubelet")).returncode == 0
            waiting = group.create_task(second.run(["sh", "-c", "echo x >>count; cat count"]))
            with pytest.raises(WorkspaceLost, match="refused"):
                await first.run(["sh", "-c", "echo x >>count"])
            assert (await asyncio.to_thread(command, "up", "--set", "base")).returncode == 0
        assert "unknown" in said.result()
        assert waiting.result().stdout == b"x\n"


async def test_a_disk_that_a_command_fills(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """The command is ended before the cluster would evict its pod, in the repository, the home and /tmp alike; the
    workspace goes on."""
    fill = "i=0; while head -c 4000000 /dev/zero >$1/f$i; do i=$((i+1)); done; sleep 9"
    async with cluster_bench(cluster, tmp_path, toolchains, disk_bytes=30_000_000) as made:
        workspace = await made.workspace()
        for folder in ("/workspace", "/home/agent", "/tmp"):
            done = await workspace.run(["sh", "-c", fill, "sh", folder])
            assert done.end.limit == "disk", folder
            assert (await workspace.run(["sh", "-c", f"rm {folder}/f*"])).end.ok

"""`moot solve --workspace kubernetes`, and in the middle of it SIGKILL: to the runner, to the API server. Nothing is
lost, the task ends once, and no pod is left."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.runner.kubernetes import job
from tests.chaos import processes
from tests.fixtures.backends import NAMESPACE, settings
from tests.fixtures.cluster import Cluster, command
from tests.fixtures.platform import Done, Moot

BOUND_S = 240.0
CAST = {"dev-1": "right", "dev-2": "plausible"}


@pytest.fixture
def in_cluster(cluster: Cluster, tmp_path: Path) -> Iterator[Moot]:
    """A platform whose workspaces are Jobs."""
    wanted = settings(cluster, tmp_path, request_s=60.0)
    moot = Moot(tmp_path / "data")
    moot.env |= {
        "FOLKMOOT_KUBERNETES_KUBECONFIG": wanted.kubeconfig,
        "FOLKMOOT_KUBERNETES_IMAGE": wanted.image,
        "FOLKMOOT_KUBERNETES_PULL": "Never",
        "FOLKMOOT_KUBERNETES_CPU_MILLIS": "200",
        "FOLKMOOT_KUBERNETES_MEMORY_BYTES": str(256 * 1024**2),
        "FOLKMOOT_KUBERNETES_REQUEST_S": "60",
        "FOLKMOOT_ORCHESTRATOR_CHECK_TIMEOUT_S": "60",
    }
    up = moot("up", "--detach", "--workspace", "kubernetes")
    assert up.code == 0, up.err
    yield moot
    assert moot("down").code == 0


def workspaces(cluster: Cluster, moot: Moot) -> list[str]:
    """Its pods that have a workspace, as the cluster tells it."""
    runner = (moot.data / "runner/identity").read_text("ascii")
    said = cluster.kubectl(
        *("-n", NAMESPACE, "get", "pods", "-o", "name"), "-l", f"{job.RUNNER}={runner},{job.KIND}=workspace"
    )
    return said.split()


async def until(cluster: Cluster, moot: Moot, *, there: bool) -> None:
    while bool(await asyncio.to_thread(workspaces, cluster, moot)) is not there:  # noqa: ASYNC110 -- the cluster's
        await asyncio.sleep(0.2)


@pytest.mark.disturbs
@pytest.mark.timeout(600)
@pytest.mark.parametrize("killed", ["runner", "kube-apiserver"])
async def test_killed_in_the_middle(cluster: Cluster, in_cluster: Moot, tmp_path: Path, killed: str) -> None:
    """While agents work in their pods: the task is decided as without it, by one outcome, and its pods go."""
    async with asyncio.timeout(2 * BOUND_S), asyncio.TaskGroup() as group:
        solving = group.create_task(
            asyncio.to_thread(in_cluster.solve, "tally", CAST, tmp_path / "work", "--workspace", "kubernetes")
        )
        await until(cluster, in_cluster, there=True)
        if killed == "runner":
            processes.kill(processes.part(in_cluster.info, "runner"))
        else:
            assert (await asyncio.to_thread(command, "kill", killed)).returncode == 0
            assert (await asyncio.to_thread(command, "up", "--set", "base")).returncode == 0
        done = await solving
        await until(cluster, in_cluster, there=False)
    assert done.code == 0, done.err
    assert ended(in_cluster, done) == ["decided"]


def ended(moot: Moot, done: Done) -> list[str]:
    """Every outcome that the task's log holds."""
    watched = moot("watch", done.json["task_id"], "--json")
    events = [json.loads(line)["event"] for line in watched.out.splitlines()]
    return [event["data"]["result"]["state"] for event in events if event["type"] == DeliberationEnded.type_name]

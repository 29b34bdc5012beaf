"""The Kubernetes backend on a real cluster: what the contract of all backends does not say."""

import asyncio
import json
from pathlib import Path

import pytest

from folkmoot.kernel.errors import FolkmootError, Misconfigured, ResourceExhausted
from folkmoot.runner.kubernetes import job
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.backends import NAMESPACE, cluster_bench, making, settings
from tests.fixtures.cluster import Cluster, command
from tests.fixtures.workspace import bench, toolchains

__all__ = ["toolchains"]

BOUND_S = 120.0


def of_ours(cluster: Cluster, kind: str, *, runner: str) -> list[str]:
    found = cluster.kubectl("-n", NAMESPACE, "get", kind, "-l", f"{job.RUNNER}={runner}", "-o", "name")
    return found.split()


async def lost(workspace: GrpcWorkspace, script: str, begun: asyncio.Event) -> str:
    async def heard() -> None:
        async for _ in workspace.stream(["sh", "-c", f"echo on; {script}"], timeout_s=600.0):
            begun.set()

    with pytest.raises(WorkspaceLost) as end:
        await heard()
    return str(end.value)


async def test_a_runner_tries_the_cluster_before_it_serves(
    cluster: Cluster, tmp_path: Path, toolchains: Toolchains
) -> None:
    """With two canaries, which find everything closed and leave nothing."""
    wanted = settings(cluster, tmp_path)
    async with bench(tmp_path, toolchains, backend=making(wanted, tried=True)) as made:
        workspace = await made.workspace()
        assert (await workspace.run(["git", "status", "--short"])).end.ok
        await workspace.close()
    name = (tmp_path / "runner/identity").read_text()
    async with asyncio.timeout(BOUND_S):
        while of_ours(cluster, "pods", runner=name):  # noqa: ASYNC110 -- the cluster removes them by itself
            await asyncio.sleep(0.2)
    assert of_ours(cluster, "jobs", runner=name) == []


async def test_walls_of_a_pod(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """As whom a command runs there, and what it may not: seen from inside."""
    script = """id -u
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | sort | tr -d '\\t' | tr '\\n' ' '; echo
touch /opt/x 2>/dev/null && echo writable; ls /var/run/secrets 2>/dev/null; env | grep -c KUBERNETES
ls /proc/$PPID/fd >/dev/null 2>&1 && echo watcher; ls /proc/1/fd >/dev/null 2>&1 && echo init
kill -9 1; unshare -U true 2>/dev/null && echo nested; exit 0"""
    async with cluster_bench(cluster, tmp_path, toolchains) as made:
        workspace = await made.workspace()
        done = await workspace.run(["sh", "-c", script])
        walls = b"CapBnd:0000000000000000 CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2 "
        assert done.stdout == b"65534\n" + walls + b"\n0\n"
        assert (await workspace.run(["true"])).end.ok


async def test_a_command_out_of_memory_and_a_pod_that_is_deleted(
    cluster: Cluster, tmp_path: Path, toolchains: Toolchains
) -> None:
    """The first is the command's own failure and leaves the workspace; the second is the workspace's end."""
    eater = "x = [bytearray(2**24) for _ in range(64)]"
    async with cluster_bench(cluster, tmp_path, toolchains) as made:
        workspace = await made.workspace()
        assert (await workspace.run(["python3", "-c", eater])).end.limit == "memory"
        assert (await workspace.run(["true"])).end.ok
        (name,) = of_ours(cluster, "pods", runner=(tmp_path / "runner/identity").read_text())
        begun = asyncio.Event()
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            group.create_task(lost(workspace, "sleep 1000", begun))
            await begun.wait()
            await asyncio.to_thread(cluster.kubectl, "-n", NAMESPACE, "delete", name, "--wait=false")
        with pytest.raises(WorkspaceLost):
            await workspace.run(["true"])


@pytest.mark.disturbs
async def test_the_api_server_is_killed_in_the_middle_of_a_command(
    cluster: Cluster, tmp_path: Path, toolchains: Toolchains
) -> None:
    """The command's outcome is unknown, and said to be; its workspace is there when the server is back."""
    async with cluster_bench(cluster, tmp_path, toolchains, request_s=60.0) as made:
        workspace = await made.workspace()
        await workspace.write("kept", b"1")
        begun = asyncio.Event()
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            said = group.create_task(lost(workspace, "echo $$ > pid; exec sleep 1000", begun))
            await begun.wait()
            assert (await asyncio.to_thread(command, "kill", "kube-apiserver")).returncode == 0
            assert (await asyncio.to_thread(command, "up", "--set", "base")).returncode == 0
        assert "unknown" in said.result()
        assert await workspace.read("kept") == b"1"
        assert not (await workspace.run(["sh", "-c", "kill -0 $(cat pid)"])).end.ok


async def test_a_runner_that_is_gone_finds_its_workspaces(
    cluster: Cluster, tmp_path: Path, toolchains: Toolchains
) -> None:
    """By the same token, from what stands in the cluster."""
    wanted = making(settings(cluster, tmp_path))
    async with bench(tmp_path, toolchains, backend=wanted) as first:
        opened = await first.opened(holder="a")
        await first.holding(opened).write("kept", b"1")
    async with bench(tmp_path, toolchains, backend=wanted) as second:
        again = await second.opened(holder="a")
        assert again.token == opened.token
        assert await second.holding(again).read("kept") == b"1"
        await second.holding(again).close()


@pytest.mark.disturbs
async def test_a_full_quota_and_an_image_that_is_missing(
    cluster: Cluster, tmp_path: Path, toolchains: Toolchains
) -> None:
    """Later, the first says; a person has to see to it, the second."""
    missing = "localhost/none@sha256:" + "0" * 64
    async with cluster_bench(cluster, tmp_path, toolchains, image=missing) as made:
        with pytest.raises(FolkmootError, match="image"):
            await made.workspace()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "test-none", "namespace": NAMESPACE},
        "spec": {"hard": {"pods": "0"}},
    }
    cluster.apply(quota)
    try:
        async with cluster_bench(cluster, tmp_path, toolchains) as made:
            with pytest.raises(ResourceExhausted, match="quota"):
                await made.workspace()
    finally:
        cluster.kubectl("-n", NAMESPACE, "delete", "resourcequota", "test-none")


@pytest.mark.disturbs
async def test_policies_that_mean_nothing(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """A runner refuses to serve in a cluster that lets workspaces through, and says where they got."""
    assert (await asyncio.to_thread(command, "ignore-policies")).returncode == 0
    try:
        with pytest.raises(Misconfigured, match=r"reach .*10250.*not enforced"):
            async with bench(tmp_path, toolchains, backend=making(settings(cluster, tmp_path), tried=True)):
                pytest.fail("it serves")
    finally:
        assert (await asyncio.to_thread(command, "up", "--set", "base")).returncode == 0


def test_rights_of_a_runner(cluster: Cluster) -> None:
    """Those of its role, and none that lies next to them, as the real API server says."""
    who = f"system:serviceaccount:{NAMESPACE}:folkmoot-runner"
    for verb, what, may in [
        ("create", "jobs.batch", "yes"),
        ("delete", "jobs.batch", "yes"),
        ("create", "pods/exec", "yes"),
        ("create", "pods", "no"),
        ("delete", "pods", "no"),
        ("get", "secrets", "no"),
        ("get", "configmaps", "no"),
        ("delete", "networkpolicies.networking.k8s.io", "no"),
        ("patch", "namespaces", "no"),
        ("create", "serviceaccounts/token", "no"),
        ("get", "nodes", "no"),
    ]:
        assert _can(cluster, verb, what, who, NAMESPACE) == may, (verb, what)
    assert _can(cluster, "create", "jobs.batch", who, "default") == "no"
    nobody = f"system:serviceaccount:{NAMESPACE}:folkmoot-workspace"
    assert _can(cluster, "get", "pods", nobody, NAMESPACE) == "no"


def _can(cluster: Cluster, verb: str, what: str, who: str, namespace: str) -> str:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": who,
            "resourceAttributes": {"namespace": namespace, "verb": verb, **_resource(what)},
        },
    }
    found = cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    return "yes" if json.loads(found)["status"]["allowed"] else "no"


def _resource(what: str) -> dict[str, str]:
    name, _, sub = what.partition("/")
    resource, _, group = name.partition(".")
    return {"resource": resource, "group": group, "subresource": sub}

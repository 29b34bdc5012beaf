"""The Kubernetes of deploy/testbed, really up: what the tests of the backend build on."""

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.testbed.kubernetes import cgroups
from deploy.testbed.kubernetes.bed import Bed
from tests.fixtures.cluster import Cluster, command, obtainable

_TOOLS = ("agent", "git", "pytest", "ripgrep", "ruff")
"""What the first lines of their answers begin with."""
_WALLS = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """One that refuses pods which are not `restricted`; gone afterwards."""
    name = f"bed-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _job(cluster: Cluster, namespace: str, name: str, *argv: str) -> None:
    container = {
        "name": "main",
        "image": cluster.image,
        "imagePullPolicy": "Never",
        "command": list(argv),
        "securityContext": _WALLS,
        "volumeMounts": [{"name": "own", "mountPath": "/workspace"}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "own", "emptyDir": {"sizeLimit": "16Mi"}}],
    }
    metadata = {"name": name, "namespace": namespace}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})


def _until(cluster: Cluster, namespace: str, condition: str, *jobs: str) -> None:
    names = (f"job/{name}" for name in jobs)
    cluster.kubectl("-n", namespace, "wait", f"--for={condition}", "--timeout=120s", *names)


def test_a_job_completes_with_what_a_workspace_needs(cluster: Cluster, namespace: str) -> None:
    """Our image runs as its user on a read-only root: git, pytest, ripgrep and ruff are there and work."""
    script = (
        "id -un && cd /workspace && git init -q . && git --version && python -m pytest --version && rg --version && "
        "ruff --version && ! touch /opt/x"
    )
    _job(cluster, namespace, "tools", "bash", "-euc", script)
    _until(cluster, namespace, "condition=complete", "tools")
    said = cluster.kubectl("-n", namespace, "logs", "job/tools")
    assert [line.split()[0] for line in said.splitlines() if line.startswith(_TOOLS)] == list(_TOOLS)


def test_a_command_runs_in_a_pod_through_the_api_server(cluster: Cluster, namespace: str) -> None:
    """Input goes in, output and exit status come back."""
    _job(cluster, namespace, "idle", "sleep", "600")
    _until(cluster, namespace, "jsonpath={.status.ready}=1", "idle")
    at = ("-n", namespace, "exec", "-i", "job/idle", "--")
    assert cluster.kubectl(*at, "tr", "a-z", "A-Z", stdin="hello") == "HELLO"
    with pytest.raises(AssertionError, match="exit code 7"):
        cluster.kubectl(*at, "sh", "-c", "exit 7")


@contextlib.contextmanager
def _listening(address: str) -> Iterator[int]:
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


def test_a_network_policy_holds(cluster: Cluster, namespace: str) -> None:
    """Denied pods do not reach this machine, from their first packet on; the same pod in another namespace does."""
    other = f"{namespace}-open"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    metadata = {"name": "deny", "namespace": namespace}
    cluster.apply({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
    with _listening(cluster.machine) as port:
        code = f"import socket; socket.create_connection(({cluster.machine!r}, {port}), 8)"
        for place in (namespace, other):
            _job(cluster, place, "caller", "python3", "-c", code)
        _until(cluster, other, "condition=complete", "caller")
        _until(cluster, namespace, "condition=failed", "caller")
    assert "TimeoutError" in cluster.kubectl("-n", namespace, "logs", "job/caller")
    cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_a_pod_without_walls_is_refused(cluster: Cluster, namespace: str) -> None:
    """Pod Security is at work in the API server."""
    argv = ("-n", namespace, "run", "bare", f"--image={cluster.image}", "--image-pull-policy=Never")
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted'):
        cluster.kubectl(*argv)


def _of_this_machine(bed: Bed) -> dict[str, set[str]]:
    """What a bed could leave behind."""
    home = str(bed.places.home)
    processes = (p for p in Path("/proc").glob("[0-9]*/cmdline") if p.parent.name != str(os.getpid()))
    return {
        "mounts": {line for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines() if home in line},
        "interfaces": {p.name for p in Path("/sys/class/net").iterdir() if p.name == bed.places.link},
        "groups": {str(p) for p in cgroups.groups(bed.places.cgroup)},
        "processes": {text for p in processes if home in (text := _read(p))},
        "files": {str(p) for p in bed.places.home.glob("*")},
    }


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def test_a_bed_starts_beside_another_heals_and_leaves_nothing() -> None:
    """A second bed has addresses of its own; a killed scheduler is back with the next `up`; `down` takes all away."""
    obtainable()
    bed = Bed(f"test-{uuid.uuid4().hex[:6]}")
    name = bed.places.name
    try:
        up = command("up", name=name)
        assert up.returncode == 0, up.stderr
        status = bed.status()
        assert Path(up.stdout.strip()) == status.kubeconfig
        assert status.policies
        there = _of_this_machine(bed)
        assert all(there[what] for what in ("interfaces", "groups", "processes", "files")), there
        bed.kill("kube-scheduler")
        assert "kube-scheduler" not in bed.status().running
        assert command("up", name=name).returncode == 0
        assert "kube-scheduler" in bed.status().running
    finally:
        down = command("down", "--images", name=name)
    assert down.returncode == 0, down.stderr
    assert not any(_of_this_machine(bed).values()), _of_this_machine(bed)
    assert not bed.places.home.exists()
    assert "is not up" in command("status", name=name).stderr

"""The pure parts of the Kubernetes backend: what is asked of a cluster, and what its answers mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from folkmoot.kernel.errors import (
    Conflict,
    FolkmootError,
    InvalidInput,
    Misconfigured,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId, WorkspaceId
from folkmoot.runner.checkout import Tree
from folkmoot.runner.command import Command
from folkmoot.runner.kubernetes import job, jobs, network, pods, wire
from folkmoot.runner.kubernetes.api import failure
from folkmoot.runner.kubernetes.plan import plan
from folkmoot.runner.kubernetes.wire import Farewell, Frames, Refused
from folkmoot.runner.workspace import Manifest, Wish
from folkmoot.runtime.settings import KubernetesSettings
from folkmoot.runtime.workspace.port import WorkspaceLost

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "localhost/x@sha256:" + "0" * 64
COMMIT = CommitId("a" * 40)
MANIFEST = Manifest(
    wish=Wish(
        task_id=TaskId("t-1"),
        holder="agent",
        attempt=1,
        repository_id=RepositoryId("r"),
        tree=Tree(base=COMMIT, commit=COMMIT),
    ),
    nonce="n",
    expires_at=NOW + timedelta(seconds=600),
)


def made(**settings: object) -> dict[str, Any]:
    wanted = plan(KubernetesSettings(image=IMAGE, **settings))  # type: ignore[arg-type]
    return job.job(MANIFEST, wanted, "runner", now=NOW)


def test_a_job_has_every_wall() -> None:
    """What an attacker would look for first is asked of the cluster, for each workspace."""
    found = made(size="light", runtime_class="gvisor", node_selector="a=b", tolerations="k=v:NoSchedule,x:NoExecute")
    spec = found["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], pod["restartPolicy"]) == (0, 900, "Never")
    assert spec["ttlSecondsAfterFinished"] > 0
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    walls = container["securityContext"]
    assert (walls["allowPrivilegeEscalation"], walls["readOnlyRootFilesystem"]) == (False, True)
    assert walls["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"])
    assert container["image"] == IMAGE
    assert (pod["runtimeClassName"], pod["nodeSelector"]) == ("gvisor", {"a": "b"})
    assert [t["effect"] for t in pod["tolerations"]] == ["NoSchedule", "NoExecute"]
    assert not [v for v in pod["volumes"] if set(v) - {"name", "emptyDir"}]
    assert "env" not in container


def test_a_workspace_is_recovered_from_its_job() -> None:
    """All that a runner knows of it stands in the cluster."""
    found = made()
    found["metadata"]["uid"] = "u"
    assert jobs.read(found).manifest == MANIFEST
    assert found["metadata"]["name"] == job.name(WorkspaceId(MANIFEST.wish.workspace_id), "runner")
    assert jobs.read(found).workspace == MANIFEST.wish.workspace_id


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image": "x:latest"}, "kubernetes.image"),
        ({"image": IMAGE, "tolerations": "a=b"}, "kubernetes.tolerations"),
        ({"image": IMAGE, "node_selector": "a"}, "kubernetes.node_selector"),
    ],
)
def test_a_setting_that_is_wrong_is_named(fields: dict[str, str], field: str) -> None:
    """Before anything is asked of a cluster."""
    with pytest.raises(InvalidInput, match=field):
        plan(KubernetesSettings(**fields))  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match="FOLKMOOT_KUBERNETES_IMAGE"):
        plan(KubernetesSettings())


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (403, "pods is forbidden: exceeded quota: workspaces", ResourceExhausted),
        (403, 'jobs.batch is forbidden: User "x" cannot create', Misconfigured),
        (401, "Unauthorized", Misconfigured),
        (404, "gone", NotFound),
        (409, "already exists", Conflict),
        (410, "too old resource version", Conflict),
        (422, "is invalid", InvalidInput),
        (429, "too many", ResourceExhausted),
        (500, "etcd", Unavailable),
        (503, "", Unavailable),
    ],
)
def test_what_the_api_server_refuses(code: int, message: str, kind: type[FolkmootError]) -> None:
    """Each answer says to its caller what to do."""
    error = failure(code, json.dumps({"message": message}).encode(), {"Retry-After": "7"})
    assert type(error) is kind
    assert message in str(error)
    if isinstance(error, ResourceExhausted):
        assert error.retry_after_s == 7.0


def pod(**status: object) -> pods.Pod:
    labels = {"batch.kubernetes.io/controller-uid": "u"}
    return pods.read({"metadata": {"name": "p", "labels": labels}, "status": status})


def container(**state: object) -> list[object]:
    return [{"state": state}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "disk pressure"}, Unavailable),
        ({"containerStatuses": container(waiting={"reason": "ErrImageNeverPull"})}, Misconfigured),
        ({"containerStatuses": container(waiting={"reason": "ImagePullBackOff"})}, Misconfigured),
        ({"containerStatuses": container(waiting={"reason": "CreateContainerError"})}, Misconfigured),
        ({"containerStatuses": container(terminated={"reason": "OOMKilled", "exitCode": 137})}, Unavailable),
        ({"conditions": [{"type": "DisruptionTarget", "status": "True"}]}, Unavailable),
    ],
)
def test_a_pod_that_will_not_run(status: dict[str, object], kind: type[FolkmootError]) -> None:
    """Nobody waits for it any longer."""
    found = pod(**status)
    assert not found.running
    assert type(pods.hopeless(found)) is kind


EVICTED = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": 'Usage of EmptyDir volume "d" exceeds the limit "10Mi". ',
    "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}],
    "podIP": "10.250.1.2",
}
"""As a kubelet of 1.34 wrote it, with what concerns nobody here left out."""


@pytest.mark.parametrize(
    "ended", [{"exitCode": 137, "reason": "ContainerStatusUnknown"}, {"exitCode": 0, "reason": "OOMKilled"}]
)
def test_who_ended_a_pod_is_said_first(ended: dict[str, object]) -> None:
    """The reason of its container may be a child that ran out of memory long before."""
    status = EVICTED | {"containerStatuses": container(terminated=ended)}
    assert pod(**status).over == 'the pod was evicted: Usage of EmptyDir volume "d" exceeds the limit "10Mi".'
    aimed = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Drained"}
    drained = pod(containerStatuses=container(terminated=ended), conditions=[aimed])
    assert drained.over == "the pod was evicted: Drained"
    assert pod(containerStatuses=container(terminated=ended)).over.startswith("its container ended")


def test_a_pod_that_may_run() -> None:
    """One that waits for room or its image is waited for, and says what it waited for when the time is over."""
    waiting = pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cpu"}])
    assert pods.hopeless(waiting) is None
    assert isinstance(pods.too_late(waiting, 5.0), ResourceExhausted)
    assert isinstance(pods.too_late(None, 5.0), Unavailable)
    assert pods.hopeless(pod(containerStatuses=container(waiting={"reason": "ErrImagePull"}))) is None
    assert pod(containerStatuses=container(running={}), podIP="10.0.0.1").running


def test_frames_in_any_pieces() -> None:
    """However the connection cuts them; what is no frame of ours is refused."""
    whole = b"B\0\0\0\0" + b"O\0\0\0\3abc" + b"X\0\0\0\2{}"
    for size in range(1, len(whole) + 1):
        frames = Frames()
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [f for piece in pieces for f in frames.fed(piece)] == [(b"B", b""), (b"O", b"abc"), (b"X", b"{}")]
    with pytest.raises(WorkspaceLost):
        Frames().fed(b"Traceback (most recent")


def test_the_exit_status_is_the_clusters() -> None:
    """No word of the watcher's makes a failure a success, or a success a failure."""
    said = Farewell(limit="time", truncated=False, signal=0)
    assert wire.judged(0, said, 1.0).end.ok
    assert wire.judged(137, said, 1.0).end.limit == "time"
    assert wire.judged(137, Farewell(limit="", truncated=False, signal=0), 1.0).end.signal == 9
    assert wire.exit_code(b'{"status":"Success"}') == 0
    causes = {"causes": [{"reason": "ExitCode", "message": "3"}]}
    assert wire.exit_code(json.dumps({"status": "Failure", "details": causes}).encode()) == 3
    for body in (b'{"status":"Failure","message":"container not found"}', b"", b"no JSON"):
        with pytest.raises(WorkspaceLost):
            wire.exit_code(body)


def test_why_a_command_did_not_begin() -> None:
    """An argument that is too long is the caller's; a program that is not there is an ordinary end."""
    command = Command(argv=("x",))
    assert isinstance(wire.refusal(Refused(errno=7, text=""), command), InvalidInput)
    assert wire.refusal(Refused(errno=2, text=""), command) is None
    assert isinstance(wire.refusal(Refused(errno=12, text=""), command), WorkspaceLost)


def test_what_is_tried_for_an_open_network() -> None:
    """Addresses that listen; not the pod's own loopback, and no name that a pod could not ask for."""
    also = [("127.0.0.1", 1), ("10.0.0.9", 4222), ("nats.example", 4222)]
    tried = network.targets("https://10.0.0.1:6443", "10.0.0.2", also, resolvers=["127.0.0.53", "10.0.0.3"])
    assert tried.tcp == (("10.0.0.1", 6443), ("10.0.0.2", 10_250), ("169.254.169.254", 80), ("10.0.0.9", 4222))
    assert tried.udp == (("10.0.0.3", 53),)
    assert network.resolvers("# x\nnameserver 10.0.0.3\nsearch y\n") == ["10.0.0.3"]


def test_what_is_installed_gives_a_workspace_nothing() -> None:
    """Restricted, denied both ways, and no rights but the runner's."""
    with open("deploy/kubernetes/workspaces.yaml", encoding="utf-8") as file:  # noqa: PTH123
        objects = list(yaml.safe_load_all(file))
    by_kind = {o["kind"]: o for o in objects}
    assert by_kind["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert by_kind["NetworkPolicy"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert [s["name"] for s in by_kind["RoleBinding"]["subjects"]] == ["folkmoot-runner"]
    assert not any("*" in rule[part] for rule in by_kind["Role"]["rules"] for part in ("verbs", "resources"))


@pytest.mark.parametrize(
    ("message", "nothing_happened"),
    [
        (
            'error sending request: Post "https://n:10250/exec": dial tcp 10.0.0.1:10250: connect: connection refused',
            True,
        ),
        ("Internal error occurred: unable to upgrade connection: pod does not exist", True),
        ("error dialing backend: dial tcp 10.0.0.1:10250: i/o timeout", True),
        ("command terminated with exit code 1", False),
        ("error reading from error stream: EOF", False),
    ],
)
def test_a_node_that_took_no_connection(message: str, *, nothing_happened: bool) -> None:
    """Only then is a command known not to have begun, and may be tried again."""
    body = json.dumps({"status": "Failure", "reason": "InternalError", "message": message}).encode()
    assert bool(wire.unreached(body)) is nothing_happened
    assert wire.unreached(b"no status") == ""

"""What lies outside of a pod: its node, the objects of the cluster, a pod of somebody else's. For the test bed, whose
node is in namespaces of this machine's."""

import contextlib
import hashlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from deploy.testbed.kubernetes.bed import Bed
from deploy.testbed.kubernetes.control import ADMIN
from deploy.testbed.kubernetes.namespaces import HOLD, Node
from deploy.testbed.kubernetes.pki import Authority
from deploy.testbed.kubernetes.places import API_PORT, NODE
from deploy.testbed.kubernetes.processes import Processes
from folkmoot.runner.kubernetes import job
from tests.fixtures.cluster import Cluster
from tests.security.abuse.lures import Around
from tests.security.abuse.tripwire import Sensor

PORT = 8_000
_NAMESPACE = "abuse-bystander"
_KINDS = (
    *(f"api/v1/{kind}" for kind in ("namespaces", "nodes", "pods", "secrets", "configmaps", "serviceaccounts")),
    *(f"api/v1/{kind}" for kind in ("services", "resourcequotas", "limitranges", "persistentvolumes")),
    "apis/batch/v1/jobs",
    *(f"apis/apps/v1/{kind}" for kind in ("deployments", "daemonsets", "statefulsets")),
    *(f"apis/rbac.authorization.k8s.io/v1/{kind}" for kind in ("roles", "rolebindings")),
    *(f"apis/rbac.authorization.k8s.io/v1/{kind}" for kind in ("clusterroles", "clusterrolebindings")),
    "apis/networking.k8s.io/v1/networkpolicies",
    "apis/certificates.k8s.io/v1/certificatesigningrequests",
    *(f"apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations" for kind in ("validating", "mutating")),
)
_FOLDERS = ("run", "var/lib", "var/lib/kubelet", "var/log", "tmp", "dev", "dev/shm", "etc", "root", "")
"""Of the node: a breach would leave a name with the mark there."""
_OF_PODS = ("/var/lib/kubelet/pods/", "/run/containerd/", "/run/netns/", "/var/lib/containerd/")
"""Mounts that come and go with pods."""
_OTHER_TESTS = "bed-"
_READY_S = 120.0
NODE_PORT = 8_001
_HEAR = f"""import select, socket, struct, sys
t = socket.create_server(("", {NODE_PORT}))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", {NODE_PORT}))
u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4sl", socket.inet_aton("224.0.0.251"), 0))
print("ready", flush=True)
while True:
    for heard in select.select([t, u, sys.stdin], [], [])[0]:
        if heard is sys.stdin: sys.exit()
        print("heard", *(heard.accept() if heard is t else heard.recvfrom(99)), flush=True)
"""
"""In the node's own network, on all of its interfaces: each pod's link ends there."""
_SERVE = f"import socket\ns = socket.create_server(('', {PORT}))\nwhile True: s.accept()[0].close()"


class Outside:
    """Of the bed that is up."""

    def __init__(self, cluster: Cluster) -> None:
        bed = Bed()
        self._cluster = cluster
        self._network = bed.status().network
        self.node = Node(bed.places, Processes(bed.places.state))
        self._hold = Path(f"/proc/{Processes(bed.places.state).child(HOLD)}")
        self._heard = Path()
        self._client = Authority(bed.places.pki).client(ADMIN)
        self._connection = self._connected()

    @contextlib.contextmanager
    def around(self, folder: Path) -> Iterator[Around]:
        """With a pod that listens, in a namespace without policies, and a listener on the node."""
        with contextlib.closing(self), self._listener(folder), self._pod() as address:
            yield Around(
                host=str(self._network.machine),
                node=str(self._network.node),
                service=str(self._network.kubernetes),
                bystander=address,
                inside=tuple(self.node.inside("setpriv", f"--reuid={job.UID}", "--clear-groups")),
                sensors=self.sensors,
            )

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _listener(self, folder: Path) -> Iterator[None]:
        """Says `ready`, and a line for each visit."""
        self._heard = folder / "heard"
        with (
            self._heard.open("wb") as heard,
            subprocess.Popen(
                self.node.inside(sys.executable, "-c", _HEAR), stdin=subprocess.PIPE, stdout=heard
            ) as process,
        ):
            assert process.stdin is not None
            yield
            process.stdin.close()  # it ends with that

    @contextlib.contextmanager
    def _pod(self) -> Iterator[str]:
        """Its address."""
        walls = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": job.UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "main",
            "image": self._cluster.image,
            "imagePullPolicy": "Never",
            "command": ["python3", "-c", _SERVE],
            "securityContext": walls,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "bystander", "namespace": _NAMESPACE},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        }
        self._cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}})
        self._wait("create", "serviceaccount/default")
        self._cluster.apply(pod)
        try:
            self._wait("condition=Ready", "pod/bystander")
            found = self._get(f"api/v1/namespaces/{_NAMESPACE}/pods/bystander")
            yield found["status"]["podIP"]
        finally:
            self._cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=true", "--timeout=60s")

    def _wait(self, what: str, of: str) -> None:
        self._cluster.kubectl("-n", _NAMESPACE, "wait", f"--for={what}", of, f"--timeout={_READY_S:.0f}s")

    def sensors(self, mark: str) -> Mapping[str, Sensor]:
        return {
            "objects": self._objects,
            "marked objects": partial(self._marked, mark),
            "node's health": self._health,
            "bystander": self._bystander,
            "node's names": partial(self._names, mark),
            "node's mounts": self._mounts,
            "node's sockets": partial(self._sockets, mark),
            "node's host name": self._host_name,
            "node's visits": lambda: self._heard.read_bytes().count(b"heard"),
        }

    # --- the cluster's objects

    def _objects(self) -> object:
        """Of all kinds that a breach would make or change, but Jobs and pods of runners, which come and go."""
        return sorted(_digest(kind, each) for kind in _KINDS for each in self._items(kind) if not _ours(each))

    def _marked(self, mark: str) -> object:
        return sorted(_name(kind, each) for kind in _KINDS for each in self._items(kind) if mark in json.dumps(each))

    def _health(self) -> object:
        status = self._get(f"api/v1/nodes/{NODE}")["status"]
        return sorted((c["type"], c["status"]) for c in status["conditions"])

    def _bystander(self) -> object:
        found = self._get(f"api/v1/namespaces/{_NAMESPACE}/pods/bystander")
        containers = (
            found["status"]["containerStatuses"] if "metadata" in found and found["metadata"].get("uid") else []
        )
        return [(each["containerID"], each["restartCount"], each["ready"]) for each in containers]

    def _items(self, kind: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._get(kind)["items"]
        return items

    def _get(self, path: str) -> dict[str, Any]:
        for again in (True, False):
            try:
                self._connection.request("GET", f"/{path}")
                answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                self._connection.close()
                self._connection = self._connected()
                if not again:
                    raise
            else:
                return answer
        raise AssertionError

    def _connected(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(str(self._network.node), API_PORT, context=self._client, timeout=30)

    # --- the node

    def _names(self, mark: str) -> object:
        folders = [self._hold / "root" / folder for folder in _FOLDERS]
        return [str(path) for folder in folders if folder.is_dir() for path in folder.iterdir() if mark in path.name]

    def _mounts(self) -> object:
        lines = (self._hold / "mountinfo").read_text("utf-8").splitlines()
        places = (line.split()[4] for line in lines)
        return sorted(place for place in places if not any(part in place for part in _OF_PODS))

    def _sockets(self, mark: str) -> object:
        """What listens there, and names with the mark."""
        tables = [(self._hold / f"net/{kind}").read_text("utf-8").splitlines()[1:] for kind in ("tcp", "tcp6")]
        listening = sorted({line.split()[1] for table in tables for line in table if line.split()[3] == "0A"})
        named = [line for line in (self._hold / "net/unix").read_text("utf-8").splitlines() if mark in line]
        return listening, named

    def _host_name(self) -> object:
        return subprocess.run(self.node.inside("hostname"), capture_output=True, check=True).stdout


def _ours(each: Mapping[str, Any]) -> bool:
    """Of a runner, or of tests of the bed itself, which may run at the same time."""
    meta = each["metadata"]
    labels = meta.get("labels") or {}
    beside = meta.get("namespace", meta["name"]).startswith(_OTHER_TESTS)
    return beside or (labels.get(job.MANAGED) == "folkmoot" and job.RUNNER in labels)


def _name(kind: str, each: Mapping[str, Any]) -> str:
    meta = each["metadata"]
    return f"{kind} {meta.get('namespace', '')}/{meta['name']} {meta['uid']}"


def _digest(kind: str, each: Mapping[str, Any]) -> str:
    """Of what somebody decides, not of what controllers write down meanwhile."""
    meta = each["metadata"]
    decided = {key: value for key, value in each.items() if key not in ("status", "metadata")}
    also = {key: meta.get(key) for key in ("labels", "annotations", "finalizers", "deletionTimestamp")}
    content = json.dumps([decided, also], sort_keys=True).encode()
    return f"{_name(kind, each)} {hashlib.sha256(content).hexdigest()[:16]}"

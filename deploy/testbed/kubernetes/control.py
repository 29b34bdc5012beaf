"""The control plane: etcd, API server, controller manager and scheduler, all inside the node's namespaces."""

import urllib.request
from pathlib import Path

import msgspec

from deploy.testbed.kubernetes.namespaces import Node
from deploy.testbed.kubernetes.pki import Authority
from deploy.testbed.kubernetes.places import API_PORT, NODE, Network, Places
from deploy.testbed.kubernetes.processes import Processes

ADMIN = "admin"
_ETCD = "https://127.0.0.1:2379"
_PEERS = "https://127.0.0.1:2380"


class Control:
    """One bed's."""

    def __init__(self, places: Places, network: Network, running: Processes, node: Node, program: Path) -> None:
        self._places = places
        self._network = network
        self._running = running
        self._node = node
        self._program = program
        self.authority = Authority(places.pki)

    def start(self) -> None:
        """What of it does not run; returns once the API server is ready and controllers work. Raises Failed."""
        self.authority.make()
        server = self._network.server
        self.authority.kubeconfig(self._places.kubeconfig, server, ADMIN, f"/O=system:masters/CN={ADMIN}")
        self.part("etcd", *self._etcd())
        self.part("kube-apiserver", *self._apiserver())
        self._running.until("the API server", lambda: self.get("/readyz"), needs=["etcd", "kube-apiserver"])
        self.part("kube-controller-manager", *self._controllers())
        self.part("kube-scheduler", *self._serving("kube-scheduler"))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        needs = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        self._running.until("the controllers", lambda: self.get(account), needs=needs)

    def part(self, name: str, *arguments: object) -> None:
        """Start a part of Kubernetes in the node, unless it runs."""
        self._running.start(name, *self._node.inside(self._program, name, *arguments))

    def identity(self, name: str, subject: str = "") -> Path:
        """The kubeconfig of a part; `subject` is the name that the API server knows it by, as openssl writes it."""
        path = self._places.state / f"{name}.kubeconfig"
        return self.authority.kubeconfig(path, self._network.server, name, subject or f"/CN=system:{name}")

    def get(self, path: str) -> bytes | None:
        """What the API server answers to the administrator; None while that is no success."""
        try:
            with urllib.request.urlopen(  # noqa: S310 -- https, to an address of our own
                self._network.server + path, context=self.authority.client(ADMIN), timeout=5
            ) as answer:
                content: bytes = answer.read()
                return content
        except OSError:  # URLError is one
            return None

    def node_ready(self) -> bool:
        """Whether the API server has heard so from the kubelet."""
        if (answer := self.get(f"/api/v1/nodes/{NODE}")) is None:
            return False
        conditions = msgspec.json.decode(answer, type=_Node).status.conditions
        return any(c.type == "Ready" and c.status == "True" for c in conditions)

    def _etcd(self) -> list[str]:
        pair = self.authority.pair("etcd", also="DNS:localhost,IP:127.0.0.1")
        both = [
            f"--{role}{what}"
            for role in ("", "peer-")
            for what in (
                f"cert-file={pair.certificate}",
                f"key-file={pair.key}",
                "client-cert-auth",
                f"trusted-ca-file={self.authority.certificate}",
            )
        ]
        return [
            f"--data-dir={self._places.state}/etcd",
            # It is the process that may be killed here, not the machine.
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={_PEERS}",
            f"--initial-advertise-peer-urls={_PEERS}",
            f"--initial-cluster=default={_PEERS}",
            *both,
        ]

    def _apiserver(self) -> list[str]:
        own = self.authority
        names = ",".join(f"DNS:kubernetes{rest}" for rest in ("", ".default", ".default.svc"))
        addresses = f"IP:127.0.0.1,IP:{self._network.kubernetes},IP:{self._network.node}"
        serving = own.pair("kube-apiserver", also=f"DNS:localhost,{names},{addresses}")
        to_kubelet = own.pair("kubelet-client", "/O=system:masters/CN=kube-apiserver")
        to_etcd = own.pair("etcd")
        return [
            f"--bind-address={self._network.node}",
            f"--secure-port={API_PORT}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={own.certificate}",
            f"--etcd-servers={_ETCD}",
            f"--etcd-cafile={own.certificate}",
            f"--etcd-certfile={to_etcd.certificate}",
            f"--etcd-keyfile={to_etcd.key}",
            f"--kubelet-certificate-authority={own.certificate}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction,PodSecurity",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={self._network.services}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={own.tokens}",
            f"--service-account-signing-key-file={own.tokens}",
            "--profiling=false",
        ]

    def _serving(self, name: str) -> list[str]:
        own = self.identity(name)
        return [
            *(f"--{purpose}kubeconfig={own}" for purpose in ("", "authentication-", "authorization-")),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]

    def _controllers(self) -> list[str]:
        own = self.authority
        return [
            *self._serving("kube-controller-manager"),
            f"--root-ca-file={own.certificate}",
            f"--service-account-private-key-file={own.tokens}",
            f"--cluster-signing-cert-file={own.certificate}",
            f"--cluster-signing-key-file={own.key}",
            "--use-service-account-credentials",
        ]


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct):
    conditions: list[_Condition] = []


class _Node(msgspec.Struct):
    status: _Status

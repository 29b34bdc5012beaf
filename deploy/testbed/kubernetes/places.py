"""Names, folders and addresses of a bed. No I/O here."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from deploy.shared import key

NODE = "testbed"
"""The node's name."""
API_PORT = 6443


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where one bed keeps its things; what is built is common to all beds of a cache."""

    cache: Path
    name: str = "bed"

    @property
    def built(self) -> Path:
        return self.cache / "built"

    @property
    def home(self) -> Path:
        return self.cache / "beds" / self.name

    @property
    def state(self) -> Path:
        """There while the bed is up."""
        return self.home / "state"

    @property
    def store(self) -> Path:
        """Imported images: the one thing that stays when the bed ends."""
        return self.home / "containerd"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def mark(self) -> str:
        """In the names of what this bed puts into the machine's own namespaces."""
        return key(str(self.home))[:8]

    @property
    def link(self) -> str:
        """The machine's end of the one network link."""
        return f"fm-{self.mark}"

    @property
    def cgroup(self) -> str:
        return f"folkmoot-{self.mark}"


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a bed, all in one /16."""

    block: str
    """As `10.250.0.0/16`."""

    def _part(self, third: int, bits: int = 24) -> IPv4Network:
        first = int(IPv4Network(self.block).network_address)
        return IPv4Network((first + (third << 8), bits))

    @property
    def node(self) -> IPv4Address:
        """The node's end of the link, and the API server."""
        return self._part(0)[1]

    @property
    def machine(self) -> IPv4Address:
        """This machine's end: what a pod could reach of it, if policies let it."""
        return self._part(0)[2]

    @property
    def pods(self) -> IPv4Network:
        return self._part(1)

    @property
    def services(self) -> IPv4Network:
        return self._part(2)

    @property
    def kubernetes(self) -> IPv4Address:
        """The API server's, as a service."""
        return self.services[1]

    @property
    def server(self) -> str:
        return f"https://{self.node}:{API_PORT}"

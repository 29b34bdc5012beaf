"""One bed: up, down, and what it is like now."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from deploy.images import oci
from deploy.shared import Failed, cache, locked, run
from deploy.testbed.kubernetes import cgroups, kubelet, machine, policies, processes, programs
from deploy.testbed.kubernetes.containers import Containers
from deploy.testbed.kubernetes.control import Control
from deploy.testbed.kubernetes.enforcer import enforcer
from deploy.testbed.kubernetes.namespaces import HOLD, Node
from deploy.testbed.kubernetes.places import Network, Places
from deploy.testbed.kubernetes.processes import Processes


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Of a bed that is up."""

    kubeconfig: Path
    network: Network
    running: list[str]
    policies: bool
    """Whether NetworkPolicy objects are enforced."""


class Bed:
    """The bed of that name; several can be up on one machine."""

    def __init__(self, name: str = "bed") -> None:
        self.places = Places(cache=cache(), name=name)
        self._running = Processes(self.places.state)
        self._node = Node(self.places, self._running)

    def build(self) -> None:
        """Everything that takes long, once: programs from Go modules, packages from Debian. Raises Failed."""
        if reason := machine.lacks():
            raise Failed(reason)
        machine.install()
        programs.kubernetes(self.places.built)
        programs.pause(self.places.built)
        enforcer(self.places.built)

    def up(self, images: Sequence[oci.Image] = ()) -> Status:
        """Whatever of it does not run; returns once the node is ready and policies hold. Raises Failed."""
        self.build()
        with self._changing():
            fresh = not self._node.up
            if fresh:
                self._clear()
            network = self._network()
            control = self._control(network)
            control.start()
            containers = Containers(self.places, self._running, self._node)
            containers.start(network, programs.pause(self.places.built), fresh=fresh)
            kubelet.start(self.places, network, control, self._running)
            policies.enforce(self.places, network, self._running, self._node, enforcer(self.places.built))
            for image in images:
                containers.load(image)
        return self.status()

    def down(self, *, images: bool = False) -> bool:
        """End it; False when it was not up. Programs stay built, and images imported, unless these are to go as well.

        Raises Failed with what is left.
        """
        with self._changing():
            was = self._clear()
            if images:
                shutil.rmtree(self.places.home)
            return was

    def status(self) -> Status:
        """Raises Failed when it is not up."""
        if not self._node.up:
            raise Failed(f"the bed {self.places.name!r} is not up")
        return Status(
            kubeconfig=self.places.kubeconfig,
            network=self._chosen(),
            running=self._running.names(),
            policies=policies.in_force(self._node),
        )

    def ignore_policies(self) -> None:
        """From now on NetworkPolicy objects mean nothing; the next `up` enforces them again. Raises Failed."""
        with self._changing():
            self.status()
            policies.ignore(self._running, self._node)

    def kill(self, name: str) -> None:
        """SIGKILL to one of `Status.running`; the next `up` starts it again. Raises Failed."""
        with self._changing():
            if name == HOLD or (pid := self._running.child(name)) is None:
                raise Failed(f"{name!r} is no program of this bed that runs: {', '.join(self._running.names())}")
            processes.send(pid, signal.SIGKILL)
            self._running.forget(name)

    def load(self, archive: Path) -> None:
        """Import a docker or OCI archive. Raises Failed."""
        self.status()
        Containers(self.places, self._running, self._node).import_archive(archive)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with locked(self.places.lock):
            yield

    def _control(self, network: Network) -> Control:
        return Control(self.places, network, self._running, self._node, programs.kubernetes(self.places.built))

    def _network(self) -> Network:
        """Of the namespaces, which are made if they are not there."""
        if self._node.up:
            return self._chosen()
        with locked(machine.CLAIM):
            network = Network(block=machine.free_block())
            self.places.state.mkdir(parents=True)
            self._note.write_bytes(msgspec.json.encode(network))
            self._node.make(programs.kubernetes(self.places.built), network)
        return network

    def _chosen(self) -> Network:
        return msgspec.json.decode(self._note.read_bytes(), type=Network)

    @property
    def _note(self) -> Path:
        return self.places.state / "network.json"

    def _clear(self) -> bool:
        was = self.places.state.exists()
        self._node.end()
        for pid in filter(None, map(self._running.pid, self._running.names())):
            processes.send(pid, signal.SIGKILL)
        if Path(f"/sys/class/net/{self.places.link}").exists():
            run("ip", "link", "delete", self.places.link)
        if left := cgroups.remove(self.places.cgroup):
            raise Failed(f"control groups stay, with processes in them: {', '.join(map(str, left))}")
        self._remove_state()
        return was

    def _remove_state(self) -> None:
        """At once gone by its name; a killed `down` leaves at most a folder that the next one removes."""
        if self.places.state.exists():
            self.places.state.rename(tempfile.mkdtemp(prefix="ended-", dir=self.places.home) + "/state")
        for ended in self.places.home.glob("ended-*"):
            shutil.rmtree(ended)

"""Every attack of `tests/security/abuse` on Jobs of a real cluster: tried, refused, and nothing outside has changed."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from folkmoot.runner.kubernetes import job
from tests.fixtures.backends import NAMESPACE
from tests.fixtures.cluster import Cluster
from tests.security.abuse.backends import attacked
from tests.security.abuse.lures import Lures, lures
from tests.security.abuse.outside import NODE_PORT, Outside
from tests.security.abuse.table import ATTACKS
from tests.security.abuse.tripwire import Tripwire


@pytest.mark.timeout(900)
async def test_refused(cluster: Cluster, tmp_path: Path) -> None:
    """All of them, in few pods: opening one for each would take a quarter of an hour."""
    tmp_path.chmod(0o755)
    async with attacked(cluster, tmp_path) as arena:
        verdicts = await arena.tried(ATTACKS)
    through = {a.name: v.seen for a, v in zip(ATTACKS, verdicts, strict=True) if not v.stands}
    assert through == {}
    meaningless = [a.name for a, v in zip(ATTACKS, verdicts, strict=True) if not v.tried]
    assert len(meaningless) <= 5


# --- the tripwire around a cluster: each sensor is shown a change -------------------------------------------------


class Shown:
    """Makes changes outside of all pods."""

    def __init__(self, cluster: Cluster, outside: Outside, around: Lures) -> None:
        self._cluster = cluster
        self._outside = outside
        self._around = around
        self.changes: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
            "objects": self._object,
            "marked objects": self._marked,
            "node's names": self._name,
            "node's mounts": self._mount,
            "node's sockets": self._socket,
            "node's host name": self._host_name,
        }

    @contextlib.contextmanager
    def _object(self) -> Iterator[None]:
        self._cluster.kubectl("create", "configmap", "abuse-shown")
        yield
        self._cluster.kubectl("delete", "configmap", "abuse-shown")

    @contextlib.contextmanager
    def _marked(self) -> Iterator[None]:
        """As a breach would hide it: among the Jobs of runners."""
        name = f"moot-{self._around.nonce}"
        self._cluster.kubectl("-n", NAMESPACE, "create", "quota", name)
        self._cluster.kubectl("-n", NAMESPACE, "label", "quota", name, f"{job.MANAGED}=folkmoot", f"{job.RUNNER}=x")
        yield
        self._cluster.kubectl("-n", NAMESPACE, "delete", "quota", name)

    @contextlib.contextmanager
    def _name(self) -> Iterator[None]:
        with self._inside("touch", "rm", f"/run/{self._around.nonce}"):
            yield

    @contextlib.contextmanager
    def _mount(self) -> Iterator[None]:
        self._run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
        yield
        self._run("umount", "/mnt")

    @contextlib.contextmanager
    def _socket(self) -> Iterator[None]:
        program = "import socket; s = socket.create_server(('', 8009)); print(flush=True); input()"
        argv = self._outside.node.inside(sys.executable, "-c", program)
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield
            process.communicate(b"\n")

    @contextlib.contextmanager
    def _host_name(self) -> Iterator[None]:
        with self._inside("hostname", "hostname", "evil", "testbed"):
            yield

    @contextlib.contextmanager
    def _inside(self, do: str, undo: str, what: str, back: str = "") -> Iterator[None]:
        self._run(do, what)
        yield
        self._run(undo, back or what)

    def _run(self, *argv: str) -> None:
        subprocess.run(self._outside.node.inside(*argv), check=True)


@pytest.mark.disturbs
async def test_a_change_trips_its_sensor(cluster: Cluster, tmp_path: Path) -> None:
    """An object of the cluster, one that hides among ours, a name, a mount, a socket and the name of the node, a
    visitor of the node, the end of somebody else's pod; and nothing where nothing has changed."""
    outside = Outside(cluster)
    with outside.around(tmp_path) as stands:
        async with lures(tmp_path, stands) as around:
            wire = around.wire(())
            for sensor, change in Shown(cluster, outside, around).changes.items():
                assert wire.tripped() == []
                with change():
                    assert wire.tripped() == [sensor]
            await _visited(wire, stands.node)
            wire.set()
            cluster.kubectl("-n", "abuse-bystander", "delete", "pod", "bystander", "--grace-period=0", "--force")
            assert {"bystander", "objects"} >= set(wire.tripped()) >= {"bystander"}


async def _visited(wire: Tripwire, node: str) -> None:
    socket.create_connection((node, NODE_PORT)).close()
    for _ in range(100):
        if wire.tripped():
            break
        await asyncio.sleep(0.05)
    assert wire.tripped() == ["node's visits"]

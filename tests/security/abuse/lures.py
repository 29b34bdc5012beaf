"""What attacks aim at: files that anybody may write, a process, sockets that count who comes."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec

from tests.security.abuse.tripwire import Marked, Sensor, Tripwire

SECRET = "a secret of this machine"


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """Where lures stand, and what else is there; by default this machine, and nothing."""

    host: str = ""
    """Address of this machine, as attacks know it; empty: by which its neighbours know it."""
    node: str = ""
    """Of the kubelet, the API server and etcd; empty: `host`."""
    service: str = ""
    """Of the API server's service; empty: `host`."""
    bystander: str = ""
    """Of a pod of somebody else's, which listens; empty: `host`."""
    inside: tuple[str, ...] = ()
    """Begins a command where the process stands that attacks try to reach."""
    sensors: Callable[[str], Mapping[str, Sensor]] = lambda _: {}
    """Beyond the tripwire's own, for a mark."""


class Lures:
    def __init__(
        self, canaries: Path, nonce: str, process: "Canary", port: int, visits: Callable[[], int], around: Around
    ) -> None:
        self.nonce = nonce
        self.canaries = canaries
        self.pid = process.pid
        self.port = port
        self._inside = process.inside
        self._visits = visits
        self._around = around

    @property
    def environment(self) -> dict[str, str]:
        host = self._around.host or address()
        return {
            "CANARY": str(self.canaries),
            "NONCE": self.nonce,
            "HOST": host,
            "NODE": self._around.node or host,
            "SERVICE": self._around.service or host,
            "BYSTANDER": self._around.bystander or host,
            "PORT": str(self.port),
            "HOSTPID": str(self._inside),
        }

    def wire(self, repositories: tuple[Path, ...]) -> Tripwire:
        marked = Marked(nonce=self.nonce, canaries=self.canaries, repositories=repositories, pid=self.pid)
        return Tripwire(marked, self._visits, self._around.sensors(self.nonce))


@contextlib.asynccontextmanager
async def lures(folder: Path, around: Around | None = None) -> AsyncIterator[Lures]:
    around = around or Around()
    canaries = folder / "canaries"
    (canaries / "open").mkdir(parents=True)
    (canaries / "secret").write_text(SECRET)
    for path in (canaries, canaries / "open"):
        path.chmod(0o777)
    (canaries / "secret").chmod(0o666)
    visits: list[str] = []
    nonce = secrets.token_hex(8)
    async with _process(nonce, around.inside) as process, _listening(visits, around.host or address()) as port:
        made = Lures(canaries, nonce, process, port, lambda: len(visits), around)
        async with _local(nonce, canaries, visits):
            yield made


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    """As this machine knows it."""
    inside: int
    """As it is known where it stands."""


@contextlib.asynccontextmanager
async def _process(nonce: str, inside: tuple[str, ...]) -> AsyncIterator[Canary]:
    """Sleeps, under a name that bears the mark."""
    argv = (*inside, "bash", "-c", 'echo; exec -a "$0" sleep 3600', f"canary-{nonce}")
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    canary = _canary(process.pid if not inside else _child(process.pid))
    try:
        yield canary
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(canary.pid, signal.SIGKILL)
        await process.wait()


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()[0])


def _canary(pid: int) -> Canary:
    """NSpid says its number in each namespace, from the outermost one to its own."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    numbers = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
    return Canary(pid=pid, inside=int(numbers[-1]))


@contextlib.asynccontextmanager
async def _listening(visits: list[str], host: str) -> AsyncIterator[int]:
    """One port of loopback and of `host`, by TCP and UDP, and by IPv6 where there is any."""

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("tcp")
        writer.close()

    hosts = dict.fromkeys(("127.0.0.1", host))
    async with contextlib.AsyncExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = int(first.getsockname()[1])
        listeners = [first]
        for family, name in ((socket.AF_INET, host), (socket.AF_INET6, "::1")):
            other = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):  # no IPv6 here, or somebody has the port: one is enough
                other.bind((name, port))
                listeners.append(other)
        for each in hosts:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Counting(visits), local_addr=(each, port))
            stack.callback(transport.close)
        for listener in listeners:
            await stack.enter_async_context(await asyncio.start_server(visited, sock=listener))
        yield port


@contextlib.asynccontextmanager
async def _local(nonce: str, canaries: Path, visits: list[str]) -> AsyncIterator[None]:
    """Sockets with names: an abstract one, and one in the canaries' folder."""

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("unix")
        writer.close()

    path = canaries / "socket"
    async with (
        await asyncio.start_unix_server(visited, f"\0moot-{nonce}"),
        await asyncio.start_unix_server(visited, path),
    ):
        path.chmod(0o777)
        yield
    path.unlink(missing_ok=True)


class _Counting(asyncio.DatagramProtocol):
    def __init__(self, visits: list[str]) -> None:
        self._visits = visits

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._visits.append("udp")


def address() -> str:
    """Of this machine, by which its neighbours know it; loopback where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def root() -> bool:
    return os.getuid() == 0

"""Where attacks happen: a backend's workspaces, canaries around them, and the tripwire."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.evidence import Admission, Refusal
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.fixtures.workspace import Bench
from tests.security.abuse.attack import Attack, Verdict, judged
from tests.security.abuse.tripwire import Marked, Tripwire

SECRET = "a secret of this machine"
_PATIENCE_S = 200.0
_LEASE_S = 7_200.0
_LOOKS, _LOOK_S = 100, 0.05
"""For processes that are being ended: five seconds."""


class Arena:
    """One backend under attack. Attacks share a workspace; those that would spoil it, or use it up, have their own."""

    def __init__(self, bench: Bench, small: Bench, lures: "Lures", folder: Path) -> None:
        self.bench = bench
        self.nonce = lures.nonce
        self.canaries = lures.canaries
        self.environment = lures.environment
        self.folder = folder
        self._small = small
        self._lures = lures
        self._shared: GrpcWorkspace | None = None
        self.wire = lures.wire((bench.repo.folder,))

    async def workspace(self) -> GrpcWorkspace:
        """The shared one."""
        if self._shared is None:
            self._shared = await self.fresh()
        return self._shared

    async def fresh(self, *, small: bool = False) -> GrpcWorkspace:
        return await (self._small if small else self.bench).workspace(ttl_s=_LEASE_S)

    async def tried(self, attack: Attack) -> Verdict:
        """The attempt, and whether anything outside has changed by it."""
        self.wire.set()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                verdict = await self._tried(attack)
        except (FolkmootError, TimeoutError) as error:
            verdict = Verdict(refused=False, seen=f"not refused as expected: {error!r}")
        if changed := await self._changed():
            return Verdict(refused=False, seen=f"changed outside: {', '.join(changed)}; {verdict.seen}")
        return verdict

    async def _changed(self) -> list[str]:
        """A command whose caller went away is ended soon after, not at once."""
        for _ in range(_LOOKS):
            changed = self.wire.tripped()
            if changed != ["processes"]:
                break
            await asyncio.sleep(_LOOK_S)
        return changed

    async def _tried(self, attack: Attack) -> Verdict:
        if attack.act is not None:
            through = await attack.act(self)
            return Verdict(refused=not through, seen=through)
        workspace = await (self.fresh(small=True) if attack.small else self.workspace())
        environment = {**self.environment, **attack.environment}
        done = await workspace.run(attack.argv, env=environment, timeout_s=attack.timeout_s)
        if attack.small:
            await workspace.close()
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return judged(attack, ok=done.end.ok, output=f"{said}\nlimit={done.end.limit} signal={done.end.signal}")

    async def unconfined(self, attack: Attack) -> Verdict:
        """The same script on this machine, as ourselves."""
        process = await asyncio.create_subprocess_exec(
            *attack.argv,
            cwd=self.folder,
            env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return judged(attack, ok=process.returncode == 0, output=said.decode("utf-8", "replace"))

    async def admitted(self, bundle: bytes) -> Admission | Refusal:
        """What the border says to a bundle."""
        return await self.bench.mirrors.admit(
            task_id=TaskId("t-1"),
            agent_id=AgentId("agent-1"),
            round_=1,
            base=self.bench.base,
            bundle=bundle,
            message="Mend it",
        )


class Lures:
    """What attacks aim at: files that anybody may write, a process, sockets that count who comes."""

    def __init__(self, canaries: Path, pid: int, port: int, visits: Callable[[], int]) -> None:
        self.nonce = secrets.token_hex(8)
        self.canaries = canaries
        self.pid = pid
        self.port = port
        self._visits = visits

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CANARY": str(self.canaries),
            "NONCE": self.nonce,
            "HOST": address(),
            "PORT": str(self.port),
            "HOSTPID": str(self.pid),
        }

    def wire(self, repositories: tuple[Path, ...]) -> Tripwire:
        marked = Marked(nonce=self.nonce, canaries=self.canaries, repositories=repositories, pid=self.pid)
        return Tripwire(marked, self._visits)


@contextlib.asynccontextmanager
async def lures(folder: Path) -> AsyncIterator[Lures]:
    canaries = folder / "canaries"
    (canaries / "open").mkdir(parents=True)
    (canaries / "secret").write_text(SECRET)
    for path in (canaries, canaries / "open"):
        path.chmod(0o777)
    (canaries / "secret").chmod(0o666)
    visits: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec("sleep", "3600")
        stack.push_async_callback(_ended, process)
        port = await stack.enter_async_context(_listening(visits))
        made = Lures(canaries, process.pid, port, lambda: len(visits))
        await stack.enter_async_context(_local(made.nonce, canaries, visits))
        yield made


@contextlib.asynccontextmanager
async def _listening(visits: list[str]) -> AsyncIterator[int]:
    """One port of loopback, by TCP and UDP, and by IPv6 where there is any."""

    def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("tcp")
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as first, socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as second:
        port = int(first.getsockname()[1])
        listeners = [first]
        with contextlib.suppress(OSError):  # no IPv6 here, or somebody has the port: one is enough
            second.bind(("::1", port))
            listeners.append(second)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Counting(visits), local_addr=("127.0.0.1", port))
        async with contextlib.AsyncExitStack() as stack:
            for listener in listeners:
                await stack.enter_async_context(await asyncio.start_server(visited, sock=listener))
            yield port
        transport.close()


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


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


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

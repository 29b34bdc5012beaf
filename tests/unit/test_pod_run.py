"""The watcher of a command in a pod, run here as there: a process of its own, an order on its standard input."""

import asyncio
import fcntl
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from folkmoot.runner.command import Command
from folkmoot.runner.kubernetes import wire
from folkmoot.runner.kubernetes.pod import run
from folkmoot.runner.kubernetes.wire import Farewell, Frames, Limits, Refused
from tests.fixtures import need

SOURCE = Path(run.__file__).read_text("utf-8")
BOUND_S = 30.0


class Watched:
    def __init__(self, process: asyncio.subprocess.Process, connection: asyncio.WriteTransport) -> None:
        self.process = process
        self.connection = connection
        self.frames = Frames()
        self.said: list[tuple[bytes, bytes]] = []

    async def until(self, letter: bytes) -> bytes:
        """Hears up to a frame of this kind; its body."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            while not (found := [body for kind, body in self.said if kind == letter]):
                piece = await self.process.stdout.read(65536)
                assert piece, f"ended without {letter!r}: {self.said}"
                self.said += self.frames.fed(piece)
        return found[0]

    async def end(self) -> tuple[int, Farewell]:
        last = msgspec.json.decode(await self.until(wire.LAST), type=Farewell)
        return await self.code(), last

    async def code(self) -> int:
        async with asyncio.timeout(BOUND_S):
            return await self.process.wait()

    def out(self, letter: bytes = wire.STDOUT) -> bytes:
        return b"".join(body for kind, body in self.said if kind == letter)


KINDS = Limits(
    processes=50,
    memory_bytes=2**30,
    disk_bytes=2**30,
    charged=("/nonexistent",),
    tmp_bytes=2**30,
    tmp=("/nonexistent",),
    open_files=64,
    file_bytes=2**30,
)


@asynccontextmanager
async def watched(
    tmp_path: Path,
    *argv: str,
    stdin: bytes = b"",
    limits: Limits = KINDS,
    output_limit: int = 10**6,
    timeout_s: float = 60,
    user: int | None = None,
) -> AsyncIterator[Watched]:
    command = Command(argv=argv, cwd=str(tmp_path), stdin=stdin, output_limit=output_limit, timeout_s=timeout_s)
    async with waiting(user) as waits:
        waits.connection.write(wire.order(command, limits, {"LANG": "C.UTF-8"}))
        yield waits


@asynccontextmanager
async def waiting(user: int | None = None) -> AsyncIterator[Watched]:
    """For its order."""
    theirs, ours = os.pipe()
    program = sys.executable if user is None else "/usr/bin/python3"
    process = await asyncio.create_subprocess_exec(
        *(program, "-I", "-S", "-c", SOURCE), stdin=theirs, stdout=asyncio.subprocess.PIPE, user=user
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    connection, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(ours, "wb", 0))
    try:
        yield Watched(process, connection)
    finally:
        if not connection.is_closing():
            connection.abort()
        async with asyncio.timeout(BOUND_S):
            await process.wait()


async def test_output_status_and_input(tmp_path: Path) -> None:
    """Both streams, whole and apart; the input ends where its length says, though the connection stays."""
    async with watched(tmp_path, "sh", "-c", "wc -c; echo e >&2; exit 3", stdin=b"x" * 300_000) as w:
        code, last = await w.end()
    assert (code, w.out(), w.out(wire.STDERR)) == (3, b"300000\n", b"e\n")
    assert (last.limit, last.truncated, last.signal) == ("", False, 0)


async def test_a_signal_and_an_input_nobody_reads(tmp_path: Path) -> None:
    """A signal is told as 128 and its number; input that is not wanted keeps nobody waiting."""
    async with watched(tmp_path, "sh", "-c", "kill -9 $$", stdin=b"x" * 3_000_000) as w:
        assert await w.end() == (137, Farewell(limit="", truncated=False, signal=9))


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
async def test_a_program_that_is_none(tmp_path: Path, program: str, code: int) -> None:
    """Is refused with its reason, and ends as in a shell."""
    async with watched(tmp_path, program) as w:
        refused = msgspec.json.decode(await w.until(wire.REFUSED), type=Refused)
        assert await w.code() == code
    assert refused.text


async def test_the_time_limit(tmp_path: Path) -> None:
    """Ends all of the command, and is named."""
    async with watched(tmp_path, "sh", "-c", "trap '' TERM; sleep 100 & sleep 100", timeout_s=0.5) as w:
        code, last = await w.end()
    assert (code, last.limit) == (run.OVER, "time")


@pytest.mark.parametrize(
    ("script", "limit", "field", "value"),
    [
        ("for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait", "processes", "processes", 5),
        ("head -c 3000000 /dev/zero > big; sleep 100", "disk", "disk_bytes", 1_000_000),
        (f"{sys.executable} -c 'x = bytearray(80000000); input()'", "memory", "memory_bytes", 50_000_000),
    ],
)
async def test_other_limits(tmp_path: Path, script: str, limit: str, field: str, value: int) -> None:
    """Whichever is hit is named, and ends all of the command."""
    limits = msgspec.structs.replace(KINDS, charged=(str(tmp_path),), **{field: value})
    async with watched(tmp_path, "sh", "-c", f"{script} < /dev/zero", limits=limits) as w:
        code, last = await w.end()
    assert (code, last.limit) == (run.OVER, limit)


async def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """Also in a session of its own, behind two forks, holding the output open; its parent's end is not waited for."""
    script = "(setsid sh -c 'sleep 1000 & echo $! > pid; wait' &) ; until [ -s pid ]; do sleep 0.01; done; echo done"
    async with watched(tmp_path, "sh", "-c", script) as w:
        code, _ = await w.end()
    assert (code, w.out()) == (0, b"done\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("stdin", [b"", b"x" * 3_000_000])
async def test_a_listener_that_is_gone_ends_the_command(tmp_path: Path, stdin: bytes) -> None:
    """All of it, whether or not it had read its input."""
    async with watched(tmp_path, "sh", "-c", "echo $$ > pid; echo on; exec sleep 1000", stdin=stdin) as w:
        await w.until(wire.STDOUT)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_output_beyond_its_cap_is_thrown_away(tmp_path: Path) -> None:
    """In the pod already; the command ends as it would."""
    async with watched(tmp_path, "sh", "-c", "yes | head -c 3000000", output_limit=1000) as w:
        code, last = await w.end()
    assert (code, len(w.out()), last.truncated) == (0, 1000, True)


async def test_a_watcher_without_rights() -> None:
    """As in a pod, where it is nobody: its command, the same user, begins, is the first to go when memory ends, and may
    not look into it."""
    need(os.getuid() == 0 and Path("/usr/bin/python3").is_file(), "only root can be somebody else")
    script = "cat /proc/self/oom_score_adj; ls /proc/$PPID/fd >/dev/null 2>&1 && echo open || echo closed"
    async with watched(Path("/"), "sh", "-c", script, user=65534) as w:
        code, _ = await w.end()
    assert (code, w.out()) == (0, b"1000\nclosed\n")


async def test_calls_that_no_build_needs_are_refused(tmp_path: Path) -> None:
    """By the filter that local sandboxes have, in the command and all that it starts."""
    script = "grep Seccomp: /proc/self/status; grep NoNewPrivs /proc/self/status; unshare -U true && echo open"
    async with watched(tmp_path, "sh", "-c", script) as w:
        code, _ = await w.end()
    assert code != 0
    assert w.out().split() == [b"Seccomp:", b"2", b"NoNewPrivs:", b"1"]


@pytest.mark.parametrize(
    ("script", "field"),
    [
        ("exec 3>big; rm big; head -c 3000000 /dev/zero >&3; sleep 100", "disk_bytes"),
        ("head -c 3000000 /dev/zero >tmp/big; sleep 100", "tmp_bytes"),
    ],
)
async def test_what_counts_as_disk(tmp_path: Path, script: str, field: str) -> None:
    """A file without a name, as long as it is open; the place for temporary files, by a limit of its own."""
    (tmp_path / "tmp").mkdir()
    charged = (str(tmp_path / "none"), str(tmp_path)) if field == "disk_bytes" else ("/nonexistent",)
    limits = msgspec.structs.replace(KINDS, charged=charged, tmp=(str(tmp_path / "tmp"),), **{field: 1_000_000})
    async with watched(tmp_path, "sh", "-c", script, limits=limits) as w:
        code, last = await w.end()
    assert (code, last.limit) == (run.OVER, "disk")


@asynccontextmanager
async def answering(visits: asyncio.Queue[None]) -> AsyncIterator[tuple[asyncio.Server, tuple[str, int]]]:
    """Somebody who can be reached."""

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.put_nowait(None)
        writer.close()

    async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield server, (host, port)


def gate(address: tuple[str, int], *, patience_s: float) -> bytes:
    return wire.gate({"seconds": 0.5, "tcp": [address], "udp": []}, patience_s=patience_s, pause_s=0.01)


async def test_a_gate_stays_shut_while_anything_answers(tmp_path: Path) -> None:
    """Nothing is said before nobody does; then an order is taken, as ever."""
    visits: asyncio.Queue[None] = asyncio.Queue()
    async with waiting() as w, answering(visits) as (server, address):
        w.connection.write(gate(address, patience_s=BOUND_S))
        async with asyncio.timeout(BOUND_S):
            for _ in range(3):
                await visits.get()
        assert w.process.returncode is None
        server.close()
        assert await w.until(wire.PASSED) == b""
        assert w.said == [(wire.PASSED, b"")]
        command = Command(argv=("sh", "-c", "exit 3"), cwd=str(tmp_path))
        w.connection.write(wire.order(command, KINDS, {}))
        assert (await w.end())[0] == 3


async def test_a_gate_whose_patience_is_over_says_what_answers() -> None:
    """Each by its address; and a watcher that gets no order after that ends with its connection."""
    async with answering(asyncio.Queue()) as (_, address), waiting() as w:
        w.connection.write(gate(address, patience_s=0.0))
        assert await w.until(wire.PASSED) == b"%s:%d" % (address[0].encode(), address[1])
        w.connection.close()
        assert await w.code() == 0


async def test_the_rest_of_its_input_comes_when_there_is_room_for_it(tmp_path: Path) -> None:
    """Both are seen in one look: the last piece is fed, and what it was fed through is not asked once more."""
    script = (
        "until [ -e go ]; do sleep 0.02; done; head -c 60000; touch read; until [ -e on ]; do sleep 0.02; done; cat"
    )
    body = bytes(85_000)
    order = wire.order(Command(argv=("sh", "-c", script), cwd=str(tmp_path), stdin=body), KINDS, {})
    async with waiting() as it:
        it.connection.write(order[:-10])
        await it.until(wire.BEGUN)
        await emptied(it.connection)
        it.process.send_signal(signal.SIGSTOP)
        (tmp_path / "go").touch()
        await there(tmp_path / "read")
        it.connection.write(order[-10:])
        it.process.send_signal(signal.SIGCONT)
        (tmp_path / "on").touch()
        code, last = await it.end()
        assert (code, last.limit, it.out()) == (0, "", body)


async def emptied(connection: asyncio.WriteTransport) -> None:
    """Returns once the other end has read all."""
    pipe: int = connection.get_extra_info("pipe").fileno()
    async with asyncio.timeout(BOUND_S):
        while _waiting(connection, pipe):  # noqa: ASYNC110 -- another process reads
            await asyncio.sleep(0.01)


def _waiting(connection: asyncio.WriteTransport, pipe: int) -> bool:
    unread = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return bool(connection.get_write_buffer_size()) or unread != bytes(4)


async def there(path: Path) -> None:
    async with asyncio.timeout(BOUND_S):
        while not path.exists():  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.01)

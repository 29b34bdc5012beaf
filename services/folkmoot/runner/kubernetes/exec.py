"""One command through the API server: its order in, frames out, and its exit status from the cluster's own channel."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

import aiohttp
import msgspec

from folkmoot.kernel.errors import Conflict, InvalidInput, NotFound, RetryLater, Unavailable
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.kubernetes import job, wire
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.wire import Farewell, Frames, Limits, Refused
from folkmoot.runner.versions.seen import MOST_BYTES, Ask
from folkmoot.runtime.workspace.port import WorkspaceLost

_STDIN, _STDOUT, _STDERR, _ERROR = 0, 1, 2, 3
_CLOSE = b"\xff\x00"
"""Half-close of standard input: to the watcher it means that nobody listens any more."""
_PIECE = 256 * 1024
_OVERTIME_S = 15.0
"""The watcher keeps the time; this long later we stop believing that there is one."""
_GATE_S = 30.0
"""Longer than a gate's own patience."""
_PARTING_S = 3.0
_CUT = "the connection to a command was cut: whether it ran to its end, and what it did, is unknown"


class WatcherKilled(WorkspaceLost):
    """Its watcher did not live to see the command's end: something in the pod killed it, or the pod ended."""

    def __init__(self, signal: int, seconds: float) -> None:
        super().__init__(f"the watcher of a command was ended by signal {signal}")
        self.ended = Ended(end=CommandEnd(exit_code=None, signal=signal, duration_s=seconds), truncated=True)
        """What it is where the pod lives on: the command's own doing."""


class NotBegun(Unavailable):
    """The command was never sent: it may be tried again."""


async def run(
    api: Api,
    pod: str,
    command: Command,
    limits: Limits,
    environment: Mapping[str, str],
    sink: Sink,
    ask: Ask | None = None,
    door: "Door | None" = None,
) -> tuple[Ended, bytes]:
    """With what a look behind it told, where one is asked for. By a `door` that is open, or a new one.

    Raises NotBegun while nothing of it has happened, WorkspaceLost when the pod is gone or the outcome is unknown,
    WatcherKilled, InvalidInput, Misconfigured."""
    entered = await enter(api, pod) if door is None else door
    async with contextlib.aclosing(entered):
        talk = _Conversation(entered.socket, command, sink)
        ended = await talk.to_end(wire.order(command, limits, environment, ask))
        return ended, bytes(talk.seen)


class Door:
    """A watcher in a pod, which waits for its order. One that is closed ends by itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, stack: contextlib.AsyncExitStack) -> None:
        self.socket = socket
        self._stack = stack

    async def aclose(self) -> None:
        await self._stack.aclose()


async def enter(api: Api, pod: str, gate: bytes = b"") -> Door:
    """Start a watcher; behind a `gate`, once it says that it is kept off the network.

    Raises NotBegun where there was no entering, WorkspaceLost when the pod is gone or does not answer, Unavailable
    where it is not kept off, Misconfigured.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            socket = await stack.enter_async_context(api.exec(pod, job.CONTAINER, job.WATCHER))
        except NotFound as error:
            raise WorkspaceLost(f"the pod is gone: {error}") from error
        except (RetryLater, Conflict, InvalidInput) as error:
            raise NotBegun(str(error)) from error
        if gate and (open_ := await _passed(socket, gate)):
            raise Unavailable(f"a new workspace still reaches {', '.join(open_)}: it is not handed out")
        return Door(socket, stack.pop_all())
    raise AssertionError("a context that swallows errors")


async def _passed(socket: aiohttp.ClientWebSocketResponse, gate: bytes) -> list[str]:
    """What the watcher could reach to the last. Whatever else comes of it, nothing has happened."""
    frames = Frames()
    try:
        async with asyncio.timeout(_GATE_S):
            await socket.send_bytes(bytes([_STDIN]) + gate)
            while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                channel, data = message.data[0], message.data[1:]
                if channel == _ERROR:
                    raise NotBegun(wire.unreached(data) or "a watcher ended before its order")
                for letter, body in frames.fed(data) if channel == _STDOUT else ():
                    if letter == wire.PASSED:
                        return body.decode().splitlines()
    except (ConnectionError, aiohttp.ClientError, TimeoutError) as error:
        raise NotBegun(f"a watcher cannot be talked to: {error}") from error
    raise NotBegun("the connection to a watcher was cut before its order")


class _Conversation:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse, command: Command, sink: Sink) -> None:
        self._socket = socket
        self._command = command
        self._sink = sink
        self._frames = Frames()
        self._complaint = b""
        self._began: float | None = None
        self._refused: Refused | None = None
        self._last: Farewell | None = None
        self._status: bytes | None = None
        self.seen = bytearray()
        """What the look told."""

    async def to_end(self, order: bytes) -> Ended:
        feeder = asyncio.get_running_loop().create_task(self._send(order), name="stdin")
        try:
            async with asyncio.timeout(self._command.timeout_s + _OVERTIME_S):
                await self._hear()
        except TimeoutError as error:
            raise WorkspaceLost(_CUT) from error
        except asyncio.CancelledError:
            await asyncio.shield(self._parted(feeder))
            raise
        finally:
            feeder.cancel()
            await asyncio.wait([feeder])
        return self._judged()

    async def _send(self, order: bytes) -> None:
        """In pieces, so that output is heard meanwhile; the socket waits for those who read slowly."""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            for start in range(0, len(order), _PIECE):
                await self._socket.send_bytes(bytes([_STDIN]) + order[start : start + _PIECE])

    async def _hear(self) -> None:
        """Until the cluster says how it ended."""
        while self._status is None:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return
            channel, data = message.data[0], message.data[1:]
            if channel == _STDOUT:
                await self._take(data)
            elif channel == _STDERR and len(self._complaint) < 2_000:
                self._complaint += data[:2_000]
            elif channel == _ERROR:
                self._status = data

    async def _take(self, data: bytes) -> None:
        for letter, body in self._frames.fed(data):
            match letter:
                case wire.BEGUN:
                    self._began = time.monotonic()
                case wire.STDOUT:
                    await self._sink("stdout", body)
                case wire.STDERR:
                    await self._sink("stderr", body)
                case wire.SEEN:
                    self._see(body)
                case wire.REFUSED:
                    self._refused = msgspec.json.decode(body, type=Refused)
                    await self._sink("stderr", f"{self._command.argv[0]!r}: {self._refused.text}\n".encode())
                case _:
                    self._last = msgspec.json.decode(body, type=Farewell)

    def _see(self, body: bytes) -> None:
        if len(self.seen) + len(body) > MOST_BYTES:
            raise WorkspaceLost("the watcher of a command tells more of its repository than it was asked for")
        self.seen += body

    async def _parted(self, feeder: "asyncio.Task[None]") -> None:
        """The watcher is told, and kills; if it does not say so soon, the end of the connection tells it."""
        feeder.cancel()
        with contextlib.suppress(ConnectionError, aiohttp.ClientError, TimeoutError, WorkspaceLost):
            async with asyncio.timeout(_PARTING_S):
                await asyncio.wait([feeder])
                await self._socket.send_bytes(_CLOSE)
                self._sink = _nobody
                await self._hear()

    def _judged(self) -> Ended:
        if self._status is None:
            raise WorkspaceLost(_CUT)
        if self._began is None and (problem := wire.unreached(self._status)):
            raise NotBegun(problem)
        code = wire.exit_code(self._status)
        if self._refused is not None:
            if error := wire.refusal(self._refused, self._command):
                raise error
            return wire.judged(code, Farewell(limit="", truncated=False, signal=0), 0.0)
        if self._began is None:
            raise WorkspaceLost(f"the watcher of a command did not start: {self._said() or f'exit {code}'}")
        if self._last is None:
            if code > 128:
                raise WatcherKilled(code - 128, time.monotonic() - self._began)
            # A kubelet that dies in the middle is told by the API server as a success.
            raise WorkspaceLost(f"the watcher of a command failed with {code}: {self._said()}" if code else _CUT)
        return wire.judged(code, self._last, time.monotonic() - self._began)

    def _said(self) -> str:
        return self._complaint.decode("utf-8", "replace").strip()[-500:]


async def _nobody(_: str, __: bytes) -> None:
    """Takes what nobody hears any more."""

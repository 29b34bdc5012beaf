"""A program of ours in a pod, beside commands: bytes in, bytes out, and its end as the cluster says it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import ModuleType

import aiohttp
import msgspec

from folkmoot.kernel.errors import Conflict, InvalidInput, NotFound, RetryLater, Unavailable
from folkmoot.runner.kubernetes import wire
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.exec import NotBegun
from folkmoot.runtime.workspace.port import WorkspaceLost

_STDIN, _STDOUT, _STDERR, _ERROR = 0, 1, 2, 3
_PIECE = 256 * 1024
_COMPLAINT_BYTES = 2_000
_BEGUN = b"!"
_BOOT = (
    "import os,sys\nn=int(sys.argv.pop(1));b=b''\nwhile len(b)<n:b+=os.read(0,n-len(b)) or sys.exit(1)\n"
    "os.write(1,b'!');exec(b)"
)
"""Its source comes first, since an address of the API server has no room for it. It begins once it is there."""
_PAUSE_S = 0.3


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A container."""

    pod: str
    container: str


class Stream:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._complaint = b""
        self._early = b""
        self._status: bytes | None = None

    async def begin(self, source: bytes) -> None:
        """Raises NotBegun while nothing of it has happened, WorkspaceLost."""
        await self.send(source)
        first = await self._piece()
        if first is None or not first.startswith(_BEGUN):
            if self._status is not None and (problem := wire.unreached(self._status)):
                raise NotBegun(problem)
            raise WorkspaceLost(f"a program of ours could not be begun in the pod: {self.complaint}")
        self._early = first[len(_BEGUN) :]

    async def send(self, data: bytes) -> None:
        """Waits for those who read slowly. Raises WorkspaceLost."""
        try:
            for start in range(0, len(data), _PIECE):
                await self._socket.send_bytes(bytes([_STDIN]) + data[start : start + _PIECE])
        except (ConnectionError, aiohttp.ClientError) as error:
            raise WorkspaceLost(f"the connection to a pod was cut: {error}") from error

    async def said(self) -> AsyncGenerator[bytes, None]:
        """Its standard output, until it or the connection ends."""
        if early := self._early:
            self._early = b""
            yield early
        while (piece := await self._piece()) is not None:
            yield piece

    async def _piece(self) -> bytes | None:
        while self._status is None:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return None
            channel, data = message.data[0], message.data[1:]
            if channel == _STDOUT and data:
                return bytes(data)
            if channel == _STDERR and len(self._complaint) < _COMPLAINT_BYTES:
                self._complaint += data[:_COMPLAINT_BYTES]
            elif channel == _ERROR:
                self._status = data
        return None

    @property
    def code(self) -> int | None:
        """Of its exit; None while it is not known to have ended. Raises WorkspaceLost when the cluster does not say."""
        return None if self._status is None else wire.exit_code(self._status)

    @property
    def complaint(self) -> str:
        """What it, or the cluster, said of what went wrong."""
        words = self._complaint.decode("utf-8", "replace").strip()[-500:]
        return words or (self._status or b"the connection was cut").decode("utf-8", "replace")[:500]


@contextlib.asynccontextmanager
async def streaming(
    api: Api, place: Place, program: ModuleType, *argv: str, patience_s: float
) -> AsyncIterator[Stream]:
    """`program`, begun; what has not begun is begun again while the API server is away. It is told by the end of its
    standard input that nobody listens any more. Raises Unavailable, WorkspaceLost."""
    assert program.__file__ is not None
    source = Path(program.__file__).read_bytes()
    words = ("python3", "-I", "-S", "-c", _BOOT, str(len(source)), *argv)
    until = asyncio.get_running_loop().time() + patience_s
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                stream = Stream(await stack.enter_async_context(_exec(api, place, words)))
                await stream.begin(source)
                break
            except NotBegun:
                if asyncio.get_running_loop().time() >= until:
                    raise
            await asyncio.sleep(_PAUSE_S)
        yield stream


@contextlib.asynccontextmanager
async def _exec(api: Api, place: Place, argv: tuple[str, ...]) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            socket = await stack.enter_async_context(api.exec(place.pod, place.container, argv))
        except NotFound as error:
            raise WorkspaceLost(f"the pod is gone: {error}") from error
        except (RetryLater, Conflict, InvalidInput) as error:
            raise NotBegun(str(error)) from error
        yield socket


async def only(stream: Stream) -> bytes:
    """All that it says. Raises WorkspaceLost where it does not end well, Unavailable."""
    said = b"".join([piece async for piece in stream.said()])
    if stream.code is None:
        raise Unavailable("the connection to a pod was cut")
    if stream.code:
        raise WorkspaceLost(f"a program of ours failed in the pod: {stream.complaint}")
    return said

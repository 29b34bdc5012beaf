"""Between the services and nats-server: a proxy that cuts connections, holds what they carry, and loses replies.

It knows just enough of NATS's client protocol to tell where a message of the server begins and ends, who a client is
(`CONNECT`), and which message is the log's word that something was carried out: a stream's acknowledgement of an
append, or the confirmation of a settled delivery. Clients believe to talk to the server; the server notices nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

LINE_BYTES = 8 * 1024 * 1024
_GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Of all connections of one user, while it lasts."""

    refused: bool = False
    """Connections are cut, and new ones too, once it is known whose they are."""
    deaf: bool = False
    """What the user says is held; it arrives when the trouble is over."""
    mute: bool = False
    """What the user is told is held."""
    lost: Callable[[], bool] | None = None
    """Asked for each reply that something was carried out: true and the user never hears it."""
    late_s: float = 0.0
    """Such replies come so much later, and others overtake them."""


FINE = Trouble()
Address = tuple[str, int]


class Proxy:
    """One listener for all users; `upstream` says where the server is now: it may come back on another port."""

    def __init__(self, upstream: Callable[[], Address]) -> None:
        self._upstream = upstream
        self._troubles: dict[str, Trouble] = {}
        self._changed = asyncio.Event()
        self._writers: dict[asyncio.StreamWriter, str] = {}
        self.port = 0
        self.swallowed = 0
        """Replies that were dropped or came late."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LINE_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._cut(None)

    @asynccontextmanager
    async def troubled(self, user: str, trouble: Trouble) -> AsyncIterator[None]:
        self._set(user, trouble)
        if trouble.refused:
            self._cut(user)
        try:
            yield
        finally:
            self._set(user, FINE)

    def _set(self, user: str, trouble: Trouble) -> None:
        self._troubles[user] = trouble
        self._changed.set()
        self._changed = asyncio.Event()

    def _now(self, user: str) -> Trouble:
        return self._troubles.get(user, FINE)

    def _cut(self, user: str | None) -> None:
        for writer, name in list(self._writers.items()):
            if user in (None, name):
                writer.transport.abort()

    async def _unless(self, user: str, held: Callable[[Trouble], bool]) -> None:
        while held(self._now(user)):
            await self._changed.wait()

    # --- one connection -------------------------------------------------------------------------------------------

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(*_GONE):
            server, to_server = await asyncio.open_connection(*self._upstream(), limit=LINE_BYTES)
            try:
                to_client.write(await server.readline())
                hello = await client.readline()
                await self._carry(_user(hello), client, to_client, server, to_server, hello)
            finally:
                to_server.transport.abort()
        to_client.transport.abort()

    async def _carry(
        self,
        user: str,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        hello: bytes,
    ) -> None:
        if self._now(user).refused:
            return
        self._writers[to_client] = user
        to_server.write(hello)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_until_gone(self._up(user, client, to_server), to_server), name=f"{user} to log")
                group.create_task(_until_gone(self._down(user, server, to_client), to_client), name=f"log to {user}")
        finally:
            del self._writers[to_client]

    async def _up(self, user: str, client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        while piece := await client.read(64 * 1024):
            await self._unless(user, lambda t: t.deaf)
            to_server.write(piece)
            await to_server.drain()

    async def _down(self, user: str, server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        async for frame in frames(server):
            await self._unless(user, lambda t: t.mute)
            if confirms(frame) and self._mishandled(self._now(user), frame, to_client):
                continue
            to_client.write(frame)
            await to_client.drain()

    def _mishandled(self, trouble: Trouble, frame: bytes, to_client: asyncio.StreamWriter) -> bool:
        """True when it is not to be passed on now."""
        if trouble.lost is not None and trouble.lost():
            self.swallowed += 1
            return True
        if trouble.late_s:
            self.swallowed += 1
            asyncio.get_running_loop().call_later(trouble.late_s, _write, to_client, frame)
            return True
        return False


async def frames(server: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What the server says, one protocol message at a time, with its payload."""
    while line := await server.readline():
        if line[:4].upper() in (b"MSG ", b"HMSG"):
            yield line + await server.readexactly(int(line.split()[-1]) + 2)
        else:
            yield line


def confirms(frame: bytes) -> bool:
    """Whether it says that something was carried out: `{"stream":…,"seq":…}`, or nothing at all, to an inbox."""
    line, _, body = frame.partition(b"\r\n")
    if not line.upper().startswith(b"MSG _INBOX"):
        return False
    return body == b"\r\n" or (body.startswith(b'{"stream":') and b'"seq":' in body)


async def _until_gone(carrying: Awaitable[None], other: asyncio.StreamWriter) -> None:
    """When one side hangs up, so does the other."""
    try:
        with suppress(*_GONE):
            await carrying
    finally:
        other.transport.abort()


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    if not writer.is_closing():
        writer.write(frame)


def _user(hello: bytes) -> str:
    verb, _, options = hello.partition(b" ")
    if verb.upper() != b"CONNECT":
        return ""
    return str(json.loads(options).get("user", ""))

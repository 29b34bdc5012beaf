"""The one way out of a set-up's sandbox: an HTTP proxy on a socket file, which connects where it is allowed to.

Names are compared as a whole and resolved here, and the address that was looked at is the one that is connected to.
What is inside of a CONNECT is not looked at. What was refused is remembered, for the set-up's output.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import h11

from folkmoot.runner.environment import hosts
from folkmoot.runner.environment.hosts import Host

log = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses. Raises OSError."""
AT_ONCE = 128
"""Connections; each takes two of the runner's descriptors. Further ones are closed unheard."""
_LOOKUPS = 2
"""Of names, at once."""
_CONNECT_S = 20.0
_HEAD_S = 30.0
_PIECE = 64 * 1024
_MOST_REFUSALS = 20
_ABOUT_ONE_HOP = {b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"te", b"upgrade"}


class Refused(Exception):
    """In words for whoever asked."""


class Proxy:
    """Of one set-up."""

    def __init__(self, allowed: Collection[Host], private: Collection[str], resolve: Resolve) -> None:
        self._allowed = frozenset(allowed)
        self._private = frozenset(private)
        self._resolve = resolve
        self._refusals: dict[str, None] = {}

    @property
    def refused(self) -> tuple[str, ...]:
        """What was not let out, each once, in words."""
        return tuple(self._refusals)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to its end. Raises nothing that the other side causes."""
        client = h11.Connection(h11.SERVER)
        try:
            await self._answered(client, reader, writer)
        except Refused as refusal:
            self._note(str(refusal))
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                await _say(client, writer, 403, str(refusal))
        except h11.RemoteProtocolError as error:
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                await _say(client, writer, error.error_status_hint, "this is no request to a proxy")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                await _say(client, writer, 502, f"no connection: {error}")
        finally:
            await _closed(writer)

    async def _answered(
        self, client: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with asyncio.timeout(_HEAD_S):
            request = await _next(client, reader)
        if not isinstance(request, h11.Request):
            return
        if request.method == b"CONNECT":
            theirs = await self._connected(_of_authority(request.target))
            await _send(writer, client.send(h11.Response(status_code=200, headers=[], reason=b"Connected")))
            await _relayed(reader, writer, theirs, early=client.trailing_data[0])
        else:
            host, path = _of_url(request.target)
            theirs = await self._connected(host)
            await _forwarded(client, reader, writer, theirs, _asked(request, host, path))

    async def _connected(self, host: Host) -> "_Streams":
        """Raises Refused, OSError."""
        if host not in self._allowed:
            raise Refused(f"{host} is not among the allowed hosts")
        async with asyncio.timeout(_CONNECT_S):
            addresses = await self._resolve(host.name, host.port)
            if host.name not in self._private and not hosts.public(addresses):
                raise Refused(f"{host} has an address that is not public")
            return await _first(addresses, host.port)

    def _note(self, words: str) -> None:
        if len(self._refusals) < _MOST_REFUSALS:
            self._refusals[words] = None
        log.info("a set-up was refused: %s", words, extra={"action": "setup"})


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def listening(proxy: Proxy, path: Path) -> AsyncIterator[None]:
    """`path` is a socket that anybody who sees it may use; closed, with all connections, at the end."""
    running: set[asyncio.Task[None]] = set()

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(running) >= AT_ONCE:
            writer.transport.abort()
            return
        running.add(task)
        try:
            await proxy.serve(reader, writer)
        finally:
            running.discard(task)

    with _bound(path) as listener:
        server = await asyncio.start_unix_server(handled, sock=listener)
        try:
            yield
        finally:
            server.close()
            for task in list(running):
                task.cancel()
            if running:
                await asyncio.wait(running)


@contextlib.contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    """By its folder's descriptor: the name of a socket has room for a hundred characters only."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o666)
        yield listener
    finally:
        listener.close()
        os.close(folder)


class Resolver:
    """This machine's, on threads of its own: a name server that is slow on purpose keeps nothing else waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, "resolver")

    async def __call__(self, name: str, port: int) -> list[str]:
        ask = functools.partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _first(addresses: Collection[str], port: int) -> _Streams:
    """The first that answers; by address, so that nobody resolves the name again."""
    failed: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(address, port, flags=socket.AI_NUMERICHOST)
        except OSError as error:
            failed = error
    raise failed


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Event:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_PIECE))
        elif event is h11.PAUSED:
            return h11.ConnectionClosed()
        else:
            assert isinstance(event, h11.Event)
            return event


def _of_authority(target: bytes) -> Host:
    """Of a CONNECT. Raises Refused."""
    return _host(target.decode("ascii", "replace"))


def _of_url(target: bytes) -> tuple[Host, bytes]:
    """Host, and what the host itself is asked for. Raises Refused."""
    text = target.decode("ascii", "replace")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise Refused(f"{text[:100]!r} is no URL") from error
    if parts.scheme != "http" or "@" in parts.netloc:
        raise Refused(f"{text[:100]!r} is no plain http:// URL")
    name, colon, port = parts.netloc.partition(":")
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return _host(f"{name}:{port}" if colon else f"{name}:80"), path.encode("ascii", "replace")


def _host(text: str) -> Host:
    try:
        return hosts.parsed(text)
    except ValueError as error:
        raise Refused(str(error)) from error


def _asked(request: h11.Request, host: Host, path: bytes) -> h11.Request:
    """What goes on to the host; one request per connection."""
    named = host.name if host.port == 80 else str(host)
    dropped = _ABOUT_ONE_HOP | {b"host"}
    headers = [(name, value) for name, value in request.headers if name not in dropped]
    return h11.Request(
        method=request.method,
        target=path,
        headers=[(b"Host", named.encode("ascii")), *headers, (b"Connection", b"close")],
    )


async def _forwarded(
    client: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    theirs: _Streams,
    request: h11.Request,
) -> None:
    """The request goes on piece by piece as h11 understood it, so that both sides count its length alike."""
    upstream = h11.Connection(h11.CLIENT)
    their_reader, their_writer = theirs
    try:
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(_pumped(their_reader, writer), name="answer")
            await _send(their_writer, upstream.send(request))
            while isinstance(event := await _next(client, reader), h11.Data | h11.EndOfMessage):
                await _send(their_writer, upstream.send(event))
                if isinstance(event, h11.EndOfMessage):
                    break
            await answering
    except* OSError as gone:
        log.debug("a connection of a set-up broke: %s", gone.exceptions[0], extra={"action": "setup"})
    finally:
        await _closed(their_writer)


async def _relayed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, theirs: _Streams, *, early: bytes
) -> None:
    their_reader, their_writer = theirs
    try:
        await _send(their_writer, early)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pumped(reader, their_writer), name="out")
            group.create_task(_pumped(their_reader, writer), name="in")
    except* OSError as gone:
        log.debug("a connection of a set-up broke: %s", gone.exceptions[0], extra={"action": "setup"})
    finally:
        await _closed(their_writer)


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        await _send(writer, piece)
    if writer.can_write_eof():
        writer.write_eof()


async def _say(client: h11.Connection, writer: asyncio.StreamWriter, status: int, words: str) -> None:
    body = f"folkmoot: {words}\n".encode("utf-8", "replace")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    reason = b"Refused" if status == 403 else b"Failed"
    await _send(writer, client.send(h11.Response(status_code=status, headers=headers, reason=reason)))
    await _send(writer, client.send(h11.Data(data=body)))
    await _send(writer, client.send(h11.EndOfMessage()))


async def _send(writer: asyncio.StreamWriter, data: bytes | None) -> None:
    if data:
        writer.write(data)
        await writer.drain()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

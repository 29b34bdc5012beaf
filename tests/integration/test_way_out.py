"""The one way out of a set-up: what it lets through, and what it names and refuses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from folkmoot.runner.environment.hosts import Host
from folkmoot.runner.environment.proxy import AT_ONCE, Proxy, listening

HOST = "index.example"


class Origin:
    """A server that answers each connection with what it heard until the other side was quiet."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = b""
        while not heard.endswith((b"end", b"\r\n0\r\n\r\n", b"\r\n\r\n")):
            piece = await reader.read(4_096)
            if not piece:
                break
            heard += piece
        self.heard.append(heard)
        with contextlib.suppress(OSError):
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
            await writer.drain()
        writer.close()


class Way:
    """A proxy on its socket, in front of an origin."""

    def __init__(self, proxy: Proxy, path: Path, origin: Origin) -> None:
        self.proxy = proxy
        self.path = path
        self.origin = origin

    async def said(self, sent: bytes) -> bytes:
        """All that comes back."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(sent)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    async with opened(tmp_path, ["127.0.0.1"], private=[HOST]) as made:
        yield made


@asynccontextmanager
async def opened(folder: Path, addresses: list[str], *, private: list[str]) -> AsyncIterator[Way]:
    async def resolve(name: str, _: int) -> list[str]:
        if name != HOST:
            raise OSError("no such name")
        return addresses

    origin = Origin()
    async with await asyncio.start_server(origin.serve, "127.0.0.1", 0) as server:
        origin.port = server.sockets[0].getsockname()[1]
        allowed = [Host(HOST, origin.port), Host("gone.example", 443)]
        proxy = Proxy(allowed, private, resolve)
        async with listening(proxy, folder / "way-out"):
            yield Way(proxy, folder / "way-out", origin)


async def test_a_tunnel_to_an_allowed_host(way: Way) -> None:
    """Bytes both ways, also those that come with the request."""
    answer = await way.said(f"CONNECT {HOST}:{way.origin.port} HTTP/1.1\r\nHost: x\r\n\r\nearly end".encode())
    assert answer.startswith(b"HTTP/1.1 200 Connected\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert way.origin.heard == [b"early end"]


async def test_a_plain_request_goes_on_as_it_was_understood(way: Way) -> None:
    """To the host that the URL names, without credentials for the proxy; one request to a connection."""
    sent = f"GET http://{HOST}:{way.origin.port}/a?b=c HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: x\r\n"
    answer = await way.said(f"{sent}Connection: keep-alive\r\nAccept: */*\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode())
    assert answer.endswith(b"hello")
    (heard,) = way.origin.heard
    assert heard.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert f"host: {HOST}:{way.origin.port}\r\n".encode() in heard.lower()
    for absent in (b"evil", b"authorization", b"keep-alive", b"GET / "):
        assert absent.lower() not in heard.lower()


async def test_a_body_is_counted_once(way: Way) -> None:
    """Chunks go on as chunks; what two sides could count differently does not go on at all."""
    head = f"POST http://{HOST}:{way.origin.port}/ HTTP/1.1\r\nHost: {HOST}\r\n"
    await way.said(f"{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode())
    assert way.origin.heard[-1].endswith(b"3\r\nabc\r\n0\r\n\r\n")
    for both in ("Content-Length: 3\r\nContent-Length: 4\r\n", "Transfer-Encoding: gzip, chunked\r\n"):
        answer = await way.said(f"{head}{both}\r\nabcd".encode())
        assert answer.split(b" ")[1] in (b"400", b"501")
    assert len(way.origin.heard) == 1


@pytest.mark.parametrize(
    "target",
    ["{host}:1", "other.example:{port}", "127.0.0.1:{port}", "[::1]:{port}", "2130706433:{port}", "{host}.:{port}",
     "x{host}:{port}", "{host}"],
)  # fmt: skip
async def test_whatever_is_not_on_the_list_is_named_and_refused(way: Way, target: str) -> None:
    """By exact name and port; an address is none. The origin hears nothing."""
    target = target.format(host=HOST, port=way.origin.port)
    answer = await way.said(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 Refused")
    assert b"folkmoot: " in answer
    plain = await way.said(f"GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert plain.startswith(b"HTTP/1.1 403 Refused")
    assert way.origin.heard == []
    assert way.proxy.refused


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET https://a.org/ HTTP/1.1\r\nHost: x\r\n\r\n",
     b"GET http://u:p@index.example/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
     b"\x16\x03\x01\r\n\r\n", b"CONNECT \r\n\r\n", b"a" * 200_000],
)  # fmt: skip
async def test_what_is_no_request_to_a_proxy(way: Way, sent: bytes) -> None:
    """Ends with an answer, and nothing is sent anywhere."""
    assert (await way.said(sent)).split(b" ")[1] in (b"400", b"403", b"431")
    assert way.origin.heard == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], []])
async def test_a_name_with_an_address_that_is_not_public(tmp_path: Path, addresses: list[str]) -> None:
    """Is refused unless the installation names it, whatever else it has: nobody points a name at our network."""
    async with opened(tmp_path, addresses, private=[]) as way:
        answer = await way.said(f"CONNECT {HOST}:{way.origin.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403 Refused")
        assert way.proxy.refused == (f"{HOST}:{way.origin.port} has an address that is not public",)


async def test_a_host_that_is_away(way: Way) -> None:
    """Is no refusal: the answer says what was wrong."""
    answer = await way.said(b"CONNECT gone.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 Failed")
    assert b"no such name" in answer
    assert way.proxy.refused == ()


async def test_a_flood_takes_few_descriptors(way: Way) -> None:
    """Beyond a number connections are closed unheard, and those that stand go on."""
    held = [await asyncio.open_unix_connection(way.path) for _ in range(AT_ONCE)]
    async with asyncio.timeout(20):
        for _ in range(50):
            reader, writer = await asyncio.open_unix_connection(way.path)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
    reader, writer = held[0]
    writer.write(f"CONNECT {HOST}:{way.origin.port} HTTP/1.1\r\nHost: x\r\n\r\nend".encode())
    async with asyncio.timeout(20):
        assert (await reader.read()).endswith(b"hello")
    for _, each in held:
        each.close()


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    """Connections end with the way."""
    async with opened(tmp_path, ["127.0.0.1"], private=[HOST]) as way:
        reader, writer = await asyncio.open_unix_connection(way.path)
        writer.write(f"CONNECT {HOST}:{way.origin.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 200 Connected\r\n"
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()

"""Which model: asked of a real HTTP server when nobody says it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.models import LIST_BYTES, NoAnswer, listed, only


@asynccontextmanager
async def answering(status: str, body: str) -> AsyncIterator[str]:
    """The base URL of a server whose only answer this is, for those who show the key `k`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        good = head.startswith(b"get /v1/models ") and b"authorization: bearer k\r\n" in head
        said = status if good else "401 Unauthorized"
        length = len(body.encode())
        writer.write(f"HTTP/1.1 {said}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def catalogue(*names: str) -> str:
    return json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def test_the_only_model_needs_no_name() -> None:
    """One server, one model: nobody has to write it down."""
    async with answering("200 OK", catalogue("tiny")) as url:
        assert await only(url, "k") == "tiny"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        ("200 OK", catalogue("a", "b"), "has 2 models: a, b"),
        ("200 OK", catalogue(), "does not list"),
        ("404 Not Found", "", "does not list"),
        ("500 Internal Server Error", "", "answers 500"),
        ("200 OK", "<html>hello</html>", "cannot be read"),
    ],
)
async def test_a_choice_is_left_to_the_person(status: str, body: str, says: str) -> None:
    """Usage, with what the server said and how to name one."""
    async with answering(status, body) as url:
        with pytest.raises(Stopped, match=says) as caught:
            await only(url, "k")
    assert (caught.value.code, "--model" in caught.value.hint) == (Code.USAGE, True)


async def test_a_wrong_key_and_a_dead_server_are_told_apart() -> None:
    """401, or no connection."""
    async with answering("200 OK", catalogue("tiny")) as url:
        with pytest.raises(NoAnswer, match="401"):
            await listed(url, "wrong")
    with pytest.raises(NoAnswer, match="nobody answers"):
        await listed(url, "k")


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL means what it says, as for the agents: a proxy would see the key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with answering("200 OK", catalogue("tiny")) as url:
        assert await listed(url, "k") == ["tiny"]


async def test_a_list_without_end_is_not_read_to_its_end() -> None:
    """Some megabytes are enough for a list of models."""
    async with answering("200 OK", catalogue("x" * (LIST_BYTES + 1))) as url:
        with pytest.raises(NoAnswer, match="sends more than"):
            await listed(url, "k")

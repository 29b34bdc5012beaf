"""What lies between a service and the log may cut, hold and lose: the log stays exact, and the service goes on."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain, repeat

import msgspec
import pytest

from folkmoot.kernel.events import START
from folkmoot.kernel.facts import CancelRequested
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.nats import NatsBus, connect
from tests.chaos.proxy import Proxy, Trouble, confirms, frames
from tests.fixtures.nats import NatsServer, nats_server

__all__ = ["nats_server"]

SUBJECT = "deliberation.events.t-1"
FACT = CancelRequested(actor="somebody")


@pytest.fixture
async def proxied(nats_server: NatsServer) -> AsyncIterator[tuple[Proxy, NatsBus]]:
    """A proxy, and the orchestrator's connection through it."""
    async with Proxy(lambda: ("127.0.0.1", nats_server.port)).serving() as proxy:
        settings = msgspec.structs.replace(nats_server.settings("orchestrator"), url=f"nats://127.0.0.1:{proxy.port}")
        async with connect(settings, source="/test/1", clock=SystemClock()) as bus:
            yield proxy, bus


async def test_what_was_carried_out_and_not_confirmed_is_there_once(proxied: tuple[Proxy, NatsBus]) -> None:
    """The append is repeated when its acknowledgement is lost, and found to be the same."""
    proxy, bus = proxied
    once = chain([True], repeat(False))
    async with proxy.troubled("orchestrator", Trouble(lost=lambda: next(once))):
        stored = await bus.log.append(SUBJECT, FACT, after=START)
    assert proxy.swallowed == 1
    assert [e.seq for e in await bus.log.read(SUBJECT)] == [stored.seq]


@pytest.mark.parametrize(
    "trouble", [Trouble(refused=True), Trouble(deaf=True), Trouble(mute=True), Trouble(late_s=0.5)], ids=repr
)
async def test_an_append_outlasts_trouble_of_its_own_user(proxied: tuple[Proxy, NatsBus], trouble: Trouble) -> None:
    """It ends after the trouble, never twice in the log; another user's trouble does not touch it."""
    proxy, bus = proxied
    async with proxy.troubled("planning", trouble), asyncio.timeout(5):
        first = await bus.log.append(SUBJECT, FACT, after=START)
    async with asyncio.TaskGroup() as group:  # noqa: SIM117 -- the trouble ends before the append does
        async with proxy.troubled("orchestrator", trouble):
            second = group.create_task(bus.log.append(SUBJECT, FACT, after=first.head))
            await asyncio.wait([second], timeout=0.3)
            assert not second.done()
    assert [e.seq for e in await bus.log.read(SUBJECT)] == [first.seq, second.result().seq]


async def test_frames_are_whole() -> None:
    """A payload may hold anything, a line's end too; only a word that something was done counts as one."""
    said = [
        b"INFO {}\r\n",
        b'MSG _INBOX_a.1 1 26\r\n{"stream":"S","seq":1}\r\n\r\n\r\n',
        b"MSG _INBOX_a.2 1 0\r\n\r\n",
        b"MSG agile.events.s-1 1 5\r\nMSG 5\r\n",
        b"HMSG _INBOX_a.3 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        b"PING\r\n",
    ]
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(said))
    reader.feed_eof()
    found = [frame async for frame in frames(reader)]
    assert found == said
    assert [confirms(frame) for frame in found] == [False, True, True, False, False, False]

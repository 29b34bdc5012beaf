"""What artifacts and queues ask of the server: each request costs processor time on both sides."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CancelRequested
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log import jetstream, topology
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.nats_artifacts import NatsArtifacts, pieces_subject
from folkmoot.runtime.log.wire import Inbox, Wire
from tests.fixtures.nats import NatsServer

READER = "orchestrator-requests"


class Counting(Wire):
    """Says how often something was published, and how many inboxes were subscribed to."""

    published = 0
    subscribed = 0

    async def publish(
        self, subject: str, body: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.published += 1
        await super().publish(subject, body, reply=reply, headers=headers)

    @asynccontextmanager
    async def inbox(self, about: str) -> AsyncIterator[Inbox]:
        self.subscribed += 1
        async with super().inbox(about) as inbox:
            yield inbox


@pytest.fixture
async def wire(nats_server: NatsServer) -> AsyncIterator[Counting]:
    wire = Counting(nats_server.settings("orchestrator"))
    await wire.open()
    try:
        yield wire
    finally:
        await wire.close()


async def test_a_new_artifact_is_written_without_a_look(wire: Counting) -> None:
    """Body and what is said of it; one that was put lately is only looked for."""
    artifacts = NatsArtifacts(wire, SystemClock())
    await artifacts.put(b"new")
    assert wire.published == 2
    await artifacts.put(b"new")
    assert wire.published == 3


async def test_an_artifact_is_read_with_one_request(wire: Counting, bus: NatsBus) -> None:
    """Its name says whether the body is whole."""
    reference = await bus.artifacts.put(b"body")
    assert await NatsArtifacts(wire, SystemClock()).get(reference) == b"body"
    assert wire.published == 1


async def test_what_a_dead_writer_began_is_finished(wire: Counting, bus: NatsBus) -> None:
    """Its piece is there, and nothing says so yet."""
    body = b"begun"
    name = hashlib.sha256(body).hexdigest()
    await wire.store(pieces_subject(name), body, jetstream.headers(topology.OBJECTS.name, "begun"))
    reference = await bus.artifacts.put(body)
    assert reference == ArtifactRef(sha256=name, size=len(body))
    assert await bus.artifacts.get(reference) == body


async def test_a_reader_that_is_answered_keeps_its_inbox(wire: Counting) -> None:
    """Until a pull brings nothing."""
    bus = NatsBus(wire, source="/one", clock=SystemClock())
    for name in ("ann", "bob", "cid"):
        await bus.queues.put(f"deliberation.requests.t-{name}", CancelRequested(actor=name), key=name)
    heard = list[Fact]()
    async with aclosing(bus.queues.deliveries(READER)) as deliveries:
        for _ in range(3):
            delivery = await anext(deliveries)
            heard.append(delivery.stored.event.data)
            await delivery.ack()
    assert heard == [CancelRequested(actor=name) for name in ("ann", "bob", "cid")]
    assert wire.subscribed == 1

"""What a real log's use leaves in the counts."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import Conflict, InvalidInput, Unavailable
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import DeliberationQueued, StoryCancelled
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.port import Delivery
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import Telemetry, ambient
from folkmoot.runtime.telemetry.meters import Instrument, Tally
from tests.fixtures.nats import NatsServer

SPEC = TaskSpec(task_id=TaskId("t-1"), title="t", text="x", repository="/r", agents=1)


class Counts:
    """All that was counted, by metric and labels."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._found: dict[tuple[str, ...], list[float]] = {}

    def of(self, instrument: Instrument, *labels: str) -> list[float]:
        for record in self.tally.drain():
            self._found.setdefault((record.name, *record.labels), []).append(record.value)
        return self._found.get((instrument.name, *labels), [])


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def bus(nats_server: NatsServer, counts: Counts) -> AsyncIterator[NatsBus]:
    """The orchestrator's, with metrics on."""
    with ambient(Telemetry(meters=counts.tally)):
        async with nats_server.connect("orchestrator") as connected:
            yield connected


async def test_appends_are_counted_by_what_came_of_them(nats_server: NatsServer, counts: Counts) -> None:
    """Stored, or a conflict; each took its time."""
    subject, fact = subjects.story(StoryId("s-1")), StoryCancelled(actor="a")
    with ambient(Telemetry(meters=counts.tally)):
        async with nats_server.connect("planning") as planning:
            await planning.log.append(subject, fact, after=START)
            with pytest.raises(Conflict):
                await planning.log.append(subject, StoryCancelled(actor="b"), after=START)
    assert counts.of(meters.APPENDS, "AGILE", "stored") == [1]
    assert counts.of(meters.APPENDS, "AGILE", "conflict") == [1]
    assert len(counts.of(meters.APPEND_TIME, "AGILE")) == 2


async def test_queues_are_measured_and_what_comes_again_or_is_parked_is_counted(bus: NatsBus, counts: Counts) -> None:
    """One message: waiting, taken, handled in vain, delivered again, parked."""
    parked = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise Unavailable("not now")
        parked.set()
        raise InvalidInput("type", "is no request")

    await bus.queues.put(subjects.request(SPEC.task_id), DeliberationQueued(spec=SPEC), key="1")
    with ambient(Telemetry(meters=counts.tally)):
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            deliveries = bus.queues.deliveries("orchestrator-requests")
            loop = group.create_task(consume(deliveries, handle, max_deliver=5))
            await parked.wait()
            async for _ in bus.log.follow("parked.REQUESTS"):
                break
            loop.cancel()
    assert counts.of(meters.REDELIVERIES, "REQUESTS") == [1]
    assert counts.of(meters.PARKED, "REQUESTS") == [1]
    for gauge in (meters.WAITING, meters.TAKEN):
        assert set(counts.of(gauge, "orchestrator-requests")) in ({0}, {1}, {0, 1})

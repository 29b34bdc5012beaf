"""The fake's own manners: virtual time."""

import asyncio
from contextlib import aclosing

import pytest

from folkmoot.kernel.events import START
from folkmoot.kernel.facts import CancelRequested
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.envelope import message_id
from folkmoot.runtime.log.memory import MemoryBus, MemoryDelivery

QUEUE = "deliberation.requests.t-1"


async def take(bus: MemoryBus) -> MemoryDelivery:
    async with aclosing(bus.queues.deliveries("orchestrator-requests")) as deliveries:
        return await anext(deliveries)


async def settled(task: "asyncio.Task[MemoryDelivery]") -> bool:
    """Whether `task` is done once everything that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def bus(clock: VirtualClock) -> MemoryBus:
    return MemoryBus(clock)


async def test_a_retry_waits_for_its_delay_in_virtual_time(bus: MemoryBus, clock: VirtualClock) -> None:
    """No test waits for a back-off."""
    await bus.queues.put(QUEUE, CancelRequested(actor="ann"), key="k")
    await (await take(bus)).retry(30)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(take(bus))
        assert not await settled(waiting)
        await clock.advance(29)
        assert not await settled(waiting)
        await clock.advance(1)
        assert await settled(waiting)


async def test_a_dead_holders_message_comes_back_after_the_lease_time(bus: MemoryBus, clock: VirtualClock) -> None:
    """Whoever is cancelled inside the lease leaves the message to others."""
    await bus.queues.put(QUEUE, CancelRequested(actor="ann"), key="k")
    held = await take(bus)
    async with asyncio.TaskGroup() as group:
        async with held.lease():
            waiting = group.create_task(take(bus.joined("/memory/two")))
            await clock.advance(60)
            assert not await settled(waiting)
        await clock.advance(15)
        assert await settled(waiting)
    assert waiting.result().attempt == 2


async def test_a_key_is_forgotten_after_the_dedupe_window(bus: MemoryBus, clock: VirtualClock) -> None:
    """As in the real one: idempotency for ever lives in the event log, not in the queue."""
    assert await bus.queues.put(QUEUE, CancelRequested(actor="ann"), key="k")
    await clock.advance(601)
    assert await bus.queues.put(QUEUE, CancelRequested(actor="ann"), key="k")


def test_an_append_is_known_by_all_that_makes_it_one() -> None:
    """Subject, writer, fence and content; or subject and key."""
    fact = CancelRequested(actor="ann")
    base = message_id("a.b", fact, source="/one", after=START)
    assert message_id("a.b", CancelRequested(actor="ann"), source="/one", after=START) == base
    others = [
        message_id("a.c", fact, source="/one", after=START),
        message_id("a.b", fact, source="/two", after=START),
        message_id("a.b", CancelRequested(actor="bob"), source="/one", after=START),
        message_id("a.b", fact, source="/one", after=START, key="k"),
    ]
    assert len({base, *others}) == 5
    assert message_id("a.b", fact, source="/x", key="k") == message_id("a.b", fact, source="/y", key="k")

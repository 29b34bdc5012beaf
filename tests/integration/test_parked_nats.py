"""Replaying on a real server: each service has the rights that its part needs."""

import asyncio
from contextlib import aclosing

from folkmoot.kernel import subjects
from folkmoot.kernel.events import START, Stored
from folkmoot.kernel.facts import DeliberationQueued, StoryAccepted
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.parked import ParkedMessages
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.replays import replaying
from tests.fixtures.nats import NatsServer

SPEC = TaskSpec(task_id=TaskId("t-1"), title="Add it", text="Please.", repository="/repo", agents=1)


async def park(bus: NatsBus, reader: str) -> None:
    async with aclosing(bus.queues.deliveries(reader)) as deliveries:
        await (await anext(deliveries)).park("too much")


async def test_a_replay_reaches_the_service_that_gave_up(nats_server: NatsServer) -> None:
    """Planning parks, the orchestrator replays, planning handles it again; a request goes back into its queue."""
    async with nats_server.connect("planning") as planning, nats_server.connect("orchestrator") as orchestrator:
        story = await planning.log.append(subjects.story(StoryId("s-1")), StoryAccepted(actor="ann"), after=START)
        await orchestrator.queues.put(subjects.request(SPEC.task_id), DeliberationQueued(spec=SPEC), key="1")
        await park(planning, "planning-stories")
        await park(orchestrator, "orchestrator-stories")
        await park(orchestrator, "orchestrator-requests")
        again: asyncio.Queue[Stored] = asyncio.Queue()
        handlers = replaying({"planning-stories": again.put})
        following = consume(planning.queues.deliveries("planning-replays"), handlers, max_deliver=3)
        messages = ParkedMessages(orchestrator.log, orchestrator.queues)
        async with beside(following, name="replays"), asyncio.timeout(20):
            for lying in await messages.listed():
                await messages.replay(lying.stored.seq, actor="ann")
            assert await again.get() == story
        async with aclosing(orchestrator.queues.deliveries("orchestrator-requests")) as deliveries:
            assert (await anext(deliveries)).stored.event.data == DeliberationQueued(spec=SPEC)
        async with aclosing(orchestrator.queues.deliveries("orchestrator-replays")) as deliveries:
            await (await anext(deliveries)).ack()
        assert await messages.waiting() == 0
        assert again.empty()

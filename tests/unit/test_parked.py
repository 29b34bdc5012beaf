"""Messages that nobody could handle: listed, and handled again by whom they were for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from folkmoot.kernel.events import START, Fact, Stored
from folkmoot.kernel.facts import (
    DeliberationEnded,
    DeliberationQueued,
    MessageParked,
    ParkedReplayed,
    StoryAccepted,
    StoryCancelled,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.result import Result, State
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.parked import Parked, ParkedMessages
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.log.port import Delivery
from folkmoot.runtime.log.replays import replaying

TASK, STORY = TaskId("t-1"), StoryId("s-1")
SPEC = TaskSpec(task_id=TASK, title="Add it", text="Please.", repository="/repo", agents=1)


class Bench:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(self.clock)
        self.parked = ParkedMessages(self.bus.log, self.bus.queues)

    async def park(self, reader: str) -> int:
        """What `reader` would handle next is given up; answers where it lies."""
        async with aclosing(self.bus.queues.deliveries(reader)) as deliveries:
            await (await anext(deliveries)).park(f"too much for {reader}")
        return (await self.parked.listed())[0].stored.seq

    async def story(self, fact: Fact) -> None:
        await self.bus.log.append(subjects.story(STORY), fact, after=START)

    async def queued(self) -> None:
        await self.bus.queues.put(subjects.request(TASK), DeliberationQueued(spec=SPEC), key="1")

    async def one(self) -> Parked:
        (found,) = await self.parked.listed()
        return found

    @asynccontextmanager
    async def service(self, replays: str, *readers: str, fails: bool = False) -> AsyncIterator[list[Stored]]:
        """Follows replays as a service does; what it handles again is in the list."""
        again: list[Stored] = []

        async def handle(stored: Stored) -> None:
            again.append(stored)
            if fails:
                raise InvalidInput("text", "still too much")

        following = consume(
            self.bus.queues.deliveries(replays), replaying(dict.fromkeys(readers, handle)), max_deliver=3
        )
        async with beside(following, name=replays):
            yield again
            await self.settled()

    async def settled(self) -> None:
        """Everybody ran until nothing was left but to wait for the clock."""
        for _ in range(300):
            await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_parked_message_says_what_where_and_why(bench: Bench) -> None:
    """And for whom: two services read the same log."""
    await bench.story(StoryAccepted(actor="ann"))
    await bench.park("orchestrator-stories")
    await bench.park("planning-stories")
    newest, oldest = await bench.parked.listed("AGILE")
    assert (newest.fact.reader, oldest.fact.reader) == ("planning-stories", "orchestrator-stories")
    assert (oldest.fact.subject, oldest.fact.reason) == ("agile.events.s-1", "too much for orchestrator-stories")
    assert await bench.parked.listed("REQUESTS") == []
    assert await bench.parked.waiting() == 2
    with pytest.raises(InvalidInput, match="stream: 'NONE' is none of AGILE"):
        await bench.parked.listed("NONE")


async def test_an_event_of_a_log_goes_to_the_service_that_parked_it(bench: Bench) -> None:
    """The event as it stands in its log, once, and to nobody else."""
    await bench.story(StoryCancelled(actor="ann"))
    await bench.park("orchestrator-stories")
    seq = await bench.park("planning-stories")
    async with (
        bench.service("planning-replays", "planning-stories", "planning-decisions") as planning,
        bench.service("orchestrator-replays", "orchestrator-stories") as orchestrator,
    ):
        await bench.parked.replay(seq, actor="ann")
    assert planning == await bench.bus.log.read(subjects.story(STORY))
    assert orchestrator == []
    assert [p.replayed for p in await bench.parked.listed()] == [True, False]


async def test_what_fails_once_more_lies_there_once_more(bench: Bench) -> None:
    """Under its new reason; and can be replayed again."""
    await bench.story(StoryCancelled(actor="ann"))
    seq = await bench.park("orchestrator-stories")
    async with bench.service("orchestrator-replays", "orchestrator-stories", fails=True):
        await bench.parked.replay(seq, actor="ann")
    again, first = await bench.parked.listed()
    assert (first.replayed, again.replayed, again.fact.reason) == (True, False, "text: still too much")
    async with bench.service("orchestrator-replays", "orchestrator-stories") as handled:
        await bench.parked.replay(again.stored.seq, actor="ann")
    assert handled == await bench.bus.log.read(subjects.story(STORY))
    assert await bench.parked.waiting() == 0


async def test_a_message_of_a_queue_is_put_back(bench: Bench) -> None:
    """Under a new key: within the time in which the old one is known too."""
    await bench.queued()
    await bench.parked.replay(await bench.park("orchestrator-requests"), actor="ann")
    async with aclosing(bench.bus.queues.deliveries("orchestrator-requests")) as deliveries:
        delivery = await anext(deliveries)
    assert delivery.stored.event.data == DeliberationQueued(spec=SPEC)
    assert delivery.attempt == 1
    last = await bench.bus.log.last("parked.REQUESTS")
    assert last is not None
    assert isinstance(last.event.data, ParkedReplayed)
    assert (last.event.data.actor, last.event.data.reader, last.event.data.body) == ("ann", "", "")


async def test_once_is_enough(bench: Bench) -> None:
    """A second replay says so."""
    await bench.queued()
    seq = await bench.park("orchestrator-requests")
    await bench.parked.replay(seq, actor="ann")
    with pytest.raises(FailedPrecondition, match="replayed"):
        await bench.parked.replay(seq, actor="bob")
    assert (await bench.one()).replayed


async def test_a_task_that_has_ended_is_not_carried_again(bench: Bench) -> None:
    """It was given up with a reason that callers have seen: it is asked for anew."""
    await bench.queued()
    seq = await bench.park("orchestrator-requests")
    result = Result(task_id=TASK, story_id=StoryId(""), state=State.FAILED)
    await bench.bus.log.append(subjects.deliberation(TASK), DeliberationEnded(result=result), after=START)
    with pytest.raises(FailedPrecondition, match="ended: task t-1 is failed"):
        await bench.parked.replay(seq, actor="ann")
    assert not (await bench.one()).replayed


async def test_what_cannot_be_read_stays(bench: Bench) -> None:
    """Another version may."""
    bench.bus.store.inject(subjects.request(TASK), b"hello")
    reading = consume(bench.bus.queues.deliveries("orchestrator-requests"), _nobody, max_deliver=3)
    async with beside(reading, name="reader"):
        await bench.settled()
    with pytest.raises(FailedPrecondition, match="unreadable"):
        await bench.parked.replay((await bench.one()).stored.seq, actor="ann")


async def _nobody(delivery: Delivery) -> None:
    raise AssertionError(f"{delivery} was handed out")


async def test_messages_from_before_readers_were_written_down(bench: Bench) -> None:
    """Each log had one reader then."""
    await bench.story(StoryCancelled(actor="ann"))
    (stored,) = await bench.bus.log.read(subjects.story(STORY))
    body = bench.bus.store.streams["AGILE"].messages[0].body.decode()
    old = MessageParked(stream="AGILE", subject="agile.events.s-1", seq=stored.seq, deliveries=9, reason="", body=body)
    seq = (await bench.bus.log.append("parked.AGILE", old, after=START)).seq
    async with bench.service("orchestrator-replays", "orchestrator-stories") as handled:
        await bench.parked.replay(seq, actor="ann")
    assert handled == [stored]


async def test_an_unknown_number_is_not_found(bench: Bench) -> None:
    """As is the number of a replay, which is none of a parked message."""
    await bench.queued()
    seq = await bench.park("orchestrator-requests")
    await bench.parked.replay(seq, actor="ann")
    for number in (seq + 1, 99):
        with pytest.raises(NotFound):
            await bench.parked.replay(number, actor="ann")


async def test_a_service_that_is_short_of_something_tries_again(bench: Bench) -> None:
    """A replay is as patient as the first time: its service may be starting."""
    await bench.story(StoryCancelled(actor="ann"))
    seq, tries = await bench.park("orchestrator-stories"), list[Stored]()

    async def handle(stored: Stored) -> None:
        tries.append(stored)
        if len(tries) == 1:
            raise Unavailable("the log is away")

    following = consume(
        bench.bus.queues.deliveries("orchestrator-replays"),
        replaying({"orchestrator-stories": handle}),
        max_deliver=3,
    )
    async with beside(following, name="replays"):
        await bench.parked.replay(seq, actor="ann")
        await bench.settled()
        await bench.clock.advance(5)
        await bench.settled()
    assert len(tries) == 2
    assert await bench.parked.waiting() == 0

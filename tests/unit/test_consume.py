"""The loop around every durable reader, over the log in memory."""

import asyncio
from collections.abc import Awaitable, Callable

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import Conflict, InvalidInput, Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.facts import MessageParked, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.log.port import Delivery
from folkmoot.runtime.settings import LogSettings

TASK, AGENT = TaskId("t-1"), AgentId("dev-1")
WISH = WorkspaceRequested(
    task_id=TASK,
    agent_id=AGENT,
    attempt=1,
    base=PreparedBase(
        repository_id=RepositoryId("r-1"),
        commit=CommitId("a" * 40),
        suite=None,
        protected=(),
        max_files=1,
        max_diff_lines=1,
    ),
    ttl_s=60.0,
)
SUBJECT = subjects.agent_request(TASK, AGENT)
TRIES = 2


class Reader:
    """`consume` on one reader, with what it was asked to give up."""

    def __init__(self, answer: Callable[[Delivery], Awaitable[None]], given_up: Exception | None = None) -> None:
        self.clock = VirtualClock()
        # The bus hands out more often than `consume` tries.
        self.bus = MemoryBus(self.clock, settings=LogSettings(max_deliver=TRIES + 3, ack_wait_s=10))
        self.tries = 0
        self.reasons: list[str] = []
        self._answer = answer
        self._given_up = given_up

    async def handle(self, delivery: Delivery) -> None:
        self.tries += 1
        await self._answer(delivery)

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        self.reasons.append(reason)
        if self._given_up and len(self.reasons) == 1:
            raise self._given_up

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        deliveries = self.bus.queues.deliveries("runner-requests")
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            loop = group.create_task(consume(deliveries, self.handle, max_deliver=TRIES, give_up=self.give_up))
            while not await done():
                await self.clock.advance(1.0)
            loop.cancel()

    async def parked(self) -> bool:
        return await self.bus.log.last("parked.AGENT_REQUESTS") is not None


async def _fail(_: Delivery) -> None:
    raise Unavailable("not now")


async def test_what_fails_each_time_is_given_up_and_parked() -> None:
    """After as many tries as it may have; whoever waits is told."""
    reader = Reader(_fail)
    await reader.bus.queues.put(SUBJECT, WISH, key="1")
    await reader.until(reader.parked)
    assert (reader.tries, reader.reasons) == (TRIES, ["not now"])


async def test_what_cannot_be_mended_is_parked_at_once() -> None:
    """One try, one reason, and the message is kept."""

    async def wrong(_: Delivery) -> None:
        raise InvalidInput("type", "is no request")

    reader = Reader(wrong)
    await reader.bus.queues.put(SUBJECT, WISH, key="1")
    await reader.until(reader.parked)
    assert reader.reasons == ["type: is no request"]
    last = await reader.bus.log.last("parked.AGENT_REQUESTS")
    assert last is not None
    assert isinstance(last.event.data, MessageParked)


async def test_what_killed_its_handlers_is_given_up_unopened() -> None:
    """Deliveries that nobody settled count: the next one is not handled, but ended."""
    reader = Reader(_fail)
    await reader.bus.queues.put(SUBJECT, WISH, key="1")
    for _ in range(TRIES):
        deliveries = reader.bus.queues.deliveries("runner-requests")
        await anext(deliveries)
        await deliveries.aclose()
        await reader.clock.advance(11.0)
    await reader.until(reader.parked)
    assert (reader.tries, reader.reasons) == (0, [f"delivered {TRIES} times in vain"])


async def test_a_fault_in_giving_up_does_not_end_the_loop() -> None:
    """It comes again, and is given up then."""
    reader = Reader(_fail, given_up=Conflict("somebody was first"))
    await reader.bus.queues.put(SUBJECT, WISH, key="1")
    await reader.until(reader.parked)
    assert len(reader.reasons) == 2

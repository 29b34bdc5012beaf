"""A full queue and a spent quota: what is refused, and what waits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from folkmoot.agents.roles import SHIPPED
from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import ResourceExhausted
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import (
    CancelRequested,
    DeliberationEnded,
    DeliberationRequested,
    ParkedReplayed,
    StoryCancelled,
    StoryPlanned,
    StorySubmitted,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.limits import Prices, Quota, Spent
from folkmoot.kernel.result import Result, State, Usage
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import LOOK_S, Gate
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.orchestrator.worker import ROOM_S, Worker
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import OrchestratorSettings
from tests.fixtures.orchestrator import MODEL, parts

TASK = pb.Task(title="Add it", text="Please add it.", repository="/repo")
SPEC = TaskSpec(task_id=TaskId("t-1"), title="Add it", text="Please.", repository="/repo", agents=3)
DAY_S = 24 * 3600.0
NO_QUOTA = Quota()
PRICES = Prices(completion_usd=1_000_000.0)
"""A task of this file costs a dollar: its one token of completion."""


class Bench:
    """A desk with room for `queue` tasks and a quota, on the log in memory; time stands still."""

    def __init__(self, *, queue: int = 100, quota: Quota = NO_QUOTA) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(self.clock)
        self.ledger = Ledger(self.bus.log, self.clock, PRICES)
        self.gate = Gate(self.bus.queues, self.ledger, self.clock, queue=queue, quota=quota)
        self.councils = Councils(Fleet(self.bus.log, SHIPPED), MODEL)
        self.desk = Desk(self.bus.log, self.bus.queues, self.councils, self.gate)

    async def ended(self, task: str, tokens: int, agent_s: float = 0.0) -> None:
        usage = Usage(prompt_tokens=tokens - 1, completion_tokens=1, wall_s=agent_s)
        result = Result(task_id=TaskId(task), story_id=StoryId(""), state=State.FAILED, usage=usage)
        await self.bus.log.append(subjects.deliberation(TaskId(task)), DeliberationEnded(result=result), after=START)

    async def one_done(self) -> None:
        """The oldest task of the queue is carried to its end."""
        delivery = await anext(self.bus.queues.deliveries("orchestrator-requests"))
        await delivery.ack()

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        async with beside(self.ledger.follow(), name="ledger"):
            yield

    async def counted(self, tokens: int) -> None:
        await self.ledger.counted()
        await self.until(lambda: self.ledger.spent.tokens == tokens)

    async def until(self, true: Callable[[], bool]) -> None:
        """Let everybody run until they have nothing left to do but wait for the clock."""
        for _ in range(500):
            if true():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came true")

    def worker(self) -> Worker:
        carried = parts(self.bus, self.clock, self.councils, OrchestratorSettings())
        return Worker("o-1", carried, self.desk, max_deliver=3)

    async def release(self, story: str) -> TaskId:
        """A story with one task, released."""
        task_id = TaskId(f"t-{story}")
        spec = msgspec.structs.replace(SPEC, task_id=task_id, story_id=StoryId(story))
        submitted = StorySubmitted(
            actor="ann", title=spec.title, text=spec.text, repository="/repo", agents=3, rigor=spec.rigor, digest="d"
        )
        await self.tell(story, submitted, StoryPlanned(tasks=(task_id,), how="single"), TaskReleased(spec=spec))
        return task_id

    async def replayed(self, story: str) -> None:
        """The release of the story's task is handed to its reader's service once more."""
        subject = subjects.story(StoryId(story))
        released = next(m for m in self.bus.store.stream(subject).under(subject) if b"task-released" in m.body)
        fact = ParkedReplayed(
            actor="ann",
            parked=1,
            reader="orchestrator-stories",
            subject=subject,
            seq=released.seq,
            body=released.body.decode(),
        )
        last = await self.bus.log.last("parked.AGILE")
        await self.bus.log.append("parked.AGILE", fact, after=last.head if last else START)

    async def tell(self, story: str, *facts: Fact) -> None:
        subject = subjects.story(StoryId(story))
        for fact in facts:
            last = await self.bus.log.last(subject)
            await self.bus.log.append(subject, fact, after=last.head if last else START)

    def facts(self, task_id: TaskId, kind: type[Fact]) -> int:
        messages = self.bus.store.streams["DELIBERATIONS"].under(subjects.deliberation(task_id))
        return sum(isinstance(m.stored.event.data, kind) for m in messages)

    def begun(self, task_id: TaskId) -> bool:
        return self.facts(task_id, DeliberationRequested) == 1


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    """Nothing of the refused task is written; when there is room again, the same call is taken."""
    bench = Bench(queue=2)
    for key in "ab":
        await bench.desk.submit(TASK, key)
    with pytest.raises(ResourceExhausted, match="2 tasks wait or run") as refused:
        await bench.desk.submit(TASK, "c")
    assert refused.value.retry_after_s > 0
    assert len(await bench.bus.log.lasts(subjects.ALL_DELIBERATIONS)) == 2
    await bench.one_done()
    await bench.clock.advance(LOOK_S)
    await bench.desk.submit(TASK, "c")


async def test_to_look_whether_there_is_room_takes_none() -> None:
    """However often it is asked; the words are those of the refusal."""
    bench = Bench(queue=1)
    for _ in range(3):
        assert await bench.gate.refusal() is None
    await bench.desk.submit(TASK, "a")
    full = await bench.gate.refusal()
    assert full is not None
    assert (full.problem, full.retry_after_s) == ("the queue is full: 1 tasks wait or run, at most 1", 5)


async def test_a_known_task_is_answered_whatever_the_queue() -> None:
    """A repeated call costs no room."""
    bench = Bench(queue=1)
    assert await bench.desk.submit(TASK, "a") == await bench.desk.submit(TASK, "a")


async def test_what_others_put_in_is_seen() -> None:
    """Replicas share the queue; a look holds for half a second only."""
    bench = Bench(queue=1)
    other = Gate(bench.bus.queues, bench.ledger, bench.clock, queue=1, quota=NO_QUOTA)
    await bench.desk.submit(TASK, "a")
    with pytest.raises(ResourceExhausted):
        await other.require_room()


async def test_a_spent_quota_refuses_until_the_day_is_over() -> None:
    """Tokens of tasks that ended in the last 24 hours count, older ones no more."""
    bench = Bench(quota=Quota(tokens=100))
    async with bench.counting():
        await bench.ended("t-1", 60)
        await bench.counted(60)
        await bench.desk.submit(TASK, "a")
        await bench.clock.advance(3600)
        await bench.ended("t-2", 50)
        await bench.counted(110)
        with pytest.raises(ResourceExhausted, match="110 tokens in 24 hours, of 100") as refused:
            await bench.desk.submit(TASK, "b")
    assert refused.value.retry_after_s == pytest.approx(DAY_S - 3600, abs=61)
    await bench.clock.advance(refused.value.retry_after_s)
    assert bench.ledger.spent.tokens == 50
    await bench.desk.submit(TASK, "b")


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        (Quota(usd=2), "2.00 USD in 24 hours, of 2"),
        (Quota(agent_hours=1.5), "1.50 hours of agents in 24 hours, of 1.5"),
        (Quota(tokens=1_000, usd=9, agent_hours=1), "1.50 hours of agents in 24 hours, of 1"),
    ],
)
async def test_money_and_time_of_agents_have_quotas_too(quota: Quota, words: str) -> None:
    """Any of them that is spent refuses, until enough of it is older than a day."""
    bench = Bench(quota=quota)
    async with bench.counting():
        await bench.ended("t-1", 60, agent_s=1_800)
        await bench.counted(60)
        await bench.desk.submit(TASK, "a")
        await bench.clock.advance(3600)
        await bench.ended("t-2", 50, agent_s=3_600)
        await bench.counted(110)
        with pytest.raises(ResourceExhausted, match=words) as refused:
            await bench.desk.submit(TASK, "b")
    await bench.clock.advance(refused.value.retry_after_s - 120)
    assert await bench.gate.refusal() is not None
    await bench.clock.advance(120)
    await bench.gate.require_room()


async def test_only_the_last_day_is_read() -> None:
    """A replica that starts does not read the whole history."""
    bench = Bench(quota=Quota(tokens=100))
    await bench.ended("t-1", 90)
    await bench.clock.advance(DAY_S + 60)
    await bench.ended("t-2", 7)
    async with bench.counting():
        await bench.counted(7)


async def test_nothing_is_read_until_somebody_asks() -> None:
    """Without a quota the log is not followed."""
    bench = Bench()
    await bench.ended("t-1", 90)
    async with bench.counting():
        for _ in range(20):
            await asyncio.sleep(0)
        assert bench.ledger.spent.tokens == 0
        await bench.ledger.counted()
        assert bench.ledger.spent.tokens == 90


async def test_an_event_that_nobody_can_read_is_passed_by() -> None:
    """Of a newer version, say: the ledger goes on behind it."""
    bench = Bench(quota=Quota(tokens=100))
    bench.bus.store.inject("deliberation.events.t-9", b"hello")
    await bench.ended("t-1", 90)
    async with bench.counting():
        await bench.counted(90)


def test_uses_of_a_minute_are_one_entry() -> None:
    """A busy day takes no more memory than a quiet one."""
    bench = Bench()
    for second in range(60):
        bench.ledger.add(bench.clock.now() + timedelta(seconds=second), Spent(tokens=2))
    assert bench.ledger.spent.tokens == 120
    assert len(bench.ledger._used) == 1
    assert bench.ledger.below_in_s(Quota(tokens=121)) == 0.0


async def test_a_released_task_waits_for_room_and_is_never_lost() -> None:
    """However long it takes, and those behind it keep their order; none is parked."""
    bench = Bench(queue=1)
    await bench.desk.submit(TASK, "a")
    first, second = await bench.release("s-1"), await bench.release("s-2")
    async with beside(bench.worker().follow_stories(), name="stories"):
        for _ in range(50):
            await bench.clock.advance(60)
        assert not bench.begun(first)
        await bench.one_done()
        await bench.clock.advance(2 * ROOM_S)
        await bench.until(lambda: bench.begun(first))
        assert not bench.begun(second)
        await bench.one_done()
        await bench.clock.advance(2 * ROOM_S)
        await bench.until(lambda: bench.begun(second))
    assert await bench.bus.log.lasts("parked.*") == []


async def test_a_story_is_cancelled_while_others_wait_for_room() -> None:
    """The wish reaches the running task at once, though a release stands before it in the log."""
    bench = Bench(queue=1)
    running = await bench.release("s-1")
    async with beside(bench.worker().follow_stories(), name="stories"):
        await bench.until(lambda: bench.begun(running))
        waiting = await bench.release("s-2")
        await bench.tell("s-1", StoryCancelled(actor="ann", reason="no longer wanted"))
        await bench.until(lambda: bench.facts(running, CancelRequested) == 1)
        assert not bench.begun(waiting)


async def test_a_story_that_cannot_be_read_keeps_no_other_from_being_cancelled() -> None:
    """Its own event is parked when its turn comes; the next one is heard while a release waits."""
    bench = Bench(queue=1)
    running = await bench.release("s-1")
    async with beside(bench.worker().follow_stories(), name="stories"):
        await bench.until(lambda: bench.begun(running))
        await bench.release("s-2")
        await bench.tell("s-0", StoryCancelled(actor="ann"))
        await bench.tell("s-1", StoryCancelled(actor="ann"))
        await bench.until(lambda: bench.facts(running, CancelRequested) == 1)


async def test_what_is_cancelled_while_it_waits_never_begins() -> None:
    """There is room later, and nobody takes it."""
    bench = Bench(queue=1)
    await bench.desk.submit(TASK, "a")
    gone = await bench.release("s-1")
    async with beside(bench.worker().follow_stories(), name="stories"):
        await bench.clock.advance(ROOM_S)
        await bench.tell("s-1", StoryCancelled(actor="ann"))
        await bench.one_done()
        next_one = await bench.release("s-2")
        for _ in range(3):
            await bench.clock.advance(ROOM_S)
        await bench.until(lambda: bench.begun(next_one))
    assert not bench.begun(gone)


async def test_a_release_that_is_replayed_begins_unless_its_story_was_cancelled() -> None:
    """It may be replayed long after."""
    bench = Bench()
    gone, wanted = await bench.release("s-1"), await bench.release("s-2")
    await bench.tell("s-1", StoryCancelled(actor="ann"))
    async with beside(bench.worker().follow_replays(), name="replays"):
        await bench.replayed("s-1")
        await bench.replayed("s-2")
        await bench.until(lambda: bench.begun(wanted))
    assert not bench.begun(gone)

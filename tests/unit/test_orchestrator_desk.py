import asyncio

import pytest

from folkmoot.agents.roles import SHIPPED
from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, Conflict, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START, Head, Stored
from folkmoot.kernel.facts import CancelRequested, DeliberationEnded, DeliberationQueued, OwnerTook
from folkmoot.kernel.limits import Prices, Quota
from folkmoot.kernel.result import Result, State
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import Gate
from folkmoot.orchestrator.journal import Journal, Ousted, Superseded
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus, MemoryLog
from folkmoot.runtime.settings import ModelSettings
from folkmoot.runtime.telemetry.context import derived, within

TASK = pb.Task(title="Add it", text="Please add it.", repository="/repo")
MODEL = ModelSettings(url="http://127.0.0.1:1/v1", name="m")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(VirtualClock())


@pytest.fixture
def desk(bus: MemoryBus) -> Desk:
    return opened(bus, MODEL)


def opened(bus: MemoryBus, model: ModelSettings) -> Desk:
    clock = VirtualClock()
    gate = Gate(bus.queues, Ledger(bus.log, clock, Prices()), clock, queue=100, quota=Quota())
    return Desk(bus.log, bus.queues, Councils(Fleet(bus.log, SHIPPED), model), gate)


async def test_a_request_is_queued_and_logged(bus: MemoryBus, desk: Desk) -> None:
    """Whoever holds the task id can ask for it at once, and a worker will get it."""
    task_id = await desk.submit(TASK, "")
    delivery = await anext(bus.queues.deliveries("orchestrator-requests"))
    fact = delivery.stored.event.data
    assert isinstance(fact, DeliberationQueued)
    assert fact.spec.task_id == task_id
    assert (await desk.find(task_id)).state is State.REQUESTED


async def test_the_same_key_is_the_same_task(desk: Desk) -> None:
    """For ever, on any replica."""
    assert await desk.submit(TASK, "k") == await desk.submit(TASK, "k")


async def test_the_same_key_with_other_content_is_refused(desk: Desk) -> None:
    """The first content stands."""
    await desk.submit(TASK, "k")
    with pytest.raises(AlreadyExists):
        await desk.submit(pb.Task(title="Other", text="Other.", repository="/repo"), "k")


async def test_without_a_model_it_says_how_to_name_one(bus: MemoryBus) -> None:
    """Before anything is written."""
    desk = opened(bus, ModelSettings())
    with pytest.raises(InvalidInput, match="FOLKMOOT_MODEL_URL"):
        await desk.submit(TASK, "k")
    assert await bus.log.lasts(subjects.ALL_DELIBERATIONS) == []


async def test_a_wish_to_cancel_is_written_down(bus: MemoryBus, desk: Desk) -> None:
    """Its owner reads it there."""
    task_id = await desk.submit(TASK, "")
    await desk.cancel(task_id, actor="ann", reason="no longer wanted")
    last = await bus.log.last(subjects.deliberation(task_id))
    assert last is not None
    assert last.event.data == CancelRequested(actor="ann", reason="no longer wanted")


class BusyLog(MemoryLog):
    """While somebody reads all of a log, its owner writes on."""

    async def read(self, subject: str, *, after: Head = START) -> list[Stored]:
        found = await super().read(subject, after=after)
        if after == START and found and subject.startswith("deliberation.events."):
            await self.append(subject, OwnerTook(owner="one"), after=found[-1].head)
        return found


async def test_a_wish_to_cancel_is_heard_in_a_busy_log(bus: MemoryBus) -> None:
    """However much stands there, and however fast the owner goes on."""
    bus.log = BusyLog(bus.store, VirtualClock(), "/memory/one")
    desk = opened(bus, MODEL)
    task_id = await desk.submit(TASK, "")
    async with asyncio.timeout(20):
        await desk.cancel(task_id, actor="ann", reason="no longer wanted")
    last = await bus.log.last(subjects.deliberation(task_id))
    assert last is not None
    assert last.event.data == CancelRequested(actor="ann", reason="no longer wanted")


async def test_what_has_ended_cannot_be_cancelled(bus: MemoryBus, desk: Desk) -> None:
    """The guard is named."""
    task_id = await desk.submit(TASK, "")
    state = await desk.find(task_id)
    result = Result(task_id=task_id, story_id=state.spec.story_id, state=State.FAILED)
    await bus.log.append(subjects.deliberation(task_id), DeliberationEnded(result=result), after=state.head)
    with pytest.raises(FailedPrecondition, match="failed already"):
        await desk.cancel(task_id, actor="ann", reason="")


async def test_an_unknown_task_is_not_found(desk: Desk) -> None:
    """And an id that is none is bad input."""
    with pytest.raises(NotFound):
        await desk.find("t-none")
    with pytest.raises(InvalidInput):
        await desk.find("deliberation.events.>")


async def test_a_zombie_stops(bus: MemoryBus, desk: Desk) -> None:
    """Two orchestrators never both write one task: the one that lost it is refused."""
    task_id = await desk.submit(TASK, "")
    subject = subjects.deliberation(task_id)
    zombie = await Journal.take(bus.log, subject, "one")
    successor = await Journal.take(bus.log, subject, "two")
    with pytest.raises(Ousted, match="belongs to two"):
        await zombie.record(OwnerTook(owner="one"))
    await successor.record(CancelRequested(actor="ann"))
    assert (await desk.find(task_id)).owner == "two"


async def test_a_fact_that_no_longer_fits_is_not_written(bus: MemoryBus, desk: Desk) -> None:
    """It would break every later fold."""
    task_id = await desk.submit(TASK, "")
    journal = await Journal.take(bus.log, subjects.deliberation(task_id), "one")
    result = Result(task_id=task_id, story_id=journal.state.spec.story_id, state=State.CANCELLED)
    await journal.record(DeliberationEnded(result=result))
    with pytest.raises(Superseded, match="had ended"):
        await journal.record(CancelRequested(actor="ann"))


async def test_an_owner_goes_on_over_a_wish_to_cancel(bus: MemoryBus, desk: Desk) -> None:
    """The one event that others may append does not cost the owner its task."""
    task_id = await desk.submit(TASK, "")
    journal = await Journal.take(bus.log, subjects.deliberation(task_id), "one")
    await desk.cancel(task_id, actor="ann", reason="")
    await journal.record(OwnerTook(owner="one"))
    assert journal.state.cancel is not None


async def test_the_log_itself_refuses_a_second_writer(bus: MemoryBus, desk: Desk) -> None:
    """The fence is the log's, not ours."""
    task_id = await desk.submit(TASK, "")
    head = (await desk.find(task_id)).head
    await bus.log.append(subjects.deliberation(task_id), OwnerTook(owner="one"), after=head)
    with pytest.raises(Conflict):
        await bus.log.append(subjects.deliberation(task_id), OwnerTook(owner="two"), after=head)


async def test_who_cancels_writes_into_the_tasks_trace(bus: MemoryBus, desk: Desk) -> None:
    """Another caller, another trace; the task's events stay in its own."""
    with within(derived("asked")):
        task_id = await desk.submit(TASK, "")
    with within(derived("cancelled")):
        await desk.cancel(task_id, actor="a", reason="r")
    events = await bus.log.read(subjects.deliberation(task_id))
    assert [e.event.traceparent for e in events] == [derived("asked")] * 2

"""What every log must do: the one in memory and NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from folkmoot.kernel.errors import BrokenChain, Conflict, InvalidInput, NotFound
from folkmoot.kernel.events import START, Event, Fact, Head, Stored, Unread
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CODEC, CancelRequested, MessageParked
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.log.port import Artifacts, Delivery, Load, Log, Queues
from folkmoot.runtime.log.wire import dial
from folkmoot.runtime.settings import LogSettings
from tests.fixtures.nats import running

ONE = "deliberation.events.t-1"
QUEUE = "deliberation.requests.t-1"
READER = "orchestrator-requests"
CHANGES = {"ack_wait_s": 0.6, "max_deliver": 2, "artifact_bytes": 4_000_000}
SETTINGS = msgspec.structs.replace(LogSettings(), **CHANGES)
STORY = Event(
    id="e1",
    source="/planning/one",
    type=CancelRequested.type_name,
    subject="agile.events.s-1",
    time=datetime(2026, 1, 2, tzinfo=UTC),
    data=CancelRequested(actor="ann"),
)


class Bus(Protocol):
    @property
    def log(self) -> Log: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def artifacts(self) -> Artifacts: ...


class World:
    """Several writers on one log, and a foreigner who writes bytes."""

    def __init__(self, join: Callable[[str], Awaitable[Bus]], inject: Callable[[str, bytes], Awaitable[None]]) -> None:
        self.join = join
        self.inject = inject


@pytest.fixture(params=["memory", "nats"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield _memory()
        return
    async with running(tmp_path / "nats", **CHANGES) as server, AsyncExitStack() as stack:

        async def join(name: str) -> Bus:
            return await stack.enter_async_context(server.connect("orchestrator", source=f"/{name}", **CHANGES))

        async def inject(subject: str, body: bytes) -> None:
            async with dial(server.settings("planning" if subject.startswith("agile") else "orchestrator")) as wire:
                await wire.store(subject, body, {})

        yield World(join, inject)


def _memory() -> World:
    first = MemoryBus(SystemClock(), settings=SETTINGS)

    async def join(name: str) -> Bus:
        return first.joined(f"/{name}")

    async def inject(subject: str, body: bytes) -> None:
        first.store.inject(subject, body)

    return World(join, inject)


@pytest.fixture
async def bus(world: World) -> Bus:
    return await world.join("one")


def fact(actor: str = "ann") -> Fact:
    return CancelRequested(actor=actor)


def actor(stored: Stored) -> str:
    assert isinstance(stored.event.data, CancelRequested)
    return stored.event.data.actor


async def fill(log: Log, subject: str, *actors: str) -> Head:
    last = await log.last(subject)
    head = last.head if last else START
    for name in actors:
        head = (await log.append(subject, fact(name), after=head)).head
    return head


async def take(queues: Queues, reader: str = READER) -> Delivery:
    """The next delivery; whoever it comes from stops asking for more."""
    async with aclosing(queues.deliveries(reader)) as deliveries:
        return await anext(deliveries)


async def drain(queues: Queues) -> None:
    """Somebody goes on reading the queue."""
    async with aclosing(queues.deliveries(READER)) as deliveries:
        async for delivery in deliveries:
            await delivery.ack()


async def following(log: Log, subjects: str, count: int, after_seq: int = 0) -> list[Stored]:
    async with aclosing(log.follow(subjects, after_seq=after_seq)) as events:
        return [await anext(events) for _ in range(count)]


# --- append and read ----------------------------------------------------------------------------------------------


async def test_what_was_appended_is_read_in_order_and_chained(bus: Bus) -> None:
    """A subject is a list of events, each with the digest of the one before."""
    first = await bus.log.append(ONE, fact("ann"), after=START)
    second = await bus.log.append(ONE, fact("bob"), after=first.head)
    assert await bus.log.read(ONE) == [first, second]
    assert (first.event.prevdigest, second.event.prevdigest) == ("", first.digest)
    assert second.event.subject == ONE
    assert second.event.source == "/one"


async def test_reading_goes_on_behind_a_head(bus: Bus) -> None:
    """A fold needs only what is new."""
    head = await fill(bus.log, ONE, "ann", "bob")
    await fill(bus.log, ONE, "cid")
    assert [actor(s) for s in await bus.log.read(ONE, after=head)] == ["cid"]


async def test_subjects_do_not_mix(bus: Bus) -> None:
    """A read answers one subject, though a stream holds many."""
    await fill(bus.log, ONE, "ann")
    await fill(bus.log, "deliberation.events.t-2", "bob")
    assert [actor(s) for s in await bus.log.read(ONE)] == ["ann"]


async def test_an_empty_subject_is_empty(bus: Bus) -> None:
    """Nothing is no error."""
    assert await bus.log.read(ONE) == []
    assert await bus.log.last(ONE) is None
    assert await bus.log.lasts("deliberation.events.*") == []


async def test_many_events_are_read_whole(bus: Bus) -> None:
    """Pages are the adapter's affair."""
    names = [f"a{n}" for n in range(620)]
    await fill(bus.log, ONE, *names)
    assert [actor(s) for s in await bus.log.read(ONE)] == names


async def test_a_stale_head_is_a_conflict(world: World) -> None:
    """Whoever folded less than there is decides anew."""
    one, two = await world.join("one"), await world.join("two")
    await fill(one.log, ONE, "ann")
    with pytest.raises(Conflict, match="somebody else"):
        await two.log.append(ONE, fact("bob"), after=START)


async def test_a_head_from_the_future_is_a_conflict(bus: Bus) -> None:
    """A fence that nobody ever wrote refuses too."""
    with pytest.raises(Conflict):
        await bus.log.append(ONE, fact(), after=Head(seq=99, digest="ab"))


async def test_of_fifty_writers_with_one_head_one_wins(world: World) -> None:
    """Two owners cannot both write."""
    bus = await world.join("one")
    wins: list[str] = []

    async def contend(name: str) -> None:
        try:
            await bus.log.append(ONE, fact(name), after=START)
            wins.append(name)
        except Conflict:
            pass

    async with asyncio.TaskGroup() as group:
        for n in range(50):
            group.create_task(contend(f"a{n}"))
    assert [actor(s) for s in await bus.log.read(ONE)] == wins
    assert len(wins) == 1


async def test_two_who_say_the_same_are_still_two(world: World) -> None:
    """Equal content from another writer is a conflict, not a repetition."""
    one, two = await world.join("one"), await world.join("two")
    await one.log.append(ONE, fact(), after=START)
    with pytest.raises(Conflict):
        await two.log.append(ONE, fact(), after=START)


async def test_a_repeated_append_is_the_same_one(bus: Bus) -> None:
    """A lost reply is never taken for a conflict, even when the subject has grown since."""
    first = await bus.log.append(ONE, fact("ann"), after=START)
    assert await bus.log.append(ONE, fact("ann"), after=START) == first
    await fill(bus.log, ONE, "bob")
    assert await bus.log.append(ONE, fact("ann"), after=START) == first
    assert len(await bus.log.read(ONE)) == 2


async def test_a_key_makes_an_append_the_same_one_whoever_writes(world: World) -> None:
    """An idempotency key speaks for the request, not for the writer."""
    one, two = await world.join("one"), await world.join("two")
    first = await one.log.append(ONE, fact("ann"), after=START, key="k")
    assert await two.log.append(ONE, fact("bob"), after=START, key="k") == first


async def test_a_key_is_known_behind_a_newer_head(bus: Bus) -> None:
    """Whoever repeats a request after folding anew gets the event that it made."""
    first = await bus.log.append(ONE, fact("ann"), after=START, key="k")
    head = await fill(bus.log, ONE, "bob")
    assert await bus.log.append(ONE, fact("ann"), after=head, key="k") == first
    assert len(await bus.log.read(ONE)) == 2


async def test_parking_twice_is_parking_once(bus: Bus) -> None:
    """The copy may have been made and the original not yet settled."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    first = await take(bus.queues)
    await first.park("no such repository")
    await first.park("no such repository")
    assert len(await bus.log.read("parked.REQUESTS")) == 1


async def test_one_key_on_two_subjects_is_two_appends(bus: Bus) -> None:
    """Deduplication never swallows another subject's event."""
    await bus.log.append(ONE, fact(), after=START, key="k")
    await bus.log.append("deliberation.events.t-2", fact(), after=START, key="k")
    assert len(await bus.log.read("deliberation.events.t-2")) == 1


async def test_an_oversized_event_is_refused(bus: Bus) -> None:
    """Large bodies go to the artifact store."""
    with pytest.raises(InvalidInput, match="at most 65536"):
        await bus.log.append(ONE, fact("x" * 70_000), after=START)


async def test_a_subject_of_no_stream_is_refused(bus: Bus) -> None:
    """A typing error is no hanging request."""
    with pytest.raises(InvalidInput, match="belongs to no stream"):
        await bus.log.append("deliberations.events.t-1", fact(), after=START)


async def test_a_broken_chain_stops_the_reader(bus: Bus) -> None:
    """A loss is seen."""
    first = await bus.log.append(ONE, fact("ann"), after=START)
    await bus.log.append(ONE, fact("bob"), after=Head(seq=first.seq, digest="0" * 64))
    with pytest.raises(BrokenChain, match=ONE):
        await bus.log.read(ONE)
    with pytest.raises(BrokenChain, match=ONE):
        await following(bus.log, ONE, 2)


async def test_bytes_that_are_no_event_stop_the_reader(world: World) -> None:
    """A log is never half understood."""
    bus = await world.join("one")
    await world.inject(ONE, b"hello")
    with pytest.raises(InvalidInput):
        await bus.log.read(ONE)


async def test_the_last_event_is_there_at_once(world: World) -> None:
    """Another writer's poll sees what was appended before it asked."""
    one, two = await world.join("one"), await world.join("two")
    await fill(one.log, ONE, "ann", "bob")
    last = await two.log.last(ONE)
    assert last is not None
    assert actor(last) == "bob"


async def test_the_last_of_each_subject_comes_in_stream_order(bus: Bus) -> None:
    """A list of what there is needs one event of each."""
    for subject, name in (("t-1", "a"), ("t-2", "b"), ("t-1", "c")):
        await fill(bus.log, f"deliberation.events.{subject}", name)
    assert [actor(s) for s in await bus.log.lasts("deliberation.events.*")] == ["b", "c"]


async def test_what_cannot_be_read_hides_nothing_in_a_list(world: World) -> None:
    """It has its place, and says why; the other subjects are as they are."""
    bus = await world.join("one")
    for subject in ("t-1", "t-2"):
        await fill(bus.log, f"deliberation.events.{subject}", subject)
    await world.inject("deliberation.events.t-1", b"hello")
    sound, broken = await bus.log.lasts("deliberation.events.*")
    assert (actor(sound), broken.event.subject) == ("t-2", "deliberation.events.t-1")
    assert isinstance(broken.event.data, Unread)
    assert "malformed" in broken.event.data.reason


async def test_more_subjects_than_one_answer_holds_are_listed_whole(bus: Bus) -> None:
    """A server answers for 1,024 subjects at most; a caller need not know."""
    async with asyncio.TaskGroup() as group:
        for n in range(1_100):
            group.create_task(bus.log.append(f"deliberation.events.t-{n}", fact(f"a{n}"), after=START))
    found = await bus.log.lasts("deliberation.events.*")
    assert {actor(s) for s in found} == {f"a{n}" for n in range(1_100)}
    assert [s.seq for s in found] == sorted(s.seq for s in found)


# --- follow -------------------------------------------------------------------------------------------------------


async def test_following_gives_what_is_there_then_what_comes(bus: Bus) -> None:
    """A watcher who is late misses nothing."""
    await fill(bus.log, ONE, "ann", "bob")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(following(bus.log, "deliberation.events.*", 4))
        await fill(bus.log, "deliberation.events.t-2", "cid", "dan")
    assert [actor(s) for s in task.result()] == ["ann", "bob", "cid", "dan"]


@pytest.mark.parametrize("count", [0, 1, 300])
async def test_following_once_ends_with_what_is_there(bus: Bus, count: int) -> None:
    """For readers that have the right to follow, and no other."""
    actors = [str(n) for n in range(count)]
    await fill(bus.log, ONE, *actors)
    async with aclosing(bus.log.follow(ONE, once=True)) as events:
        assert [actor(stored) async for stored in events] == actors


async def test_following_resumes_behind_a_sequence(bus: Bus) -> None:
    """A watcher who comes back gets nothing twice."""
    head = await fill(bus.log, ONE, "ann", "bob")
    await fill(bus.log, ONE, "cid")
    assert [actor(s) for s in await following(bus.log, ONE, 1, after_seq=head.seq)] == ["cid"]


async def test_following_since_a_moment_leaves_out_what_was_before(bus: Bus) -> None:
    """Whoever needs the last day does not read the years before; what comes then is there too."""
    await fill(bus.log, ONE, "ann")
    since = datetime.now(UTC)
    await fill(bus.log, ONE, "bob")
    async with aclosing(bus.log.follow("deliberation.events.*", since=since)) as events:
        assert actor(await anext(events)) == "bob"
        await fill(bus.log, "deliberation.events.t-2", "cid")
        assert actor(await anext(events)) == "cid"
    async with aclosing(bus.log.follow(ONE, since=since, once=True)) as events:
        assert [actor(stored) async for stored in events] == ["bob"]


# --- queues -------------------------------------------------------------------------------------------------------


async def test_how_much_is_left_is_told(bus: Bus) -> None:
    """What waits, and what somebody has; nothing of what is done."""
    assert await bus.queues.load(READER) == Load(waiting=0, taken=0)
    for key in "abc":
        await bus.queues.put(QUEUE, fact(key), key=key)
    assert await bus.queues.load(READER) == Load(waiting=3, taken=0)
    first, second = await take(bus.queues), await take(bus.queues)
    assert await bus.queues.load(READER) == Load(waiting=1, taken=2)
    await first.ack()
    await second.retry(60)
    assert await bus.queues.load(READER) == Load(waiting=1, taken=1)


async def test_work_is_delivered_until_acknowledged(bus: Bus) -> None:
    """An acknowledged message never comes again; the next one does."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    await bus.queues.put(QUEUE, fact("bob"), key="2")
    first = await take(bus.queues)
    await first.ack()
    second = await take(bus.queues)
    assert [(actor(d.stored), d.attempt) for d in (first, second)] == [("ann", 1), ("bob", 1)]


async def test_a_repeated_put_is_one_message(world: World) -> None:
    """The same key, from whomever, is the same work."""
    one, two = await world.join("one"), await world.join("two")
    assert await one.queues.put(QUEUE, fact(), key="k")
    assert not await two.queues.put(QUEUE, fact(), key="k")
    assert await one.queues.put("deliberation.requests.t-2", fact(), key="k")


async def test_a_message_whose_holder_is_gone_comes_to_another(world: World) -> None:
    """A lease without heartbeat ends."""
    one, two = await world.join("one"), await world.join("two")
    await one.queues.put(QUEUE, fact(), key="k")
    assert (await take(one.queues)).attempt == 1
    assert (await take(two.queues)).attempt == 2


async def test_a_lease_keeps_a_message_longer_than_its_time(world: World) -> None:
    """While the block runs nobody else gets it; afterwards it is still ours to settle."""
    one, two = await world.join("one"), await world.join("two")
    await one.queues.put(QUEUE, fact("ann"), key="1")
    held = await take(one.queues)
    async with held.lease():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5 * SETTINGS.ack_wait_s):
                await take(two.queues)
    await held.ack()
    await one.queues.put(QUEUE, fact("bob"), key="2")
    assert actor((await take(two.queues)).stored) == "bob"


async def test_an_exception_leaves_the_lease_as_it_is(bus: Bus) -> None:
    """A lease wraps nothing."""
    await bus.queues.put(QUEUE, fact(), key="k")
    held = await take(bus.queues)
    with pytest.raises(KeyError):
        async with held.lease():
            raise KeyError("x")


async def test_a_retry_comes_after_its_delay(bus: Bus) -> None:
    """Back-off is the server's affair."""
    await bus.queues.put(QUEUE, fact(), key="k")
    first = await take(bus.queues)
    clock = SystemClock()
    start = clock.monotonic()
    await first.retry(0.3)
    second = await take(bus.queues)
    assert second.attempt == 2
    assert clock.monotonic() - start >= 0.29


async def test_parking_keeps_the_message_and_the_reason(bus: Bus) -> None:
    """Nothing is dropped."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    first = await take(bus.queues)
    await first.park("no such repository")
    await bus.queues.put(QUEUE, fact("bob"), key="2")
    assert actor((await take(bus.queues)).stored) == "bob"
    [parked] = await bus.log.read("parked.REQUESTS")
    data = parked.event.data
    assert isinstance(data, MessageParked)
    assert (data.stream, data.subject, data.seq, data.reason) == ("REQUESTS", QUEUE, 1, "no such repository")
    assert '"actor":"ann"' in data.body


async def test_a_message_that_kills_its_handlers_is_parked(bus: Bus) -> None:
    """After `max_deliver` deliveries it is not handed out again, though nobody ever said a word."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    assert [(await take(bus.queues)).attempt for _ in range(2)] == [1, 2]
    await bus.queues.put(QUEUE, fact("bob"), key="2")
    survivor = await take(bus.queues)
    await survivor.ack()
    async with asyncio.timeout(10), beside(drain(bus.queues), name="reader"):
        [parked] = await following(bus.log, "parked.REQUESTS", 1)
    assert isinstance(parked.event.data, MessageParked)
    assert parked.event.data.reason == "delivered 2 times in vain"


async def test_an_unreadable_message_is_parked_and_the_reader_goes_on(world: World) -> None:
    """Poison stops nobody; the largest message that a queue takes can be parked."""
    bus = await world.join("one")
    await world.inject(QUEUE, b'"\\' * 35_000)
    await bus.queues.put(QUEUE, fact("bob"), key="2")
    assert actor((await take(bus.queues)).stored) == "bob"
    [parked] = await bus.log.read("parked.REQUESTS")
    assert isinstance(parked.event.data, MessageParked)
    assert parked.event.data.reason.startswith("unreadable")


async def test_a_durable_reader_of_a_log_leaves_the_log_alone(world: World) -> None:
    """Acknowledging an event removes nothing from the log."""
    bus = await world.join("one")
    await world.inject("agile.events.s-1", CODEC.encode(STORY))
    delivery = await take(bus.queues, "orchestrator-stories")
    await delivery.ack()
    assert [s.seq for s in await bus.log.read("agile.events.s-1")] == [delivery.stored.seq]


# --- artifacts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_a_body_comes_back_as_it_went(bus: Bus, size: int) -> None:
    """Whatever its size."""
    body = bytes(n % 251 for n in range(size))
    ref = await bus.artifacts.put(body)
    assert ref.size == size
    assert await bus.artifacts.get(ref) == body


async def test_the_same_body_is_one_artifact(world: World) -> None:
    """Putting twice, even at the same time, is putting once."""
    one, two = await world.join("one"), await world.join("two")
    body = b"0123456789" * 90_000
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bus.artifacts.put(body)) for bus in (one, two, one, two)]
    assert len({task.result().sha256 for task in tasks}) == 1
    assert await one.artifacts.get(tasks[0].result()) == body


async def test_a_missing_artifact_is_named(bus: Bus) -> None:
    """Not found is not empty."""
    with pytest.raises(NotFound, match="abcabc"):
        await bus.artifacts.get(ArtifactRef(sha256="abcabc" + "0" * 58, size=3))


async def test_a_body_above_the_limit_is_refused(bus: Bus) -> None:
    """The cap holds before anything is sent."""
    with pytest.raises(InvalidInput, match="at most 4000000"):
        await bus.artifacts.put(bytes(4_000_001))

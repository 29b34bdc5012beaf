"""What holds when the server, or whoever held a lease, dies by SIGKILL."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing

import msgspec
import pytest

from folkmoot.kernel.errors import BrokenChain, Unavailable
from folkmoot.kernel.events import START, Head, Stored
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CancelRequested
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.nats_artifacts import PIECE_BYTES
from folkmoot.runtime.log.nats_queues import NatsDelivery
from folkmoot.runtime.log.port import LeaseLost
from folkmoot.runtime.log.topology import OBJECTS
from tests.fixtures.nats import NatsServer

ONE = "deliberation.events.t-1"
QUEUE = "deliberation.requests.t-1"
EVENTS = 60


def fact(actor: str) -> CancelRequested:
    return CancelRequested(actor=actor)


async def take(bus: NatsBus) -> NatsDelivery:
    async with aclosing(bus.queues.deliveries("orchestrator-requests")) as deliveries:
        return await anext(deliveries)


async def persistent(bus: NatsBus, subject: str, actor: str, after: Head) -> Stored:
    """As a service would: repeat while the log cannot be reached."""
    while True:
        try:
            return await bus.log.append(subject, fact(actor), after=after)
        except Unavailable:
            continue


class Writers:
    """Several at once; `half` is set when one has come half way."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.half = asyncio.Event()
        self.written: dict[str, list[Stored]] = {}

    async def write(self, subject: str) -> None:
        done = self.written.setdefault(subject, [])
        for n in range(EVENTS):
            done.append(await persistent(self._bus, subject, f"a{n}", done[-1].head if done else START))
            if n == EVENTS // 2:
                self.half.set()


async def test_nothing_acknowledged_is_lost_and_nothing_is_written_twice(nats_server: NatsServer, bus: NatsBus) -> None:
    """The server is killed in the middle of four writers' appends: each append stands in the log exactly once."""
    writers = Writers(bus)
    subjects = [f"deliberation.events.t-{n}" for n in range(4)]
    async with asyncio.TaskGroup() as group:
        followed = group.create_task(first(bus, "deliberation.events.*", 4 * EVENTS))
        for subject in subjects:
            group.create_task(writers.write(subject))
        await writers.half.wait()
        nats_server.restart()
    for subject in subjects:
        assert await bus.log.read(subject) == writers.written[subject]
        assert len(writers.written[subject]) == EVENTS
    seen = [stored.seq for stored in followed.result()]
    assert seen == sorted(set(seen))
    assert len(seen) == 4 * EVENTS


async def first(bus: NatsBus, subjects: str, count: int) -> list[Stored]:
    async with aclosing(bus.log.follow(subjects)) as events:
        return [await anext(events) for _ in range(count)]


async def test_what_could_not_be_appended_in_time_is_not_appended_later(nats_server: NatsServer) -> None:
    """Nothing waits in a buffer behind our back."""
    async with nats_server.connect("orchestrator", timeout_s=0.4) as hasty:
        await hasty.log.append(ONE, fact("ann"), after=START)
        nats_server.kill()
        with pytest.raises(Unavailable):
            await hasty.log.append("deliberation.events.t-2", fact("bob"), after=START)
        nats_server.start()
        await hasty.ping()
        async with nats_server.connect("orchestrator") as patient:
            assert await patient.log.last("deliberation.events.t-2") is None
            assert await patient.log.last(ONE) is not None


async def test_a_reader_that_waits_goes_on_after_a_restart(nats_server: NatsServer, bus: NatsBus) -> None:
    """A pull that was pending when the server died is made again at once, not after its time-out."""
    async with asyncio.timeout(8), asyncio.TaskGroup() as group:
        waiting = group.create_task(take(bus))
        await bus.queues.put("deliberation.requests.other", fact("ann"), key="1")
        await (await waiting).ack()
        waiting = group.create_task(take(bus))
        nats_server.restart()
        assert await bus.queues.put(QUEUE, fact("bob"), key="2")
        delivery = await waiting
    await delivery.ack()
    assert delivery.stored.event.subject == QUEUE


HOLDER = """
import asyncio, sys
import msgspec
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.nats import connect
from folkmoot.runtime.settings import LogSettings

async def main():
    settings = msgspec.json.decode(sys.stdin.readline(), type=LogSettings)
    async with connect(settings, source="/orchestrator/holder", clock=SystemClock()) as bus:
        async for delivery in bus.queues.deliveries("orchestrator-requests"):
            async with delivery.lease():
                print(delivery.stored.event.data.actor, flush=True)
                if delivery.stored.event.data.actor == "ann":
                    await asyncio.Event().wait()
            await delivery.ack()

asyncio.run(main())
"""


async def test_work_of_a_killed_process_comes_to_another(nats_server: NatsServer) -> None:
    """While the holder lives its heartbeat keeps the message; when it is killed another gets it soon."""
    await nats_server.prepare(ack_wait_s=0.8)
    settings = nats_server.settings("orchestrator", ack_wait_s=0.8)
    async with nats_server.connect("orchestrator", ack_wait_s=0.8) as other:
        await other.queues.put(QUEUE, fact("ann"), key="1")
        async with Held(msgspec.json.encode(settings)) as process:
            assert await said(process) == "ann"
            await nobody_gets_it(other, for_s=2.0)
            process.kill()
            async with asyncio.timeout(5):
                delivery = await take(other)
        assert delivery.attempt == 2


class Held:
    """A process that holds the first message of the queue."""

    def __init__(self, settings: bytes) -> None:
        self._settings = settings

    async def __aenter__(self) -> asyncio.subprocess.Process:
        pipe = subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, stdin=pipe, stdout=pipe)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(self._settings + b"\n")
        await self.process.stdin.drain()
        return self.process

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def test_what_came_to_a_frozen_process_is_not_taken_from_its_new_holder(nats_server: NatsServer) -> None:
    """Frozen while it waited for work, it finds on waking what another has long had: it neither takes it nor returns
    it, and goes on with what comes next."""
    await nats_server.prepare(ack_wait_s=0.8)
    settings = nats_server.settings("orchestrator", ack_wait_s=0.8)
    async with (
        nats_server.connect("orchestrator", ack_wait_s=0.8) as other,
        Held(msgspec.json.encode(settings)) as held,
    ):
        await other.queues.put("deliberation.requests.first", fact("first"), key="first")
        assert await said(held) == "first"
        number = 0
        delivery = None
        while delivery is None or delivery.attempt == 1:
            if delivery is not None:
                await delivery.ack()  # the frozen process happened not to be waiting at that moment
            number += 1
            held.send_signal(signal.SIGSTOP)
            await other.queues.put(f"deliberation.requests.t-{number}", fact("ann"), key=str(number))
            delivery = await take(other)
            if delivery.attempt == 1:
                held.send_signal(signal.SIGCONT)
        async with delivery.lease():
            held.send_signal(signal.SIGCONT)
            await nobody_gets_it(other, for_s=2.0)
        await delivery.ack()
        await other.queues.put("deliberation.requests.last", fact("last"), key="last")
        assert await said(held) == "last"


async def work_for_ever(delivery: NatsDelivery, meanwhile: Callable[[], None]) -> None:
    async with delivery.lease():
        meanwhile()
        await asyncio.Event().wait()


async def test_a_lost_lease_ends_the_work(nats_server: NatsServer) -> None:
    """Without a confirmed heartbeat for a whole lease time the block is cancelled, and says why."""
    async with nats_server.connect("orchestrator", ack_wait_s=0.6) as bus:
        await bus.queues.put(QUEUE, fact("ann"), key="1")
        delivery = await take(bus)
        async with asyncio.timeout(5):
            with pytest.raises(LeaseLost, match="another may own it"):
                await work_for_ever(delivery, nats_server.kill)


async def test_a_short_restart_keeps_the_lease(nats_server: NatsServer, bus: NatsBus) -> None:
    """A server that is back within the lease time costs nobody his work."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    delivery = await take(bus)
    async with delivery.lease():
        await nobody_gets_it(bus)
        nats_server.restart()
        await bus.log.append(ONE, fact("bob"), after=START)
        await nobody_gets_it(bus)
    await delivery.ack()
    await bus.queues.put(QUEUE, fact("cid"), key="2")
    assert (await take(bus)).stored.event.data == fact("cid")


async def nobody_gets_it(bus: NatsBus, *, for_s: float = 0.5) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(for_s):
            await take(bus)


async def test_settling_what_the_server_forgot_is_a_lost_lease(nats_server: NatsServer) -> None:
    """A server that died right after a delivery knows nothing of it; whoever holds it learns so and stops."""
    async with nats_server.connect("orchestrator", timeout_s=0.5) as bus:
        await bus.queues.put(QUEUE, fact("ann"), key="1")
        delivery = await take(bus)
        delivery._msg.reply = delivery._msg.reply.replace(".1.1.1.", ".1.99.99.")
        with pytest.raises(LeaseLost, match="does not know"):
            await delivery.ack()


async def test_acknowledging_twice_is_fine(bus: NatsBus) -> None:
    """The first confirmation may have been lost."""
    await bus.queues.put(QUEUE, fact("ann"), key="1")
    delivery = await take(bus)
    await delivery.ack()
    await delivery.ack()


async def test_a_body_goes_through_a_restart(nats_server: NatsServer, bus: NatsBus) -> None:
    """The writer goes on with the piece that it had come to."""
    body = bytes(range(256)) * 40_000
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(bus.artifacts.put(body))
        await bus.log.append(ONE, fact("ann"), after=START)
        nats_server.restart()
    assert await bus.artifacts.get(putting.result()) == body


async def test_a_body_half_written_is_finished_by_the_next_writer(bus: NatsBus) -> None:
    """What a dead writer left is gone on with."""
    body = b"0123456789" * 80_000
    ref = named(body)
    await bus.wire.store(f"$O.artifacts.C.{ref.sha256}", body[:PIECE_BYTES], {"Nats-Expected-Stream": OBJECTS.name})
    assert await bus.artifacts.put(body) == ref
    assert await bus.artifacts.get(ref) == body


async def test_a_body_that_is_not_what_its_name_says_is_refused(bus: NatsBus) -> None:
    """Neither reader nor writer takes somebody else's bytes for these."""
    body = b"abc" * 1000
    ref = named(body)
    await bus.wire.store(f"$O.artifacts.C.{ref.sha256}", b"forged", {"Nats-Expected-Stream": OBJECTS.name})
    with pytest.raises(BrokenChain, match=ref.sha256):
        await bus.artifacts.put(body)


def named(body: bytes) -> ArtifactRef:
    """The name that `body` will have, without storing it."""
    return ArtifactRef(sha256=hashlib.sha256(body).hexdigest(), size=len(body))

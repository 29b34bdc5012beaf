"""Work queues and durable readers on JetStream pull consumers, one message at a time."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
from nats.aio.msg import Msg

from folkmoot.kernel.errors import Conflict, FolkmootError, InvalidInput, Misconfigured, RetryLater, Unavailable
from folkmoot.kernel.events import START, Fact, Stored
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.jetstream import RECORD, SECOND, Place, headers
from folkmoot.runtime.log.port import LeaseLost, Load, Log
from folkmoot.runtime.log.wire import Inbox, Lost, Refused, Silent, Wire, status
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import count

_EXPIRES_S = 5.0
"""Of one pull, at most: how long a message may find its way to somebody who silently went away."""
_SLACK_S = 2.0
_PAUSE_S = 0.1
"""Between two tries to keep a lease."""


class NatsDelivery:
    """One leased message. Satisfies `port.Delivery`."""

    def __init__(self, queues: "NatsQueues", msg: Msg, place: Place, stored: Stored, taken: float) -> None:
        self._queues = queues
        self._msg = msg
        self._place = place
        self._stored = stored
        self._until = taken + queues.ack_wait_s
        """Of the loop's clock: how long it is certainly ours. An expired lease is never taken up again."""

    @property
    def stored(self) -> Stored:
        return self._stored

    @property
    def attempt(self) -> int:
        return self._place.deliveries

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        """The block is cancelled, and LeaseLost raised, when no heartbeat was confirmed for a whole lease time."""
        ack_wait = self._queues.ack_wait_s
        try:
            async with asyncio.timeout_at(self._until) as limit:
                async with beside(self._beat(limit), name=f"lease of {self._msg.subject}"):
                    yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise LeaseLost(f"{self._msg.subject}: no heartbeat for {ack_wait:g} s, another may own it now") from None

    async def _beat(self, limit: asyncio.Timeout) -> None:
        loop, ack_wait = asyncio.get_running_loop(), self._queues.ack_wait_s
        while True:
            sent = loop.time()
            if sent >= self._until:
                _end_at(limit, sent)
                return
            try:
                await self._queues.settle(self._msg, b"+WPI")
            except Unavailable:
                await asyncio.sleep(_PAUSE_S)  # until the limit ends this
                continue
            except FolkmootError:
                _end_at(limit, loop.time())
                return
            self._until = sent + ack_wait
            _end_at(limit, self._until)
            await asyncio.sleep(ack_wait / 3)

    async def ack(self) -> None:
        self._require_ours()
        await self._queues.settle(self._msg, b"+ACK")

    async def retry(self, delay_s: float) -> None:
        self._require_ours()
        await self._queues.settle(self._msg, b"-NAK " + json.dumps({"delay": int(delay_s * SECOND)}).encode())

    async def park(self, reason: str) -> None:
        self._require_ours()
        await self._queues.park(self._msg, self._place, reason)

    def _require_ours(self) -> None:
        """The server takes a word on an old delivery for one on the newest: it would take the task from its owner."""
        if asyncio.get_running_loop().time() >= self._until:
            raise LeaseLost(f"{self._msg.subject}: the lease is over, another may own it now")


def _end_at(limit: asyncio.Timeout, moment: float) -> None:
    """A heartbeat that comes too late changes nothing any more."""
    if not limit.expired():
        limit.reschedule(moment)


class NatsQueues:
    def __init__(self, wire: Wire, log: Log, *, source: str, clock: Clock) -> None:
        self._wire = wire
        self._log = log
        self._source = source
        self._clock = clock
        self.ack_wait_s = wire.settings.ack_wait_s

    async def put(self, subject: str, fact: Fact, *, key: str) -> bool:
        stream = topology.stream_of(subject).name
        ident = envelope.message_id(subject, fact, source=self._source, key=key)
        event = envelope.envelope(subject, fact, source=self._source, time=self._clock.now(), ident=ident)
        try:
            ack = await self._wire.store(subject, envelope.encoded(event), headers(stream, ident))
        except Refused as refusal:
            raise Unavailable(str(refusal)) from refusal
        return not ack.duplicate

    async def deliveries(self, reader: str) -> AsyncGenerator[NatsDelivery, None]:
        """As the port says. Raises Misconfigured when the reader is deleted under us, PermissionDenied."""
        spec = topology.reader(reader)
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.name}"
        while True:
            async with aclosing(self._pulled(pull)) as pulled:
                async for delivery in pulled:
                    yield delivery

    async def load(self, reader: str) -> Load:
        spec = topology.reader(reader)
        try:
            info = await self._wire.api(f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.name}", {})
        except Refused as refusal:
            raise Unavailable(str(refusal)) from refusal
        return Load(waiting=info["num_pending"], taken=info["num_ack_pending"])

    async def settle(self, msg: Msg, word: bytes) -> None:
        """Returns once the server has confirmed.

        Raises Unavailable, and LeaseLost when the server is there but does not know the delivery: killed within 0.1 s
        of a delivery it forgets it, and delivers again.
        """
        try:
            await self._wire.call(msg.reply, word)
        except Silent as error:
            raise LeaseLost(f"{msg.subject}: the server does not know of this delivery") from error

    async def park(self, msg: Msg, place: Place, reason: str) -> None:
        """First the copy, then the end of the original: in between it is there twice, never not at all."""
        count(meters.PARKED, place.stream)
        reader = topology.reader(place.consumer)
        fact = envelope.parked(reader, msg.subject, place.seq, place.deliveries, reason, msg.data)
        await self._append_parked(topology.parked_subject(place.stream), fact, f"{reader.name}:{place.seq}")
        await self.settle(msg, b"+ACK")

    async def _append_parked(self, subject: str, fact: Fact, key: str) -> None:
        while True:
            last = await self._log.last(subject)
            try:
                await self._log.append(subject, fact, after=last.head if last else START, key=key)
            except Conflict:
                continue
            return

    async def _pulled(self, pull: str) -> AsyncGenerator[NatsDelivery, None]:
        """Deliveries until there is none in time.

        Pulls have an inbox of their own, which serves until one of them is not answered: so that a message is never
        older than its pull. A process that slept may read what was delivered to it long ago, and has been delivered to
        another since.
        """
        async with self._wire.inbox(pull) as inbox:
            while not inbox.failed:
                delivery = await self._next(pull, inbox)
                if delivery is None:
                    return
                yield delivery

    async def _next(self, pull: str, inbox: Inbox) -> NatsDelivery | None:
        asked = asyncio.get_running_loop().time()
        try:
            msg = await self._first(pull, inbox)
        finally:
            await self._give_back(inbox.leftovers(), asked)
        return None if msg is None else await self._open(msg, asked)

    async def _first(self, pull: str, inbox: Inbox) -> Msg | None:
        expires_s = min(_EXPIRES_S, self.ack_wait_s / 3)
        request = {"batch": 1, "expires": int(expires_s * SECOND)}
        try:
            await self._wire.publish(pull, msgspec.json.encode(request), reply=inbox.subject)
            msg = await inbox.next(expires_s + _SLACK_S)
        except Lost:
            await self._wire.pause()
            return None
        if not status(msg):
            return msg
        if "Consumer Deleted" in (msg.headers or {}).get("Description", ""):
            raise Misconfigured(f"the reader of {pull} was deleted; restart the platform to create it")
        if status(msg) not in (404, 408):
            await self._wire.pause()
        return None

    async def _open(self, msg: Msg, asked: float) -> NatsDelivery | None:
        """The delivery, or None when it went to the parked messages instead, or may be another's by now."""
        if not self._certain(asked):
            return None
        if RECORD in (msg.headers or {}):
            await self._pass_by(msg)
            return None
        place = Place.of(msg)
        try:
            stored = envelope.placed(place.seq, msg.data, msg.subject)
        except InvalidInput as error:
            await self._park_unopened(msg, place, f"unreadable: {error}")
            return None
        if place.deliveries > self._wire.settings.max_deliver:
            await self._park_unopened(msg, place, f"delivered {place.deliveries - 1} times in vain")
            return None
        return NatsDelivery(self, msg, place, stored, asked)

    def _certain(self, asked: float) -> bool:
        """Whether a message that was asked for then cannot have gone to another since."""
        return asyncio.get_running_loop().time() < asked + self.ack_wait_s

    async def _park_unopened(self, msg: Msg, place: Place, reason: str) -> None:
        try:
            await self.park(msg, place, reason)
        except (RetryLater, LeaseLost):
            return  # it comes again after the lease time

    async def _pass_by(self, msg: Msg) -> None:
        """It happened elsewhere, and nobody here shall act on it."""
        try:
            await self.settle(msg, b"+ACK")
        except (RetryLater, LeaseLost):
            return  # it comes again after the lease time

    async def _give_back(self, messages: list[Msg], asked: float) -> None:
        """What came when nobody waited any more; not what may be another's by now (see `_require_ours`)."""
        for msg in messages:
            if not status(msg) and self._certain(asked):
                try:
                    await self._wire.publish(msg.reply, b"-NAK")
                except Lost:
                    return

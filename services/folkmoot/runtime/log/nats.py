"""The log on NATS JetStream."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from nats.aio.msg import Msg

from folkmoot.kernel.errors import BrokenChain, Conflict, Misconfigured, Unavailable
from folkmoot.kernel.events import START, Fact, Head, Stored, body_digest
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.jetstream import SECOND, Place, Raw, direct_pages, fenced, leader_get, subject_counts
from folkmoot.runtime.log.nats_admin import create as create_topology
from folkmoot.runtime.log.nats_admin import ensure_topology
from folkmoot.runtime.log.nats_artifacts import NatsArtifacts
from folkmoot.runtime.log.nats_queues import NatsQueues
from folkmoot.runtime.log.observed import observed_append, queues_watched
from folkmoot.runtime.log.wire import Lost, Refused, Wire, dial, status
from folkmoot.runtime.settings import LogSettings

__all__ = ["NatsBus", "NatsLog", "connect", "create", "ensure_topology"]

_PAGE: Mapping[str, object] = {"batch": 500, "max_bytes": 4 * 1024 * 1024}
"""Of one batch."""
_SUBJECTS = 1000
"""Of one `multi_last` request; the server allows 1,024."""
_TOO_MANY = 413
_HEARTBEAT_S = 2.0
"""Of a follower's consumer; three missed and it is made anew."""


class NatsBus:
    """All three ports over one connection, as one user."""

    def __init__(self, wire: Wire, *, source: str, clock: Clock) -> None:
        self.wire = wire
        self.log = NatsLog(wire, source=source, clock=clock)
        self.queues = NatsQueues(wire, self.log, source=source, clock=clock)
        self.artifacts = NatsArtifacts(wire, clock)

    async def ping(self) -> None:
        """Returns when connected. Waits for ever; raises Misconfigured when the server refuses us."""
        await self.wire.up()


@asynccontextmanager
async def connect(settings: LogSettings, *, source: str, clock: Clock) -> AsyncIterator[NatsBus]:
    """A bus as the user in `settings`; `source` names the writer in events, as `/planning/one`.

    Raises Unavailable when no server answers within the time-out, Misconfigured when it refuses us.
    """
    async with dial(settings) as wire, queues_watched(wire):
        yield NatsBus(wire, source=source, clock=clock)


async def create(bus: NatsBus) -> None:
    """`ensure_topology` over a bus that is already connected as the admin user."""
    await create_topology(bus.wire)


class NatsLog:
    def __init__(self, wire: Wire, *, source: str, clock: Clock) -> None:
        self._wire = wire
        self._source = source
        self._clock = clock

    async def append(self, subject: str, fact: Fact, *, after: Head, key: str = "") -> Stored:
        stream = topology.stream_of(subject).name
        with observed_append(stream):
            return await self._append(stream, subject, fact, after, key)

    async def _append(self, stream: str, subject: str, fact: Fact, after: Head, key: str) -> Stored:
        ident = envelope.message_id(subject, fact, source=self._source, after=after, key=key)
        event = envelope.envelope(subject, fact, source=self._source, time=self._clock.now(), ident=ident, after=after)
        body = envelope.encoded(event)
        try:
            ack = await self._wire.store(subject, body, fenced(stream, ident, after.seq))
        except Refused as refusal:
            if not refusal.fence:
                raise Unavailable(str(refusal)) from refusal
        else:
            if not ack.duplicate:
                return Stored(seq=ack.seq, digest=body_digest(body), event=event)
            return await self._earlier(stream, subject, ack.seq, ident)
        return await self._ours(stream, subject, after, ident)

    async def read(self, subject: str, *, after: Head = START) -> list[Stored]:
        stream = topology.stream_of(subject).name
        request = {"next_by_subj": subject, **_PAGE}
        found = await direct_pages(self._wire, stream, request, start=after.seq + 1)
        return envelope.chained([_stored(raw) for raw in found], after)

    async def last(self, subject: str) -> Stored | None:
        raw = await leader_get(self._wire, topology.stream_of(subject).name, {"last_by_subj": subject})
        return None if raw is None else _stored(raw)

    async def lasts(self, subjects: str) -> list[Stored]:
        stream = topology.stream_of(subjects).name
        try:
            found = await self._multi_last(stream, [subjects])
        except Refused as refusal:
            if refusal.code != _TOO_MANY:
                raise Unavailable(str(refusal)) from refusal
            found = await self._lasts_by_name(stream, subjects)
        ordered = sorted(found, key=lambda raw: raw.seq)
        return envelope.kept(envelope.listed(raw.seq, raw.body, raw.subject) for raw in ordered)

    async def follow(
        self, subjects: str, *, after_seq: int = 0, since: datetime | None = None, once: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """As the port says. The chain is checked where `subjects` is one subject; else by the folds."""
        stream = topology.stream_of(subjects).name
        whole = topology.exact(subjects) and since is None
        seq, checked = after_seq, envelope.Chain(whole=whole, after_seq=after_seq)
        while True:
            try:
                async with aclosing(self._tail(stream, subjects, seq, since, once=once)) as tail:
                    async for raw in tail:
                        seq = raw.seq
                        yield checked.next(_stored(raw))
            except Unavailable:
                await self._wire.pause()
            else:
                return

    # --- behind the fence -------------------------------------------------------------------------------------

    async def _earlier(self, stream: str, subject: str, seq: int, ident: str) -> Stored:
        """The server took it for one that it has: ids are known stream-wide, so look whether it is."""
        raw = await leader_get(self._wire, stream, {"seq": seq})
        if raw is None or raw.subject != subject or raw.headers.get("Nats-Msg-Id") != ident:
            raise BrokenChain(
                f"{subject}: taken for message {seq} of {stream}, which is another one; nothing was stored"
            )
        return _stored(raw)

    async def _ours(self, stream: str, subject: str, after: Head, ident: str) -> Stored:
        """Whoever got behind the fence first stands right behind it: if that is us, the reply was lost."""
        raw = await leader_get(self._wire, stream, {"seq": after.seq + 1, "next_by_subj": subject})
        if raw is not None and raw.headers.get("Nats-Msg-Id") == ident:
            return _stored(raw)
        raise Conflict(f"{subject}: somebody else appended behind {after.seq}")

    async def _multi_last(self, stream: str, subjects: list[str]) -> list[Raw]:
        return await direct_pages(self._wire, stream, {"multi_last": subjects, **_PAGE})

    async def _lasts_by_name(self, stream: str, subjects: str) -> list[Raw]:
        names = list(await subject_counts(self._wire, stream, subjects))
        found: list[Raw] = []
        for start in range(0, len(names), _SUBJECTS):
            found += await self._multi_last(stream, names[start : start + _SUBJECTS])
        return found

    # --- following --------------------------------------------------------------------------------------------

    async def _tail(
        self, stream: str, subjects: str, after_seq: int, since: datetime | None, *, once: bool
    ) -> AsyncGenerator[Raw, None]:
        """One consumer's life. Raises Lost when it broke: on a lost connection, a gap, or silence. It ends by itself
        only where it is asked `once`: the server says at the start how much there is."""
        name = secrets.token_hex(12)
        create = f"$JS.API.CONSUMER.CREATE.{stream}.{name}.{subjects}"
        async with self._wire.inbox(create) as inbox:
            try:
                request = _tail_request(stream, name, subjects, _start(after_seq, since), inbox.subject)
                there = (await self._wire.api(create, request)).get("num_pending", 0)
            except Refused as refusal:
                raise Misconfigured(str(refusal)) from refusal
            expected = 1
            while not once or expected <= there:
                msg = await inbox.next(3 * _HEARTBEAT_S)
                if status(msg):
                    await self._flow(msg)
                    continue
                place = Place.of(msg)
                if place.consumer_seq != expected:
                    raise Lost(f"{subjects}: delivery {expected} is missing")
                expected += 1
                yield Raw(subject=msg.subject, seq=place.seq, body=msg.data)

    async def _flow(self, msg: Msg) -> None:
        """The server asks how far we are; it holds back until we say."""
        asked = msg.reply or (msg.headers or {}).get("Nats-Consumer-Stalled", "")
        if asked:
            await self._wire.publish(asked)


def _stored(raw: Raw) -> Stored:
    return envelope.placed(raw.seq, raw.body, raw.subject)


def _start(after_seq: int, since: datetime | None) -> Mapping[str, object]:
    if since is not None and after_seq == 0:
        return {"deliver_policy": "by_start_time", "opt_start_time": since.astimezone(UTC).isoformat()}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": after_seq + 1}


def _tail_request(
    stream: str, name: str, subjects: str, start: Mapping[str, object], inbox: str
) -> Mapping[str, object]:
    """A consumer that keeps nothing and goes away by itself when its inbox is gone."""
    config = {
        "name": name,
        "deliver_subject": inbox,
        **start,
        "ack_policy": "none",
        "max_deliver": 1,
        "filter_subject": subjects,
        "flow_control": True,
        "idle_heartbeat": int(_HEARTBEAT_S * SECOND),
        "inactive_threshold": int(15 * SECOND),
        "mem_storage": True,
        "num_replicas": 1,
    }
    return {"stream_name": stream, "config": config}

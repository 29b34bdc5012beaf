"""The log in memory: a fake with the real one's manners, for unit tests of services.

Time comes from the clock, so leases and delays are tested without waiting. What it cannot lose is the connection.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from folkmoot.kernel.errors import BrokenChain, Conflict, InvalidInput, NotFound
from folkmoot.kernel.events import START, Fact, Head, Stored, body_digest
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.port import Load
from folkmoot.runtime.settings import LogSettings


@dataclass
class _Message:
    seq: int
    subject: str
    body: bytes
    ident: str
    at: float
    """Monotonic time of the append, for the dedupe window."""

    @property
    def stored(self) -> Stored:
        return envelope.placed(self.seq, self.body, self.subject)


@dataclass
class _Lease:
    """What a durable reader knows of one message."""

    deliveries: int = 0
    due: float = 0.0
    """When it may be delivered again."""
    held: bool = False
    done: bool = False


@dataclass
class _Stream:
    spec: topology.StreamSpec
    messages: list[_Message] = field(default_factory=list)
    idents: dict[str, _Message] = field(default_factory=dict)
    top: int = 0

    def add(self, subject: str, body: bytes, ident: str, at: float) -> _Message:
        self.top += 1
        message = _Message(self.top, subject, body, ident, at)
        self.messages.append(message)
        self.idents[ident] = message
        return message

    def under(self, pattern: str, after_seq: int = 0) -> list[_Message]:
        return [m for m in self.messages if m.seq > after_seq and topology.matches(pattern, m.subject)]

    def repeated(self, ident: str, now: float) -> bool:
        known = self.idents.get(ident)
        return known is not None and now - known.at < self.spec.dedupe_s


class MemoryStore:
    """What a server would hold. Several buses may share one."""

    def __init__(self) -> None:
        self.streams = {spec.name: _Stream(spec) for spec in topology.LOGS}
        self.leases: dict[str, dict[int, _Lease]] = {reader.name: {} for reader in topology.READERS}
        self.bodies: dict[str, bytes] = {}
        self._changed = asyncio.Event()

    def stream(self, subject: str) -> _Stream:
        return self.streams[topology.stream_of(subject).name]

    def notify(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        await self._changed.wait()

    def inject(self, subject: str, body: bytes) -> int:
        """Put raw bytes under `subject`, as a foreign writer could; answers the stream sequence."""
        message = self.stream(subject).add(subject, body, ident=body_digest(body), at=0.0)
        self.notify()
        return message.seq


class MemoryBus:
    """All three ports in memory, as one writer."""

    def __init__(
        self,
        clock: Clock,
        *,
        source: str = "/memory/one",
        settings: LogSettings = LogSettings(),  # noqa: B008 -- frozen
        store: MemoryStore | None = None,
    ) -> None:
        self.store = MemoryStore() if store is None else store
        self.log = MemoryLog(self.store, clock, source)
        self.queues = MemoryQueues(self.store, self.log, clock, source, settings)
        self.artifacts = MemoryArtifacts(self.store, settings)
        self._clock = clock
        self._settings = settings

    def joined(self, source: str) -> "MemoryBus":
        """Another writer on the same store."""
        return MemoryBus(self._clock, source=source, settings=self._settings, store=self.store)

    async def ping(self) -> None:
        """Always there."""


class MemoryLog:
    def __init__(self, store: MemoryStore, clock: Clock, source: str) -> None:
        self._store = store
        self._clock = clock
        self._source = source

    async def append(self, subject: str, fact: Fact, *, after: Head, key: str = "") -> Stored:
        await asyncio.sleep(0)  # where a real log would let others run
        stream = self._store.stream(subject)
        ident = envelope.message_id(subject, fact, source=self._source, after=after, key=key)
        now = self._clock.now()
        event = envelope.envelope(subject, fact, source=self._source, time=now, ident=ident, after=after)
        body = envelope.encoded(event)
        there = stream.under(subject)
        if (there[-1].seq if there else 0) != after.seq:
            return _ours(stream, subject, after, ident)
        if stream.repeated(ident, self._clock.monotonic()):
            return stream.idents[ident].stored
        message = stream.add(subject, body, ident, self._clock.monotonic())
        self._store.notify()
        return message.stored

    async def read(self, subject: str, *, after: Head = START) -> list[Stored]:
        found = [m.stored for m in self._store.stream(subject).under(subject, after.seq)]
        return envelope.chained(found, after)

    async def last(self, subject: str) -> Stored | None:
        found = self._store.stream(subject).under(subject)
        return found[-1].stored if found else None

    async def lasts(self, subjects: str) -> list[Stored]:
        last = {m.subject: m for m in self._store.stream(subjects).under(subjects)}
        ordered = sorted(last.values(), key=lambda m: m.seq)
        return envelope.kept(envelope.listed(m.seq, m.body, m.subject) for m in ordered)

    async def follow(
        self, subjects: str, *, after_seq: int = 0, since: datetime | None = None, once: bool = False
    ) -> AsyncGenerator[Stored, None]:
        stream, seq = self._store.stream(subjects), after_seq
        checked = envelope.Chain(whole=topology.exact(subjects) and since is None, after_seq=after_seq)
        if since is not None and after_seq == 0:
            seq = max((m.seq for m in stream.messages if m.stored.event.time < since), default=0)
        while True:
            for message in stream.under(subjects, seq):
                seq = message.seq
                yield checked.next(message.stored)
            if not stream.under(subjects, seq):
                if once:
                    return
                await self._store.change()


class MemoryDelivery:
    def __init__(self, queues: "MemoryQueues", reader: topology.ReaderSpec, message: _Message, lease: _Lease) -> None:
        self._queues = queues
        self._reader = reader
        self._message = message
        self._lease = lease
        self._attempt = lease.deliveries
        self._stored = message.stored

    @property
    def stored(self) -> Stored:
        return self._stored

    @property
    def attempt(self) -> int:
        return self._attempt

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        self._lease.held = True
        try:
            yield
        finally:
            self._lease.held = False
            self._queues.due_in(self._lease, self._queues.settings.ack_wait_s)

    async def ack(self) -> None:
        self._queues.finish(self._reader, self._message, self._lease)

    async def retry(self, delay_s: float) -> None:
        self._queues.due_in(self._lease, delay_s)

    async def park(self, reason: str) -> None:
        await self._queues.park(self._reader, self._message, self._lease, reason)


class MemoryQueues:
    def __init__(self, store: MemoryStore, log: MemoryLog, clock: Clock, source: str, settings: LogSettings) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._source = source
        self.settings = settings

    async def put(self, subject: str, fact: Fact, *, key: str) -> bool:
        stream = self._store.stream(subject)
        ident = envelope.message_id(subject, fact, source=self._source, key=key)
        event = envelope.envelope(subject, fact, source=self._source, time=self._clock.now(), ident=ident)
        body = envelope.encoded(event)
        if stream.repeated(ident, self._clock.monotonic()):
            return False
        stream.add(subject, body, ident, self._clock.monotonic())
        self._store.notify()
        return True

    async def deliveries(self, reader: str) -> AsyncGenerator[MemoryDelivery, None]:
        spec = topology.reader(reader)
        while True:
            message = self._next(spec)
            if message is None:
                await self._wait(spec)
                continue
            delivery = await self._open(spec, message)
            if delivery is not None:
                yield delivery

    async def load(self, reader: str) -> Load:
        spec = topology.reader(reader)
        leases = self._store.leases[spec.name]
        known = [leases.get(m.seq, _Lease()) for m in self._store.streams[spec.stream].under(spec.filter)]
        left = [lease for lease in known if not lease.done]
        waiting = sum(lease.deliveries == 0 for lease in left)
        return Load(waiting=waiting, taken=len(left) - waiting)

    def due_in(self, lease: _Lease, seconds: float) -> None:
        lease.due = self._clock.monotonic() + seconds
        self._store.notify()

    def finish(self, reader: topology.ReaderSpec, message: _Message, lease: _Lease) -> None:
        lease.done = True
        stream = self._store.streams[reader.stream]
        if stream.spec.queue and message in stream.messages:
            stream.messages.remove(message)

    async def park(self, reader: topology.ReaderSpec, message: _Message, lease: _Lease, reason: str) -> None:
        fact = envelope.parked(reader, message.subject, message.seq, lease.deliveries, reason, message.body)
        subject = topology.parked_subject(reader.stream)
        while True:
            last = await self._log.last(subject)
            try:
                key = f"{reader.name}:{message.seq}"
                await self._log.append(subject, fact, after=last.head if last else START, key=key)
            except Conflict:
                continue
            return self.finish(reader, message, lease)

    def _waiting(self, spec: topology.ReaderSpec) -> list[tuple[_Message, _Lease]]:
        leases = self._store.leases[spec.name]
        messages = self._store.streams[spec.stream].under(spec.filter)
        known = [(m, leases.setdefault(m.seq, _Lease())) for m in messages]
        return [(m, lease) for m, lease in known if not lease.done and not lease.held]

    def _next(self, spec: topology.ReaderSpec) -> _Message | None:
        now = self._clock.monotonic()
        return next((m for m, lease in self._waiting(spec) if lease.due <= now), None)

    async def _wait(self, spec: topology.ReaderSpec) -> None:
        due = [lease.due for _, lease in self._waiting(spec)]
        alarm = self._alarm(min(due) - self._clock.monotonic()) if due else self._store.change()
        async with beside(alarm, name=f"alarm of {spec.name}"):
            await self._store.change()

    async def _alarm(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._store.notify()

    async def _open(self, spec: topology.ReaderSpec, message: _Message) -> MemoryDelivery | None:
        lease = self._store.leases[spec.name][message.seq]
        lease.deliveries += 1
        lease.due = self._clock.monotonic() + self.settings.ack_wait_s
        try:
            delivery = MemoryDelivery(self, spec, message, lease)
        except InvalidInput as error:
            await self.park(spec, message, lease, f"unreadable: {error}")
            return None
        if lease.deliveries > self.settings.max_deliver:
            await self.park(spec, message, lease, f"delivered {lease.deliveries - 1} times in vain")
            return None
        return delivery


class MemoryArtifacts:
    def __init__(self, store: MemoryStore, settings: LogSettings) -> None:
        self._bodies = store.bodies
        self._settings = settings

    async def put(self, body: bytes) -> ArtifactRef:
        limit = self._settings.artifact_bytes
        if len(body) > limit:
            raise InvalidInput("body", f"{len(body)} bytes; at most {limit}")
        name = hashlib.sha256(body).hexdigest()
        self._bodies.setdefault(name, body)
        return ArtifactRef(sha256=name, size=len(body))

    async def get(self, ref: ArtifactRef) -> bytes:
        body = self._bodies.get(ref.sha256)
        if body is None:
            raise NotFound(f"no artifact {ref.sha256}")
        if hashlib.sha256(body).hexdigest() != ref.sha256:
            raise BrokenChain(f"artifact {ref.sha256}: its {len(body)} bytes are not what the name says")
        return body


def _ours(stream: _Stream, subject: str, after: Head, ident: str) -> Stored:
    """As in the real log: whoever got behind the fence first stands right behind it."""
    behind = stream.under(subject, after.seq)
    if behind and behind[0].ident == ident:
        return behind[0].stored
    raise Conflict(f"{subject}: somebody else appended behind {after.seq}")

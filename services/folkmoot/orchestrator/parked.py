"""Messages that nobody could handle: what lies there, and how each is handled again."""

from collections.abc import Iterable

import msgspec

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Event, Stored
from folkmoot.kernel.facts import DeliberationEnded, MessageParked, ParkedReplayed
from folkmoot.kernel.ids import TaskId
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.port import Log, Queues

ALL_PARKED = "parked.*"
READERS = {"AGILE": "orchestrator-stories", "DELIBERATIONS": "planning-decisions"}
"""Of messages that were parked before it was written down for whom; those streams had one reader then."""
REPLAYED = frozenset({"orchestrator-stories", "planning-stories", "planning-decisions"})
"""Readers whose services follow replays."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message, and whether it was replayed since."""

    stored: Stored
    fact: MessageParked
    replayed: bool


class _Original(msgspec.Struct, frozen=True, kw_only=True):
    """What was parked, also where it was parked again while it was replayed."""

    stream: str
    reader: str
    subject: str
    seq: int
    body: str


class ParkedMessages:
    """Any replica's does for any message."""

    def __init__(self, log: Log, queues: Queues) -> None:
        self._log = log
        self._queues = queues

    async def listed(self, stream: str = "") -> list[Parked]:
        """The newest first. Raises InvalidInput (`stream`)."""
        if stream and stream not in {s.name for s in topology.LOGS}:
            raise InvalidInput("stream", f"{stream[:80]!r} is none of {', '.join(s.name for s in topology.LOGS)}")
        found: list[Parked] = []
        for last in await self._log.lasts(ALL_PARKED):
            if stream in ("", last.event.subject.partition(".")[2]):
                found += _parked(await self._log.read(last.event.subject))
        return sorted(found, key=lambda p: p.stored.seq, reverse=True)

    async def waiting(self) -> int:
        """How many were not replayed."""
        return sum(not p.replayed for p in await self.listed())

    async def replay(self, sequence: int, *, actor: str) -> None:
        """Raises NotFound, FailedPrecondition (`replayed`, `unreadable`, `ended`, `no_reader`)."""
        while True:
            found = next((p for p in await self.listed() if p.stored.seq == sequence), None)
            if found is None:
                raise NotFound(f"there is no parked message {sequence}")
            if found.replayed:
                raise FailedPrecondition("replayed", f"{sequence} was; if that failed too, it lies here once more")
            fact = await self._again(found, actor)
            subject = found.stored.event.subject
            head = (await self._log.read(subject))[-1].head
            try:
                await self._log.append(subject, fact, after=head, key=f"replayed:{sequence}")
            except Conflict:
                continue
            return

    async def _again(self, found: Parked, actor: str) -> ParkedReplayed:
        original = _original(found.fact)
        event = _event(original.seq, original.body, original.subject)
        fact = ParkedReplayed(actor=actor, parked=found.stored.seq, subject=original.subject, seq=original.seq)
        if topology.stream_of(original.subject).queue:
            await self._put_back(event, found.stored.seq)
            return fact
        if original.reader not in REPLAYED:
            raise FailedPrecondition("no_reader", f"nobody handles messages of {original.stream} a second time")
        return msgspec.structs.replace(fact, reader=original.reader, body=original.body)

    async def _put_back(self, event: Event, sequence: int) -> None:
        """Before it is marked: a crash in between puts it back twice, which does no harm, and never not at all."""
        task_id = TaskId(event.subject.split(".")[2])
        last = await self._log.last(subjects.deliberation(task_id))
        if last is not None and isinstance(last.event.data, DeliberationEnded):
            state = last.event.data.result.state
            raise FailedPrecondition("ended", f"task {task_id} is {state}; ask for it anew, under another key")
        await self._queues.put(event.subject, event.data, key=f"replayed:{sequence}")


def _parked(events: Iterable[Stored]) -> list[Parked]:
    lying: dict[int, Parked] = {}
    for stored in events:
        match stored.event.data:
            case MessageParked() as fact:
                lying[stored.seq] = Parked(stored=stored, fact=fact, replayed=False)
            case ParkedReplayed(parked=seq) if seq in lying:
                lying[seq] = msgspec.structs.replace(lying[seq], replayed=True)
    return list(lying.values())


def _original(fact: MessageParked) -> _Original:
    if fact.stream == topology.PARKED.name:
        inner = _event(fact.seq, fact.body, fact.subject).data
        if isinstance(inner, ParkedReplayed):
            stream = topology.stream_of(inner.subject).name
            return _Original(stream=stream, reader=inner.reader, subject=inner.subject, seq=inner.seq, body=inner.body)
    reader = fact.reader or READERS.get(fact.stream, "")
    return _Original(stream=fact.stream, reader=reader, subject=fact.subject, seq=fact.seq, body=fact.body)


def _event(seq: int, body: str, subject: str) -> Event:
    try:
        return envelope.placed(seq, body.encode(), subject).event
    except InvalidInput as error:
        raise FailedPrecondition("unreadable", f"this version cannot read it: {error}") from error

"""From facts to messages and back, shared by the real log and its fake. Pure, but for the trace that we work under."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import START, Erased, Event, Fact, Head, Stored, Unread, body_digest, linked
from folkmoot.kernel.facts import CODEC, MessageParked, ParkedReplayed
from folkmoot.runtime.log.topology import ReaderSpec
from folkmoot.runtime.telemetry import context


def message_id(subject: str, fact: Fact, *, source: str, after: Head = START, key: str = "") -> str:
    """What makes a repeated append the same one.

    Message ids are known stream-wide, so the subject is always part of it; without `key` so are the writer, the fence
    and the content: two writers who say the same behind the same head are still two.
    """
    parts = [subject, "key", key] if key else [subject, "head", source, str(after.seq), fact.type_name, _text(fact)]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def envelope(subject: str, fact: Fact, *, source: str, time: datetime, ident: str, after: Head = START) -> Event:
    return Event(
        id=ident,
        source=source,
        type=fact.type_name,
        subject=subject,
        time=time,
        data=fact,
        traceparent=context.current(),
        prevdigest=after.digest,
    )


def encoded(event: Event) -> bytes:
    """Raises InvalidInput above the log's limit, which only parked messages may pass: they hold another one."""
    holds_another = isinstance(event.data, MessageParked | ParkedReplayed)
    return msgspec.json.encode(event) if holds_another else CODEC.encode(event)


def stored(seq: int, body: bytes) -> Stored:
    """Raises InvalidInput when the body is no event of ours."""
    return Stored(seq=seq, digest=body_digest(body), event=CODEC.decode(body))


def placed(seq: int, body: bytes, subject: str) -> Stored:
    """`stored`, which must say of itself that it stands where it does. Raises InvalidInput."""
    found = stored(seq, body)
    if found.event.subject != subject:
        raise InvalidInput("subject", f"the event says {found.event.subject!r}, but lies under {subject!r}")
    return found


def listed(seq: int, body: bytes, subject: str) -> Stored:
    """`placed`; what cannot be read stands there as `Unread`, younger than anything: it must not hide the others."""
    try:
        return placed(seq, body, subject)
    except InvalidInput as error:
        told = Unread(reason=str(error))
        event = Event(
            id="", source="", type=told.type_name, subject=subject, time=datetime.max.replace(tzinfo=UTC), data=told
        )
        return Stored(seq=seq, digest=body_digest(body), event=event)


def kept(lasts: Iterable[Stored]) -> list[Stored]:
    """Without the tombstones: of a subject that was erased nothing is left to list."""
    return [stored for stored in lasts if not isinstance(stored.event.data, Erased)]


def chained(messages: list[Stored], after: Head) -> list[Stored]:
    """`messages`, after a look at each link. Raises BrokenChain."""
    head = after
    for message in messages:
        linked(head, message)
        head = message.head
    return messages


class Chain:
    """The look at each link for somebody who follows. `whole`: it is one whole subject; others have no chain."""

    def __init__(self, *, whole: bool, after_seq: int) -> None:
        self._whole = whole
        self._head = START if after_seq == 0 else None

    def next(self, message: Stored) -> Stored:
        """Raises BrokenChain. What stood before the first message is unknown when it is not the subject's first."""
        if self._whole and self._head is not None:
            linked(self._head, message)
        self._head = message.head
        return message


def parked(reader: ReaderSpec, subject: str, seq: int, deliveries: int, reason: str, body: bytes) -> MessageParked:
    return MessageParked(
        stream=reader.stream,
        subject=subject,
        seq=seq,
        deliveries=deliveries,
        reason=reason,
        body=body.decode("utf-8", "backslashreplace"),
        reader=reader.name,
    )


def _text(fact: Fact) -> str:
    return msgspec.json.encode(fact).decode()

"""Events: CloudEvents 1.0 JSON whose `data` is a typed fact, chained by digest within a subject.

Stored facts only grow: a new field has a default, a changed meaning is a new type. `tests/unit/golden` holds every
version that was ever written, and each must load.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import msgspec

from folkmoot.kernel.errors import BrokenChain, InvalidInput, NotFound

MAX_EVENT_BYTES = 64 * 1024
"""Larger bodies go to the artifact store; events carry references."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. Subclasses name their CloudEvents `type`."""

    type_name: ClassVar[str]


class Erased(Fact, frozen=True, kw_only=True):
    """A tombstone: all that its subject held before it was taken away, on purpose.

    It is chained to the last event that is gone, so an export of what was erased can still be told from another.
    """

    type_name: ClassVar[str] = "folkmoot.erased.v1"
    actor: str
    reason: str
    events: int
    """How many are gone."""
    head: str
    """Digest of the last of them."""
    sha256: str
    """Over their stored bytes, one after the other, each with a line feed behind it."""
    at: datetime


class Unread(Fact, frozen=True, kw_only=True):
    """Never stored: stands in a list for a body that is no event of ours, or one of another version."""

    type_name: ClassVar[str] = "folkmoot.unread.v1"
    reason: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The CloudEvents envelope.

    `prevdigest` is ours: SHA-256 of the previous message of the subject, empty for the first.
    """

    id: str
    source: str
    """The service that wrote it, as `/orchestrator/<instance>`."""
    type: str
    subject: str
    time: datetime
    data: Fact
    specversion: str = "1.0"
    datacontenttype: str = "application/json"
    traceparent: str = ""
    prevdigest: str = ""


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: msgspec.Raw
    specversion: str = "1.0"
    datacontenttype: str = "application/json"
    traceparent: str = ""
    prevdigest: str = ""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the log gave it back."""

    seq: int
    """The stream's sequence: the fence for the next append to this subject."""
    digest: str
    event: Event

    @property
    def head(self) -> "Head":
        return Head(seq=self.seq, digest=self.digest)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subject ends, as its writer knows it."""

    seq: int = 0
    """0: nothing has been written to the subject."""
    digest: str = ""


START = Head()

_decode_wire = msgspec.json.Decoder(_Wire).decode


class Codec:
    """Encodes and decodes the facts that it was given, by their `type_name`."""

    def __init__(self, *facts: type[Fact]) -> None:
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {f.type_name: msgspec.json.Decoder(f) for f in facts}

    @property
    def types(self) -> frozenset[str]:
        """All that it knows, as CloudEvents types."""
        return frozenset(self._decoders)

    def encode(self, event: Event) -> bytes:
        """Raises InvalidInput when the event is too large for the log, or could not be read again."""
        if event.type not in self._decoders:
            raise InvalidInput("type", f"{event.type!r} is no known event")
        body = msgspec.json.encode(event)
        if len(body) > MAX_EVENT_BYTES:
            raise InvalidInput("data", f"an event of {len(body)} bytes; at most {MAX_EVENT_BYTES}")
        # What cannot be read again (an infinite number becomes null) would block its subject for ever.
        self.decode(body)
        return body

    def decode(self, body: bytes) -> Event:
        """Raises InvalidInput naming the field, also for a type that this version does not know."""
        try:
            wire = _decode_wire(body)
            decoder = self._decoders.get(wire.type)
            if decoder is None:
                raise InvalidInput("type", f"{wire.type!r} is no known event")
            data = decoder.decode(wire.data)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidInput("event", str(error)) from error
        return Event(
            id=wire.id,
            source=wire.source,
            type=wire.type,
            subject=wire.subject,
            time=wire.time,
            data=data,
            specversion=wire.specversion,
            datacontenttype=wire.datacontenttype,
            traceparent=wire.traceparent,
            prevdigest=wire.prevdigest,
        )


def body_digest(body: bytes) -> str:
    """The link of the chain: SHA-256 of the stored bytes, hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def follows(previous: Head, stored: Stored) -> None:
    """For folds. Raises BrokenChain unless `stored` is the next message after `previous` on its subject, NotFound with
    its words when it is a tombstone: there is nothing left to fold."""
    linked(previous, stored)
    if isinstance(stored.event.data, Erased):
        name, gone = stored.event.subject.rpartition(".")[2], stored.event.data
        raise NotFound(f"{name} was erased on {timestamp(gone.at)} by {gone.actor}: {gone.reason}")


def linked(previous: Head, stored: Stored) -> None:
    """As `follows`, for readers: a tombstone may stand in the place of any events, if it is chained to their last."""
    gone = stored.event.data
    if stored.event.prevdigest != (gone.head if isinstance(gone, Erased) else previous.digest):
        raise BrokenChain(
            f"{stored.event.subject}: message {stored.seq} does not follow message {previous.seq}; "
            "something between them was lost or changed"
        )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

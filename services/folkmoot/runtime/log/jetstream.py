"""The few JetStream requests that the adapters share, and what their answers look like."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.msg import Msg

from folkmoot.kernel.errors import Unavailable
from folkmoot.runtime.log.wire import Refused, Wire

SECOND = 1_000_000_000
"""The API counts nanoseconds."""
RECORD = "Folkmoot-Record"
"""Header of a message that only records what happened elsewhere, or that something was taken away: followers and folds
see it, durable readers pass it by, so that nobody acts on it."""


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message, before it is understood."""

    subject: str
    seq: int
    body: bytes
    headers: Mapping[str, str] = {}
    at: str = ""
    """When it was stored: RFC 3339, UTC, to the nanosecond."""

    @property
    def pending(self) -> int:
        """How many more the batch had that this message came in."""
        return int(self.headers.get("Nats-Num-Pending", "0"))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a consumer's message stands: told by its reply subject."""

    stream: str
    consumer: str
    deliveries: int
    seq: int
    consumer_seq: int

    @classmethod
    def of(cls, msg: Msg) -> "Place":
        """`$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>.<seq>.<consumer seq>.<time>.<pending>[.…]`"""
        tokens = msg.reply.split(".")
        fields = tokens[2:] if len(tokens) == 9 else tokens[4:]
        return cls(
            stream=fields[0],
            consumer=fields[1],
            deliveries=int(fields[2]),
            seq=int(fields[3]),
            consumer_seq=int(fields[4]),
        )


async def leader_get(wire: Wire, stream: str, request: Mapping[str, object]) -> Raw | None:
    """One message, from the stream's leader: whoever appended before us is seen. Raises as `Wire.call`."""
    try:
        answer = await wire.api(f"$JS.API.STREAM.MSG.GET.{stream}", request)
    except Refused as refusal:
        if refusal.not_found:
            return None
        raise Unavailable(str(refusal)) from refusal
    return _from_leader(answer["message"])


async def direct_get(wire: Wire, stream: str, request: Mapping[str, object]) -> list[Raw]:
    """A batch, at the cost of one request. In a cluster a follower may answer and be behind. Raises as `Wire.batch`."""
    messages = await wire.batch(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(request))
    return [_from_direct(msg) for msg in messages]


async def direct_pages(wire: Wire, stream: str, request: Mapping[str, object], *, start: int = 0) -> list[Raw]:
    """All batches from stream sequence `start` on. `request` names subjects and batch size."""
    found: list[Raw] = []
    while True:
        page = await direct_get(wire, stream, {**request, **({"seq": start} if start else {})})
        found += page
        if not page or not page[-1].pending:
            return found
        start = page[-1].seq + 1


async def subject_counts(wire: Wire, stream: str, pattern: str) -> dict[str, int]:
    """How many messages each exact subject under `pattern` holds, if any; a page at a time. Raises as `Wire.api`."""
    counts: dict[str, int] = {}
    while True:
        request = {"subjects_filter": pattern, "offset": len(counts)}
        answer = await wire.api(f"$JS.API.STREAM.INFO.{stream}", request)
        page = answer["state"].get("subjects") or {}
        counts |= page
        if not page or len(counts) >= answer.get("total", 0):
            return counts


def headers(stream: str, ident: str) -> dict[str, str]:
    """Of every publish: into this stream or not at all, and recognisable when repeated."""
    return {"Nats-Expected-Stream": stream, "Nats-Msg-Id": ident}


def fenced(stream: str, ident: str, seq: int) -> dict[str, str]:
    """Only if the subject's last message has stream sequence `seq`; 0 is none."""
    return headers(stream, ident) | {"Nats-Expected-Last-Subject-Sequence": str(seq)}


def _from_direct(msg: Msg) -> Raw:
    found = msg.headers or {}
    return Raw(
        subject=found["Nats-Subject"],
        seq=int(found["Nats-Sequence"]),
        body=msg.data,
        headers=found,
        at=found["Nats-Time-Stamp"],
    )


def _from_leader(message: Mapping[str, Any]) -> Raw:
    return Raw(
        subject=message["subject"],
        seq=message["seq"],
        body=base64.b64decode(message.get("data") or ""),
        headers=_headers(base64.b64decode(message.get("hdrs") or "")),
        at=message["time"],
    )


def _headers(block: bytes) -> dict[str, str]:
    lines = block.decode("utf-8", "replace").split("\r\n")[1:]
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}

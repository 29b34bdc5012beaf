"""What the admin user alone may do with a log: read and write events as they are stored, erase them, drop artifacts.

Services never do any of this; `platform/archive` does, for a person or for the retention that one has set.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from folkmoot.kernel.errors import Conflict, FailedPrecondition, Unavailable
from folkmoot.kernel.events import START, Stored
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.jetstream import (
    RECORD,
    Raw,
    direct_get,
    direct_pages,
    fenced,
    leader_get,
    subject_counts,
)
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.nats_artifacts import meta_subject, named_by, pieces_subject, stored_at
from folkmoot.runtime.log.wire import Refused

_PAGE = {"batch": 500, "max_bytes": 4 * 1024 * 1024}


class Keeper:
    """Over a bus that is connected as the user `platform`."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self._wire = bus.wire

    # --- events -----------------------------------------------------------------------------------------------

    async def raw(self, subject: str) -> list[Raw]:
        """All messages of one exact subject, in order, unread."""
        stream = topology.stream_of(subject).name
        return await direct_pages(self._wire, stream, {"next_by_subj": subject, **_PAGE}, start=1)

    async def messages(self, stream: str) -> AsyncGenerator[Raw, None]:
        """All of a stream, a page at a time."""
        start = 1
        while page := await direct_get(self._wire, stream, {"next_by_subj": ">", **_PAGE, "seq": start}):
            for raw in page:
                yield raw
            start = page[-1].seq + 1

    async def names(self, pattern: str) -> list[str]:
        """Exact subjects under `pattern`, sorted."""
        return sorted(await self._counts(topology.stream_of(pattern).name, pattern))

    async def half_erased(self, pattern: str) -> list[str]:
        """Subjects with a tombstone behind events that are still there."""
        counts = await self._counts(topology.stream_of(pattern).name, pattern)
        kept = {stored.event.subject for stored in await self.bus.log.lasts(pattern)}
        return sorted(name for name, count in counts.items() if count > 1 and name not in kept)

    async def waiting(self, queue: str) -> int:
        """Messages of a work queue that are not settled."""
        return int((await self._info(queue))["state"]["messages"])

    async def record(self, subject: str, body: bytes, *, ident: str, after_seq: int, mark: str) -> int:
        """Append stored bytes as they are behind `after_seq` (0: none); says its sequence. Durable readers pass it by.

        Raises Conflict when somebody else appended there, also when `ident` was just used for something else.
        """
        headers = fenced(topology.stream_of(subject).name, ident, after_seq) | {RECORD: mark}
        try:
            ack = await self._wire.store(subject, body, headers)
        except Refused as refusal:
            if not refusal.fence:
                raise Unavailable(str(refusal)) from refusal
        else:
            if not ack.duplicate:
                return ack.seq
        stream = topology.stream_of(subject).name
        there = await leader_get(self._wire, stream, {"seq": after_seq + 1, "next_by_subj": subject})
        if there is None or there.body != body:
            raise Conflict(f"{subject}: something else stands behind {after_seq}")
        return there.seq

    async def require_erasable(self) -> None:
        """Raises FailedPrecondition when this log was made by a version that could not forget."""
        for spec in (topology.AGILE, topology.DELIBERATIONS, topology.STEPS):
            if (await self._info(spec.name))["config"].get("deny_delete"):
                raise FailedPrecondition(
                    "sealed", f"stream {spec.name} is older than erasing: `moot backup`, then `moot restore`, renews it"
                )

    async def erase(self, messages: Sequence[Raw]) -> int:
        """Delete them for good: the server writes over their bytes. Says how many were still there.

        The last one first: what is left at any moment is a whole chain up to somewhere.
        """
        done = 0
        for raw in reversed(messages):
            done += await self._delete(topology.stream_of(raw.subject).name, raw.seq)
        return done

    async def _delete(self, stream: str, seq: int) -> int:
        try:
            await self._wire.api(f"$JS.API.STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": False})
        except Refused as refusal:
            if await leader_get(self._wire, stream, {"seq": seq}) is not None:
                raise Unavailable(str(refusal)) from refusal
            return 0
        return 1

    async def _info(self, stream: str) -> dict[str, Any]:
        try:
            return await self._wire.api(f"$JS.API.STREAM.INFO.{stream}", {})
        except Refused as refusal:
            raise Unavailable(str(refusal)) from refusal

    async def _counts(self, stream: str, pattern: str) -> dict[str, int]:
        try:
            return await subject_counts(self._wire, stream, pattern)
        except Refused as refusal:
            raise Unavailable(str(refusal)) from refusal

    # --- artifacts --------------------------------------------------------------------------------------------

    async def artifacts(self) -> list[str]:
        """Digests of all that the bucket holds, half written ones included."""
        stream = topology.OBJECTS.name
        metas = await self._counts(stream, f"$O.{topology.BUCKET}.M.*")
        pieces = await self._counts(stream, f"$O.{topology.BUCKET}.C.*")
        return sorted({named_by(name) for name in metas} | {name.rpartition(".")[2] for name in pieces})

    async def wanted_at(self, sha256: str) -> datetime | None:
        """When somebody last put it, whole or in part; None when it is gone."""
        for subject in (meta_subject(sha256), pieces_subject(sha256)):
            last = await leader_get(self._wire, topology.OBJECTS.name, {"last_by_subj": subject})
            if last is not None:
                return stored_at(last)
        return None

    async def drop(self, sha256: str) -> None:
        """Take an artifact away for good; and put it back, if somebody put it meanwhile and heard that it is there."""
        name, body = meta_subject(sha256), b"".join([raw.body for raw in await self._objects(pieces_subject(sha256))])
        for subject in (name, pieces_subject(sha256)):
            await self._delete_all(subject)
        if await leader_get(self._wire, topology.OBJECTS.name, {"last_by_subj": name}) is not None:
            await self._delete_all(name)
            await self.bus.artifacts.put(body)

    async def _delete_all(self, subject: str) -> None:
        for raw in await self._objects(subject):
            await self._delete(topology.OBJECTS.name, raw.seq)

    async def _objects(self, subject: str) -> list[Raw]:
        return await direct_pages(self._wire, topology.OBJECTS.name, {"next_by_subj": subject, "batch": 16}, start=1)


def understood(messages: Sequence[Raw]) -> list[Stored]:
    """Events of one whole subject. Raises InvalidInput for what is none, BrokenChain where a link is missing."""
    return envelope.chained([envelope.placed(raw.seq, raw.body, raw.subject) for raw in messages], START)

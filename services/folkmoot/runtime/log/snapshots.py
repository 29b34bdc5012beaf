"""Whole streams out of a server and into another, in the server's own form, while it runs. As the admin user.

A stream is taken at one moment, several are not: whoever puts them back mends what differs (`platform/archive`).
"""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from folkmoot.kernel.errors import Misconfigured, Unavailable
from folkmoot.runtime.log.topology import StreamSpec
from folkmoot.runtime.log.wire import Inbox, Wire, status

_PIECE = 256 * 1024
_END = 204
"""Of a snapshot of many pieces; one of few ends with an empty message alone."""
_SILENCE_S = 60.0
"""Between two pieces: the server reads its disk meanwhile."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream was when it was asked for; more may have come before it was taken."""

    messages: int
    last_seq: int


async def take(wire: Wire, stream: str, out: BinaryIO) -> Taken:
    """Write a snapshot of `stream`, without its readers: what is put back is handed out anew.

    Raises Unavailable when it breaks off.
    """
    subject = f"$JS.API.STREAM.SNAPSHOT.{stream}"
    async with wire.inbox(subject) as pieces:
        request = {"deliver_subject": pieces.subject, "no_consumers": True, "chunk_size": _PIECE}
        state = (await _once(wire, subject, json.dumps(request).encode()))["state"]
        await _drain(wire, pieces, out)
    return Taken(messages=state["messages"], last_seq=state["last_seq"])


async def put(wire: Wire, spec: StreamSpec, taken: Taken, body: BinaryIO) -> int:
    """Make the stream anew from a snapshot, under today's configuration; says how many messages it has.

    Raises Misconfigured when it is there already, or the snapshot is none or cut short, Unavailable.
    """
    request = {"config": spec.config(), "state": {"messages": taken.messages}}
    answer = await _once(wire, f"$JS.API.STREAM.RESTORE.{spec.name}", json.dumps(request).encode())
    subject = answer["deliver_subject"]
    while piece := body.read(_PIECE):
        await _once(wire, subject, piece)
    state = (await _once(wire, subject, b""))["state"]
    if state["last_seq"] < taken.last_seq:
        raise Misconfigured(f"stream {spec.name}: the snapshot ends at {state['last_seq']}, not at {taken.last_seq}")
    return int(state["messages"])


async def _drain(wire: Wire, pieces: Inbox, out: BinaryIO) -> None:
    while True:
        msg = await pieces.next(_SILENCE_S)
        if status(msg) not in (0, _END):
            said = (msg.headers or {}).get("Description", "")
            raise Unavailable(f"{pieces.about}: it broke off ({status(msg)} {said})")
        if not msg.data:
            return
        out.write(msg.data)
        if msg.reply:
            await wire.publish(msg.reply)


async def _once(wire: Wire, subject: str, body: bytes) -> Mapping[str, Any]:
    """Ask, and never again: a repeated piece would be there twice. Raises Misconfigured, Unavailable."""
    with wire.replies(subject) as inbox:
        await wire.publish(subject, body, reply=inbox.subject)
        msg = await inbox.next(_SILENCE_S)
    answer: Mapping[str, Any] = json.loads(msg.data) if msg.data else {}
    if error := answer.get("error"):
        raise Misconfigured(f"{subject}: {error.get('description', error)}")
    if status(msg):
        raise Unavailable(f"{subject}: {(msg.headers or {}).get('Description', status(msg))}")
    return answer

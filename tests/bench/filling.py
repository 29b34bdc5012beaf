"""A log with a long past: ended tasks written straight into the stream, hundreds on their way at a time."""

import asyncio
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.subscription import Subscription

from folkmoot.kernel import subjects
from folkmoot.kernel.events import START, Fact, Head, Stored, body_digest
from folkmoot.kernel.facts import DeliberationEnded, DeliberationRequested
from folkmoot.kernel.ids import TaskId
from folkmoot.platform.place import PlatformInfo
from folkmoot.runtime.log import envelope
from folkmoot.runtime.log.jetstream import headers
from folkmoot.runtime.log.topology import stream_of
from tests.chaos import processes

UNDER_WAY = 500
"""Messages that are not acknowledged yet: the server writes each to the disk."""
_ACK_S = 30.0
_READERS = ("planning", "context")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    ident: str
    body: bytes


async def fill(nats: Nats, example: Sequence[Stored], numbers: range) -> None:
    """Append that many ended tasks, each the first and the last event of `example`. Raises SystemExit when the log
    refuses one."""
    messages = (message for number in numbers for message in _ended(example, TaskId(f"t-filler-{number}")))
    inbox = nats.new_inbox()
    acks = await nats.subscribe(inbox)
    while batch := list(islice(messages, UNDER_WAY)):
        for message in batch:
            named = headers(stream_of(message.subject).name, message.ident)
            await nats.publish(message.subject, message.body, reply=inbox, headers=named)
        await _acknowledged(acks, len(batch))
    await acks.unsubscribe()


async def _acknowledged(acks: Subscription, count: int) -> None:
    async with asyncio.timeout(_ACK_S):
        for _ in range(count):
            answer = json.loads((await acks.next_msg(timeout=_ACK_S)).data)
            if "error" in answer:
                raise SystemExit(f"the log refuses what it is filled with: {answer['error']}")


def _ended(example: Sequence[Stored], task: TaskId) -> Iterator[Message]:
    requested, ended = example[0].event.data, example[-1].event.data
    assert isinstance(requested, DeliberationRequested)
    assert isinstance(ended, DeliberationEnded)
    spec = msgspec.structs.replace(requested.spec, task_id=task)
    result = msgspec.structs.replace(ended.result, task_id=task)
    facts = (msgspec.structs.replace(requested, spec=spec), msgspec.structs.replace(ended, result=result))
    return _chained(subjects.deliberation(task), facts)


def _chained(subject: str, facts: Sequence[Fact]) -> Iterator[Message]:
    head, now = START, datetime.now(UTC)
    for number, fact in enumerate(facts):
        ident = envelope.message_id(subject, fact, source="/bench", key=str(number))
        event = envelope.envelope(subject, fact, source="/bench", time=now, ident=ident, after=head)
        body = envelope.encoded(event)
        head = Head(digest=body_digest(body))
        yield Message(subject=subject, ident=ident, body=body)


@contextmanager
def readers_asleep(platform: PlatformInfo) -> Iterator[None]:
    """Whoever reads the whole log stands still: what they would catch up with is not what is measured."""
    asleep = [processes.part(platform, name) for name in _READERS]
    try:
        for process in asleep:
            processes.kill(process, signal.SIGSTOP)
        yield
    finally:
        for process in asleep:
            processes.kill(process, signal.SIGCONT)

"""What people decided, written into the log: once, however often it is said under one key."""

import secrets
from collections.abc import Awaitable, Callable

import msgspec

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.context import request as asked
from folkmoot.context.projection.fleet import content_digest, decision_node
from folkmoot.kernel import ids, subjects
from folkmoot.kernel.errors import AlreadyExists, Conflict, InvalidInput
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import DecisionRecorded
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.graph.port import Graph
from folkmoot.runtime.log.port import Log
from folkmoot.runtime.redact import redacted
from folkmoot.runtime.supervise import patiently

MAX_TITLE_CHARS = 200
MAX_TEXT_CHARS = 8_000
MAX_ACTOR_CHARS = 200
MAX_KEY_CHARS = 200
MAX_FACT_BYTES = 48 * 1024
"""Many long paths could make an event that no log takes."""

Reached = Callable[[str, int], Awaitable[None]]
"""Returns once the events of a subject up to a sequence are in the graph."""


class Recorder:
    """The only writer of `fleet.events.decisions`; any number of replicas may write."""

    def __init__(self, log: Log, graph: Graph, reached: Reached) -> None:
        self._log = log
        self._graph = graph
        self._reached = reached

    async def record(self, wire: pb.RecordDecisionRequest) -> str:
        """The id of the decision's node. Raises InvalidInput, AlreadyExists."""
        fact = _fact(wire)
        while True:
            last = await patiently(lambda: self._log.last(subjects.DECISIONS))
            await self._reached(subjects.DECISIONS, last.seq if last else 0)
            if await self._stands(fact):
                return decision_node(fact.decision_id)
            head = last.head if last else START
            try:
                await patiently(lambda: self._log.append(subjects.DECISIONS, fact, after=head))  # noqa: B023 -- awaited
            except Conflict:
                continue
            return decision_node(fact.decision_id)

    async def _stands(self, fact: DecisionRecorded) -> bool:
        """The graph knows all that stands behind the fence. Raises AlreadyExists."""
        known = await self._graph.node(decision_node(fact.decision_id))
        if known is None:
            return False
        if known.properties.get("digest") != content_digest(fact):
            raise AlreadyExists("a decision with other content has this idempotency key: use another one")
        return True


def _fact(wire: pb.RecordDecisionRequest) -> DecisionRecorded:
    """Secrets are replaced: the log keeps what it is told for ever. Raises InvalidInput naming the field."""
    if len(wire.idempotency_key) > MAX_KEY_CHARS:
        raise InvalidInput("idempotency_key", f"{len(wire.idempotency_key)} characters; at most {MAX_KEY_CHARS}")
    fact = DecisionRecorded(
        decision_id=ids.derived("d", wire.idempotency_key or secrets.token_hex(16)),
        actor=_said("actor", wire.actor, MAX_ACTOR_CHARS),
        title=_said("title", wire.title, MAX_TITLE_CHARS),
        text=_said("text", wire.text, MAX_TEXT_CHARS),
        repository=redacted(asked.repository(wire.repository)),
        paths=asked.paths(wire.paths),
        story_id=StoryId(ids.token(wire.story_id, "story_id") if wire.story_id else ""),
        task_id=TaskId(ids.token(wire.task_id, "task_id") if wire.task_id else ""),
    )
    if "\n" in fact.title:
        raise InvalidInput("title", "is more than one line")
    size = len(msgspec.json.encode(fact))
    if size > MAX_FACT_BYTES:
        raise InvalidInput("paths", f"the decision takes {size} bytes; at most {MAX_FACT_BYTES}")
    return fact


def _said(field: str, value: str, limit: int) -> str:
    if not value.strip():
        raise InvalidInput(field, "is empty")
    if len(value) > limit:
        raise InvalidInput(field, f"{len(value)} characters; at most {limit}")
    if "\x00" in value:
        raise InvalidInput(field, "holds a NUL character")
    return redacted(value)

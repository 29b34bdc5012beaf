"""Takes deliberations from the queue and carries them, several at a time; turns released tasks into requests."""

import logging
import secrets
from contextlib import aclosing

from folkmoot.kernel import story as stories
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import (
    AlreadyExists,
    BrokenChain,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    ResourceExhausted,
)
from folkmoot.kernel.events import Event, Stored
from folkmoot.kernel.facts import DeliberationQueued, StoryCancelled, TaskReleased
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.orchestrator.owner import Owner
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.port import Delivery
from folkmoot.runtime.log.replays import replaying

log = logging.getLogger(__name__)

ROOM_S = 5.0
"""Between two looks of a released task for room."""


class Worker:
    """`name` tells this orchestrator from its replicas."""

    def __init__(self, name: str, parts: Parts, desk: Desk, *, max_deliver: int) -> None:
        self._name = name
        self._parts = parts
        self._desk = desk
        self._max_deliver = max_deliver
        self.running = 0
        """Deliberations that this process carries now."""

    async def carry_requests(self) -> None:
        """One deliberation after the other, for ever; run several of these for several at once."""
        await consume(
            self._parts.queues.deliveries("orchestrator-requests"),
            self._carry,
            max_deliver=self._max_deliver,
            give_up=self._give_up,
        )

    async def follow_stories(self) -> None:
        """Released tasks become requests, cancelled stories cancel theirs; for ever."""
        deliveries = self._parts.queues.deliveries("orchestrator-stories")
        await consume(deliveries, self._on_story, max_deliver=self._max_deliver)

    async def follow_replays(self) -> None:
        """What a person has replayed of stories; for ever."""
        deliveries = self._parts.queues.deliveries("orchestrator-replays")
        again = replaying({"orchestrator-stories": self._on_story_again})
        await consume(deliveries, again, max_deliver=self._max_deliver)

    async def _carry(self, delivery: Delivery) -> None:
        spec = _spec(delivery)
        await request(self._parts.log, spec)
        self.running += 1
        try:
            await (await self._owner(spec)).carry()
        finally:
            self.running -= 1

    async def _give_up(self, delivery: Delivery, reason: str) -> None:
        """The task ends all the same, and says why; unless it is another one, which only has the same key."""
        spec = _spec(delivery)
        try:
            await request(self._parts.log, spec)
        except AlreadyExists:
            return
        await (await self._owner(spec)).give_up(f"given up after {delivery.attempt} tries: {reason}")

    async def _owner(self, spec: TaskSpec) -> Owner:
        # Another name each time: a delivery that comes twice may have two takers in this one process.
        owner = f"{self._name}/{secrets.token_hex(3)}"
        journal = await Journal.take(self._parts.log, subjects.deliberation(spec.task_id), owner)
        return Owner(self._parts.within(spec.repository), journal)

    async def _on_story(self, delivery: Delivery) -> None:
        """Done twice is done once."""
        stored = delivery.stored
        match stored.event.data:
            case TaskReleased(spec=spec):
                await self._accept(stored, spec)
            case StoryCancelled():
                await self._cancel_all(stored.event)

    async def _on_story_again(self, stored: Stored) -> None:
        """Long after it was written: what was cancelled since does not begin."""
        match stored.event.data:
            case TaskReleased(spec=spec):
                while not await self._accepted(stored, spec):
                    await self._parts.clock.sleep(ROOM_S)
            case StoryCancelled():
                await self._cancel_all(stored.event)

    async def _accept(self, stored: Stored, spec: TaskSpec) -> None:
        """A release that finds no room waits for it, and those behind it wait too: nothing is lost or parked for that,
        and nothing grows. What is cancelled meanwhile is cancelled at once."""
        try:
            await self._desk.accept(spec)
        except ResourceExhausted as full:
            log.warning("%s waits: %s", spec.task_id, full, extra={"action": "back-pressure"})
        else:
            return
        async with beside(self._cancels(stored.seq), name=f"cancels behind {spec.task_id}"):
            while not await self._accepted(stored, spec):
                await self._parts.clock.sleep(ROOM_S)

    async def _accepted(self, stored: Stored, spec: TaskSpec) -> bool:
        """Whether there is nothing left to wait for."""
        events = await self._parts.log.read(stored.event.subject)
        if any(isinstance(e.event.data, StoryCancelled) for e in events):
            return True
        try:
            await self._desk.accept(spec)
        except ResourceExhausted:
            return False
        return True

    async def _cancels(self, after_seq: int) -> None:
        async with aclosing(self._parts.log.follow(subjects.ALL_STORIES, after_seq=after_seq)) as events:
            async for stored in events:
                if isinstance(stored.event.data, StoryCancelled):
                    await self._cancel_ahead(stored.event)

    async def _cancel_ahead(self, event: Event) -> None:
        """Before its turn: what cannot be read is then the reader's to park."""
        try:
            await self._cancel_all(event)
        except (NotFound, BrokenChain) as error:
            log.warning("%s: %s", event.subject, error, extra={"action": "unreadable"})

    async def _cancel_all(self, event: Event) -> None:
        """The tasks of a story that somebody cancelled."""
        assert isinstance(event.data, StoryCancelled)
        story = stories.fold(await self._parts.log.read(event.subject))
        for task_id in story.tasks:
            await self._cancel(task_id, event.data.reason)

    async def _cancel(self, task_id: TaskId, reason: str) -> None:
        try:
            await self._desk.cancel(task_id, actor="story", reason=reason)
        except (NotFound, FailedPrecondition):
            log.info("%s had ended before its story was cancelled", task_id)


def _spec(delivery: Delivery) -> TaskSpec:
    fact = delivery.stored.event.data
    if not isinstance(fact, DeliberationQueued):
        raise InvalidInput("type", f"{delivery.stored.event.type} is no request")
    return fact.spec

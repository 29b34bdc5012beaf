"""Takes deliberations from the queue and carries them, several at a time; turns released tasks into requests."""

import logging
import secrets

from folkmoot.kernel import story as stories
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.facts import DeliberationQueued, StoryCancelled, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.orchestrator.owner import Owner, Parts
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.port import Delivery

log = logging.getLogger(__name__)


class Worker:
    """`name` tells this orchestrator from its replicas."""

    def __init__(self, name: str, parts: Parts, desk: Desk, *, max_deliver: int) -> None:
        self._name = name
        self._parts = parts
        self._desk = desk
        self._max_deliver = max_deliver

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

    async def _carry(self, delivery: Delivery) -> None:
        spec = _spec(delivery)
        await request(self._parts.log, spec)
        await (await self._owner(spec)).carry()

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
        return Owner(self._parts, journal)

    async def _on_story(self, delivery: Delivery) -> None:
        match delivery.stored.event.data:
            case TaskReleased(spec=spec):
                await self._desk.accept(spec)
            case StoryCancelled(reason=reason):
                story_id = StoryId(delivery.stored.event.subject.rpartition(".")[2])
                story = stories.fold(await self._parts.log.read(subjects.story(story_id)))
                for task_id in story.tasks:
                    await self._cancel(task_id, reason)

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

"""Stories: taken in, planned as one task, released, decided, accepted or sent back.

The log is all the state there is.
"""

import secrets

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import ids, story, subjects
from folkmoot.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from folkmoot.kernel.events import START, Fact, Head
from folkmoot.kernel.facts import DeliberationEnded, StoryPlanned, StorySubmitted, TaskDecided, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.story import Story
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.runtime.grpc.results import spec_from_wire
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.port import Delivery, Log, Queues
from folkmoot.runtime.supervise import patiently

MAX_KEY_CHARS = 200
MAX_ACTOR_CHARS = 200


class Stories:
    """The only writer of `agile.events.*`."""

    def __init__(self, log: Log, queues: Queues, *, max_deliver: int) -> None:
        self._log = log
        self._queues = queues
        self._max_deliver = max_deliver

    async def create(self, task: orchestrator.Task, *, idempotency_key: str, actor: str) -> Story:
        """Submit, plan and release. Raises InvalidInput, AlreadyExists."""
        if len(idempotency_key) > MAX_KEY_CHARS:
            raise InvalidInput("idempotency_key", f"{len(idempotency_key)} characters; at most {MAX_KEY_CHARS}")
        story_id = StoryId(ids.derived("s", idempotency_key or secrets.token_hex(16)))
        spec = spec_from_wire(task, TaskId(ids.derived("t", story_id, "1")), story_id)
        await self._submit(spec, actor[:MAX_ACTOR_CHARS] or "unknown")
        return await self._released(story_id)

    async def _submit(self, spec: TaskSpec, actor: str) -> None:
        fact = _submitted(spec, actor)
        try:
            await patiently(lambda: self._log.append(subjects.story(spec.story_id), fact, after=START))
        except Conflict:
            known = await self.find(spec.story_id)
            if known.submitted.digest != fact.digest:
                raise AlreadyExists(
                    f"story {spec.story_id} exists with other content: use another idempotency key"
                ) from None

    async def _released(self, story_id: StoryId) -> Story:
        """Bring a submitted story to its release, from wherever it stands; repeating it is fine."""
        while True:
            current = await self.find(story_id)
            fact = _next(current)
            if fact is None:
                return current
            await self._append(story_id, fact, current.head)

    async def _append(self, story_id: StoryId, fact: Fact, head: Head) -> bool:
        """False when somebody else was first: fold again."""
        try:
            await patiently(lambda: self._log.append(subjects.story(story_id), fact, after=head))
        except Conflict:
            return False
        return True

    async def resume(self) -> None:
        """Finish what a predecessor began and did not release."""
        for last in await self._log.lasts(subjects.ALL_STORIES):
            if isinstance(last.event.data, (StorySubmitted, StoryPlanned)):
                await self._released(StoryId(last.event.subject.rpartition(".")[2]))

    async def find(self, story_id: str) -> Story:
        """Raises NotFound, InvalidInput."""
        events = await self._log.read(subjects.story(StoryId(ids.token(story_id, "story_id"))))
        if not events:
            raise NotFound(f"there is no story {story_id}")
        return story.fold(events)

    async def newest(self, *, before: int | None, size: int) -> tuple[list[Story], int | None]:
        """A page of stories by their last change, and where the next page begins."""
        lasts = [s for s in await self._log.lasts(subjects.ALL_STORIES) if before is None or s.seq < before]
        page = sorted(lasts, key=lambda s: s.seq, reverse=True)[:size]
        found = [await self.find(s.event.subject.rpartition(".")[2]) for s in page]
        return found, page[-1].seq if len(lasts) > len(page) else None

    async def transition(self, story_id: str, wish: story.Wish, *, actor: str, reason: str) -> Story:
        """Raises FailedPrecondition naming the guard, NotFound, InvalidInput."""
        while True:
            current = await self.find(story_id)
            fact = story.transition(current, wish, actor=actor[:MAX_ACTOR_CHARS] or "unknown", reason=reason)
            if await self._append(current.story_id, fact, current.head):
                return await self.find(story_id)

    async def follow_decisions(self) -> None:
        """A deliberation's end becomes an event of its story; for ever."""
        deliveries = self._queues.deliveries("planning-decisions")
        await consume(deliveries, self._on_decision, max_deliver=self._max_deliver)

    async def _on_decision(self, delivery: Delivery) -> None:
        end = delivery.stored.event.data
        if not isinstance(end, DeliberationEnded) or not end.result.story_id:
            return
        result = end.result
        commit = result.winner.commit if result.winner else None
        fact = TaskDecided(task_id=result.task_id, state=result.state, commit=commit)
        while True:
            current = await self.find(result.story_id)
            if result.task_id in current.decided or story.refusal(current, fact):
                return
            if await self._append(current.story_id, fact, current.head):
                return


def _submitted(spec: TaskSpec, actor: str) -> StorySubmitted:
    return StorySubmitted(
        actor=actor,
        title=spec.title,
        text=spec.text,
        repository=spec.repository,
        base_ref=spec.base_ref,
        checks=spec.checks,
        agents=spec.agents,
        rigor=spec.rigor,
        model=spec.model,
        workspace=spec.workspace,
        budget=spec.budget,
        digest=digest(spec),
    )


def _next(current: Story) -> Fact | None:
    """The event that brings a submitted story closer to its release; None when it is there."""
    task_id = TaskId(ids.derived("t", current.story_id, "1"))
    match current.state:
        case story.StoryState.SUBMITTED:
            return StoryPlanned(tasks=(task_id,), how="single")
        case story.StoryState.PLANNED:
            return TaskReleased(spec=_spec(current, task_id))
        case _:
            return None


def _spec(current: Story, task_id: TaskId) -> TaskSpec:
    submitted = current.submitted
    return TaskSpec(
        task_id=task_id,
        story_id=current.story_id,
        title=submitted.title,
        text=submitted.text,
        repository=submitted.repository,
        base_ref=submitted.base_ref,
        checks=submitted.checks,
        agents=submitted.agents,
        rigor=submitted.rigor,
        model=submitted.model,
        workspace=submitted.workspace,
        budget=submitted.budget,
    )

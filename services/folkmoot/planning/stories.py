"""What callers may do with stories, and what carries stories on: the reader of their events, and of decisions."""

import secrets
from contextlib import aclosing

from folkmoot.kernel import ids, lifecycle, subjects, wishes
from folkmoot.kernel.due import Ask
from folkmoot.kernel.errors import Conflict, FailedPrecondition, InvalidInput
from folkmoot.kernel.events import Fact, Stored
from folkmoot.kernel.facts import (
    DeliberationEnded,
    DeliberationRequested,
    PlanRejected,
    StoryAssessed,
    TaskContinued,
    TaskDecided,
)
from folkmoot.kernel.ids import StoryId
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.plan import Plan, Planning, sound
from folkmoot.kernel.result import Result
from folkmoot.kernel.task import TaskKind, TaskSpec
from folkmoot.kernel.wishes import Wish, checked_reason
from folkmoot.planning.asking import endpoint
from folkmoot.planning.councils import Councils
from folkmoot.planning.journal import Decide, Journal
from folkmoot.planning.listing import Unreadable, newest
from folkmoot.planning.maker import Maker
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.port import Delivery, Log, Queues
from folkmoot.runtime.log.replays import replaying
from folkmoot.runtime.settings import ModelSettings

MAX_KEY_CHARS = 200
MAX_ACTOR_CHARS = 200
REASON_CHARS = 1_000


class Stories:
    def __init__(
        self,
        log: Log,
        queues: Queues,
        journal: Journal,
        maker: Maker,
        councils: Councils,
        configured: ModelSettings,
        *,
        max_deliver: int,
    ) -> None:
        self._log = log
        self._queues = queues
        self._journal = journal
        self._maker = maker
        self._councils = councils
        self._configured = configured
        self._max_deliver = max_deliver

    # --- what callers ask -----------------------------------------------------------------------------------------

    @staticmethod
    def new_id(idempotency_key: str) -> StoryId:
        """The same for the same key, for ever. Raises InvalidInput."""
        if len(idempotency_key) > MAX_KEY_CHARS:
            raise InvalidInput("idempotency_key", f"{len(idempotency_key)} characters; at most {MAX_KEY_CHARS}")
        return StoryId(ids.derived("s", idempotency_key or secrets.token_hex(16)))

    async def create(
        self,
        spec: TaskSpec,
        *,
        actor: str,
        planning: Planning = Planning.SINGLE,
        autopilot: bool = True,
        plan: Plan | None = None,
    ) -> Story:
        """Submit `spec`, the story as one task, and do all that needs no model. Raises InvalidInput, AlreadyExists."""
        if planning is Planning.MODEL:
            endpoint(spec.model, self._configured)
        if (plan is not None) is not (planning is Planning.GIVEN):
            raise InvalidInput("plan", "comes with planning `given`, and only with that")
        if spec.kind is TaskKind.ANALYSIS and planning is not Planning.SINGLE:
            raise InvalidInput("kind", "an analysis is one task: it goes with planning `single` alone")
        sound_plan = sound(plan, spec) if plan is not None else None
        fact = wishes.fitting(
            wishes.submission(spec, actor=_person(actor), planning=planning, autopilot=autopilot, plan=sound_plan)
        )
        await self._require_councils(spec, sound_plan)
        if planning is not Planning.SINGLE:
            return await self._journal.carried_on(await self._journal.submit(spec.story_id, fact), asking=False)
        async with self._journal.turn(spec.story_id):  # or a reader would do the same beside us, and slow both
            return await self._journal.carried_on(await self._journal.submit(spec.story_id, fact), asking=False)

    async def _require_councils(self, spec: TaskSpec, plan: Plan | None) -> None:
        """A story that is there is answered as it stands, whatever became of its councils. Raises InvalidInput."""
        try:
            await self._councils.require(spec, plan)
        except InvalidInput:
            if await self._log.last(subjects.story(spec.story_id)) is None:
                raise

    async def find(self, story_id: str) -> Story:
        """Raises NotFound, InvalidInput."""
        return await self._journal.find(story_id)

    async def newest(self, *, before: int | None, size: int) -> tuple[list[Story | Unreadable], int | None]:
        """A page of stories by their last change, and where the next page begins."""
        return await newest(self._log, self._journal, before=before, size=size)

    async def transition(
        self, story_id: str, wish: Wish, *, actor: str, reason: str, seen_round: int | None = None
    ) -> Story:
        """Raises FailedPrecondition naming the guard, NotFound, InvalidInput."""

        def decision(current: Story) -> Fact:
            lifecycle.expect_round(current, seen_round)
            return wishes.spoken(current, wish, actor=_person(actor), reason=reason)

        return await self._decided(story_id, decision)

    async def revise(
        self,
        story_id: str,
        *,
        actor: str,
        reason: str,
        title: str,
        text: str,
        checks: tuple[str, ...],
        superseded: tuple[str, ...] = (),
        gating: tuple[str, ...] = (),
        seen_round: int | None = None,
    ) -> Story:
        """Raises FailedPrecondition naming the guard, NotFound, InvalidInput."""
        words = {"actor": _person(actor), "reason": reason, "title": title, "text": text}

        def decision(current: Story) -> Fact:
            lifecycle.expect_round(current, seen_round)
            return wishes.revision(current, checks=checks, superseded=superseded, gating=gating, **words)

        return await self._decided(story_id, decision)

    async def approve(
        self,
        story_id: str,
        *,
        actor: str,
        reason: str,
        superseded: tuple[str, ...] = (),
        seen_revision: int | None = None,
    ) -> Story:
        """`superseded` joins the story's. Raises FailedPrecondition naming the guard, NotFound, InvalidInput."""

        def decision(current: Story) -> Fact:
            lifecycle.expect_revision(current, seen_revision)
            return wishes.approval(current, actor=_person(actor), reason=reason, superseded=superseded)

        return await self._decided(story_id, decision)

    async def reject(self, story_id: str, *, actor: str, reason: str, seen_revision: int | None = None) -> Story:
        """Raises FailedPrecondition naming the guard, NotFound, InvalidInput without a reason."""
        fact = PlanRejected(actor=_person(actor), reason=checked_reason(reason, required=True))

        def decision(current: Story) -> Fact:
            lifecycle.expect_revision(current, seen_revision)
            return fact

        return await self._decided(story_id, decision)

    async def assess(self, story_id: str, *, actor: str) -> Story:
        """The story with what the coach says of it now, or with the problem.

        Raises FailedPrecondition naming the guard, NotFound, InvalidInput without a model.
        """
        asked = await self.find(story_id)
        async with self._journal.turn(asked.story_id):
            current = await self.find(story_id)
            if (current.assessed, current.failed) != (asked.assessed, asked.failed):
                return current  # somebody was at it already
            _require_open(current)
            endpoint(current.submitted.model, self._configured)
            return await self._made(current, Ask.ASSESS, actor)

    async def derive(self, story_id: str, *, actor: str, plan: Plan | None, seen_revision: int | None = None) -> Story:
        """The story with `plan`, or with the one that is made for it, or with the problem.

        Raises FailedPrecondition naming the guard, NotFound, InvalidInput naming the plan's field.
        """
        asked = await self.find(story_id)
        async with self._journal.turn(asked.story_id):
            current = await self.find(story_id)
            lifecycle.expect_revision(current, seen_revision)
            _require_open(current)
            if plan is not None:
                await self._councils.require(None, plan)
                current = await self._added(current, await self._maker.edited(current, plan, actor=_person(actor)))
            elif (current.planned, current.failed) == (asked.planned, asked.failed):
                current = await self._derived(current, actor)
            return await self._journal.carried_on(current, asking=False)

    async def _derived(self, current: Story, actor: str) -> Story:
        if current.submitted.planning is Planning.MODEL:
            if current.assessed is None:
                current = await self._made(current, Ask.ASSESS, actor)
            if current.assessed is None:
                return current
            lifecycle.guard_assessment(current)
        return await self._made(current, Ask.PLAN, actor)

    async def _made(self, current: Story, ask: Ask, actor: str) -> Story:
        return await self._added(current, await self._maker.made(ask, current, actor=_person(actor)))

    async def _added(self, current: Story, fact: Fact) -> Story:
        """Raises FailedPrecondition when the story went on while the fact was made."""
        try:
            return await self._journal.append(current, fact)
        except Conflict:
            raise FailedPrecondition("changed", "the story went on meanwhile; look at it, and ask again") from None

    async def _decided(self, story_id: str, decision: Decide) -> Story:
        current = await self._journal.decide(story_id, decision)
        return await self._journal.carried_on(current, asking=False)

    # --- what carries stories on ----------------------------------------------------------------------------------

    async def follow_stories(self) -> None:
        """Whatever is due in a story is done, for ever; run several of these, since models take their time."""
        deliveries = self._queues.deliveries("planning-stories")
        await consume(deliveries, self._on_story, max_deliver=self._max_deliver)

    async def _on_story(self, delivery: Delivery) -> None:
        """The last event of a story stands for those before it."""
        subject = delivery.stored.event.subject
        story_id = subject.rpartition(".")[2]
        async with self._journal.turn(story_id):
            last = await self._log.last(subject)
            if last is not None and last.seq == delivery.stored.seq:
                await self._journal.carried_on(await self.find(story_id), asking=True)

    async def follow_decisions(self) -> None:
        """A deliberation's end becomes an event of its story, and so does the beginning of one that goes on with
        another; for ever."""
        deliveries = self._queues.deliveries("planning-decisions")
        await consume(deliveries, self._on_decision, max_deliver=self._max_deliver)

    async def follow_replays(self) -> None:
        """What a person has replayed; for ever."""
        again = replaying({"planning-stories": self._look_again, "planning-decisions": self._decide_by})
        await consume(self._queues.deliveries("planning-replays"), again, max_deliver=self._max_deliver)

    async def _look_again(self, stored: Stored) -> None:
        story_id = stored.event.subject.rpartition(".")[2]
        async with self._journal.turn(story_id):
            await self._journal.carried_on(await self.find(story_id), asking=True)

    async def _on_decision(self, delivery: Delivery) -> None:
        await self._decide_by(delivery.stored)

    async def _decide_by(self, stored: Stored) -> None:
        match stored.event.data:
            case DeliberationRequested(spec=spec) if spec.story_id and spec.continues:
                await self._hear(spec.story_id, TaskContinued(task_id=spec.task_id, continues=spec.continues))
            case DeliberationEnded() as end if end.result.story_id:
                await self._hear_beginning(end.result)
                await self._hear(end.result.story_id, _decision(end))

    async def _hear_beginning(self, result: Result) -> None:
        """Of a continuation, where it is delivered after the end."""
        if result.task_id in (await self.find(result.story_id)).tasks:
            return
        async with aclosing(self._log.follow(subjects.deliberation(result.task_id), once=True)) as events:
            async for stored in events:
                if isinstance(stored.event.data, DeliberationRequested):
                    await self._decide_by(stored)
                break

    async def _hear(self, story_id: StoryId, fact: Fact) -> None:
        while True:
            current = await self.find(story_id)
            if lifecycle.refusal(current, fact):
                return  # folded before, or nobody waits for it any more
            try:
                current = await self._journal.append(current, fact)
            except Conflict:
                continue
            await self._journal.carried_on(current, asking=False)
            return


def _decision(end: DeliberationEnded) -> TaskDecided:
    result = end.result
    return TaskDecided(
        task_id=result.task_id,
        state=result.state,
        commit=(result.winner.commit or None) if result.winner else None,
        reason=result.reasons[0][:REASON_CHARS] if result.reasons else "",
        usage=result.usage,
    )


def _person(actor: str) -> str:
    return actor[:MAX_ACTOR_CHARS] or "unknown"


def _require_open(current: Story) -> None:
    """Raises FailedPrecondition unless the story may be assessed and planned now."""
    if current.state not in lifecycle.LIFE_CYCLE[StoryAssessed]:
        raise FailedPrecondition("life_cycle", f"the story is {current.state}: there is nothing to assess or plan")

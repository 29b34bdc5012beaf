"""Stories in the log: found, appended to behind their fence, carried on. The log is all the state there is."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from folkmoot.kernel import ids, lifecycle, story, subjects, wishes
from folkmoot.kernel.due import Ask, Limits, due
from folkmoot.kernel.errors import AlreadyExists, Conflict, NotFound
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import StoryCarriedOver, StorySubmitted
from folkmoot.kernel.ids import StoryId
from folkmoot.kernel.lifecycle import Story
from folkmoot.planning.maker import Maker
from folkmoot.runtime.log.port import Log
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.context import belonging, derived

Decide = Callable[[Story], Fact]


class Journal:
    """The only writer of `agile.events.*`; replicas are kept apart by the fence."""

    def __init__(self, log: Log, maker: Maker, limits: Limits) -> None:
        self._log = log
        self._maker = maker
        self._limits = limits
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, story_id: str) -> asyncio.Lock:
        """Within this process one at a time carries a story on: no model is asked twice for the same."""
        return self._turns.setdefault(story_id, asyncio.Lock())

    async def find(self, story_id: str) -> Story:
        """Raises NotFound, InvalidInput."""
        events = await self._log.read(subjects.story(StoryId(ids.token(story_id, "story_id"))))
        if not events:
            raise NotFound(f"there is no story {story_id}")
        return story.fold(events)

    async def submit(self, story_id: StoryId, fact: StorySubmitted) -> Story:
        """The story, new or as it stands. Raises AlreadyExists when it was another one."""
        try:
            await patiently(lambda: self._log.append(subjects.story(story_id), fact, after=START))
        except Conflict:
            known = await self.find(story_id)
            if known.submitted.digest != fact.digest:
                raise AlreadyExists(
                    f"story {story_id} exists with other content: use another idempotency key"
                ) from None
            return known
        return await self.find(story_id)  # the log takes a repeated append for the first one, whatever came since

    async def append(self, current: Story, fact: Fact) -> Story:
        """The story with `fact` behind it. Raises Conflict when somebody else was first: find it again.

        Raises FailedPrecondition naming the guard: what a fold would stop at is never written.
        """
        lifecycle.check(current, fact)
        subject = subjects.story(current.story_id)
        with belonging(current.traceparent or derived("story", current.story_id)):
            stored = await patiently(lambda: self._log.append(subject, fact, after=current.head))
        return story.apply(current, stored)

    async def decide(self, story_id: str, decision: Decide) -> Story:
        """Append what `decision` makes of the story as it stands, however often it changes under us.

        Raises what `decision` raises, FailedPrecondition naming the guard, NotFound, InvalidInput.
        """
        while True:
            current = await self.find(story_id)
            try:
                return await self.append(current, decision(current))
            except Conflict:
                continue

    async def carried_on(self, current: Story, *, asking: bool) -> Story:
        """The story after all that is due in it; steps that ask a model or the runner only where `asking`."""
        while True:
            if isinstance(current.word, StoryCarriedOver):
                await self._succeed(current, current.word)
                return current
            step = due(current, self._limits)
            if step is None or (isinstance(step, Ask) and not asking):
                return current
            fact = await self._maker.made(step, current) if isinstance(step, Ask) else step
            try:
                current = await self.append(current, fact)
            except Conflict:
                current = await self.find(current.story_id)

    async def _succeed(self, current: Story, word: StoryCarriedOver) -> None:
        """The next story begins, once: its id and its content come from this one's log."""
        following = await self.submit(word.into, wishes.successor(current, word))
        await self.carried_on(following, asking=False)

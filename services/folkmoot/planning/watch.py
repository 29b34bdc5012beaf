"""A story's events as they come, and those of its deliberations between them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import (
    DeliberationEnded,
    StoryAccepted,
    StoryCancelled,
    StoryCarriedOver,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.port import Log

_LAST = (StoryAccepted, StoryCancelled, StoryCarriedOver)


class Watch:
    """One caller's view of one story. A task's last event comes before its decision does in the story."""

    def __init__(self, log: Log, story_id: StoryId, *, tasks: bool, once: bool) -> None:
        self._log = log
        self.subject = subjects.story(story_id)
        self._tasks = tasks
        self._once = once
        self._ended: dict[TaskId, asyncio.Event] = {}
        self._arrived: asyncio.Queue[Stored | FolkmootError | None] = asyncio.Queue(maxsize=100)
        self._stack = AsyncExitStack()

    async def events(self, *, after_seq: int) -> AsyncGenerator[Stored, None]:
        """Until the story's last event; `once`: until all that is there was told. Raises as the log does."""
        async with self._following(after_seq):
            while (stored := await self._arrived.get()) is not None:
                if isinstance(stored, FolkmootError):
                    raise stored
                yield stored

    @asynccontextmanager
    async def _following(self, after_seq: int) -> AsyncIterator[None]:
        """No task group: left through `GeneratorExit`, it makes an error of it."""
        async with self._stack:
            await self._stack.enter_async_context(beside(self._of_story(after_seq), name="story"))
            yield

    async def _of_story(self, after_seq: int) -> None:
        """Tasks are followed from the story's start, since what was skipped may have released them."""
        try:
            async with aclosing(self._log.follow(self.subject, once=self._once)) as events:
                async for stored in events:
                    await self._about(stored)
                    last = isinstance(stored.event.data, _LAST)
                    # The end is told also to whoever has heard it.
                    if stored.seq > after_seq or (last and not self._once):
                        await self._arrived.put(stored)
                    if last:
                        break
            await self._done()
        except FolkmootError as error:
            await self._arrived.put(error)

    async def _done(self) -> None:
        """A task that was called off with its story may never end; whoever asks `once` waits for nobody."""
        if self._once:
            for ended in self._ended.values():
                await ended.wait()
        await self._arrived.put(None)

    async def _about(self, stored: Stored) -> None:
        if not self._tasks:
            return
        match stored.event.data:
            case TaskReleased(spec=spec):
                await self._follow(spec.task_id)
            case TaskContinued(task_id=task_id):
                await self._follow(task_id)
            case TaskDecided(task_id=task_id) if task_id in self._ended:
                await self._ended[task_id].wait()

    async def _follow(self, task_id: TaskId) -> None:
        self._ended[task_id] = asyncio.Event()
        await self._stack.enter_async_context(beside(self._of_task(task_id), name=task_id))

    async def _of_task(self, task_id: TaskId) -> None:
        try:
            async with aclosing(self._log.follow(subjects.deliberation(task_id), once=self._once)) as events:
                async for stored in events:
                    await self._arrived.put(stored)
                    if isinstance(stored.event.data, DeliberationEnded):
                        break
            self._ended[task_id].set()
        except FolkmootError as error:
            await self._arrived.put(error)

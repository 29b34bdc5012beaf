"""Following a story with its tasks, until only a person can move it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from folkmoot.cli.client import Client
from folkmoot.cli.stories import view as views
from folkmoot.cli.stories.screen import Screen
from folkmoot.cli.stories.values import Story
from folkmoot.cli.streams import Seen
from folkmoot.cli.waiting import fresh
from folkmoot.kernel.facts import TaskContinued, TaskDecided, TaskReleased


async def follow(client: Client, story_id: str, screen: Screen, *, to_the_end: bool = False) -> Story:
    """Show everything of the story from its first event on; the story where it rests, or where it ended."""
    async with asyncio.TaskGroup() as group:
        follower = _Follower(client, story_id, screen, group)
        story = await follower.until_rest(to_the_end=to_the_end)
        follower.let_go()
    return story


class _Follower:
    def __init__(self, client: Client, story_id: str, screen: Screen, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._story_id = story_id
        self._screen = screen
        self._group = group
        self._view = views.StoryView()
        self._after = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._decided: set[str] = set()

    async def until_rest(self, *, to_the_end: bool) -> Story:
        """A story that rests has told everything when nothing more comes behind that word."""
        await self._told(self._client.stories.history(self._story_id))
        while True:
            story = await self._client.stories.get(self._story_id)
            if not (story.state.ended or (self._rests(story) and not to_the_end)):
                await self._next()
            elif not await self._told(self._client.stories.history(self._story_id, self._after)):
                return story

    def _rests(self, story: Story) -> bool:
        """A plan that no model made is made anew by nobody."""
        return story.rests or (self._view.state == views.REJECTED and story.planning != "model")

    async def _next(self) -> None:
        """Wait for one more event."""
        async with aclosing(self._client.stories.watch(self._story_id, self._after)) as events:
            if seen := await anext(events, None):
                self._show(seen)

    async def _told(self, events: AsyncIterator[Seen]) -> int:
        """Show them all; how many there were."""
        number = 0
        async for seen in events:
            number += 1
            self._show(seen)
        return number

    def _show(self, seen: Seen) -> None:
        self._after = max(self._after, seen.sequence)
        if seen.event:
            self._view = views.fold(self._view, seen.event)
        self._screen.show(self._view, seen, "")
        match seen.event.data if seen.event else None:
            case TaskReleased(spec=spec):
                self._follow(spec.task_id)
            case TaskContinued(task_id=task_id):
                self._follow(task_id)
            case TaskDecided(task_id=task_id):
                self._decided.add(task_id)

    def _follow(self, task_id: str) -> None:
        if task_id not in self._tasks:
            self._tasks[task_id] = self._group.create_task(self._follow_task(task_id), name=f"follow {task_id}")

    async def _follow_task(self, task_id: str) -> None:
        async for seen in fresh(self._client, task_id):
            if seen.event:
                self._view = views.fold_task(self._view, task_id, seen.event)
            self._screen.show(self._view, seen, task_id)

    def let_go(self) -> None:
        """What is decided tells its end by itself; the rest is not waited for."""
        for task_id in self._tasks.keys() - self._decided:
            self._tasks[task_id].cancel()

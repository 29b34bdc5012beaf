"""What the log says of all stories and tasks, as it comes: read past the proxy, across restarts of the server and the
platform."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress

from folkmoot.kernel import story, subjects
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.errors import BrokenChain, FolkmootError
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import (
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Planning
from folkmoot.kernel.task import TaskKind
from tests.chaos.faults import Phase
from tests.chaos.stage import Stage

BEFORE_TASKS = (StoryState.SUBMITTED, StoryState.ASSESSED, StoryState.PLANNED, StoryState.APPROVED)


class Watch:
    """Follows every story and deliberation while `run` runs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seqs = {subjects.ALL_STORIES: 0, subjects.ALL_DELIBERATIONS: 0}
        self._again = asyncio.Event()
        self._changed = asyncio.Event()
        self._phases: dict[TaskId, Phase] = {}
        """Of the tasks that are under way."""
        self._merges: set[TaskId] = set()
        self.stories: dict[StoryId, Story] = {}
        self._broken: set[StoryId] = set()
        self._moved_at: dict[str, float] = {}
        """By task and story."""

    async def run(self) -> None:
        """For ever."""
        while True:
            self._again.clear()
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._read(pattern), name=f"watch {pattern}") for pattern in self._seqs]
                await self._again.wait()
                for reader in readers:
                    reader.cancel()

    def again(self) -> None:
        """The platform is another one now: its log has another address."""
        self._again.set()

    async def until(self, true: Callable[[], bool], within_s: float) -> bool:
        """Whether it became true; asked whenever something happened."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not true():
                    await self._changed.wait()
        return true()

    def over(self, story_id: StoryId) -> bool:
        """All its tasks are decided; or it waits for a person, since a step failed; or its log cannot be read."""
        told = self.stories.get(story_id)
        stands = told is not None and (told.state is StoryState.DECIDED or told.failed is not None)
        return stands or story_id in self._broken

    def state(self, story_id: StoryId) -> str:
        told = self.stories.get(story_id)
        return told.state if told and story_id not in self._broken else "broken"

    def now(self) -> frozenset[Phase]:
        """What some story or task is in the middle of."""
        planning = {Phase.PLANNING for story_id in self.stories if self._is_planned(story_id)}
        merging = {Phase.MERGING for task in self._phases if task in self._merges}
        return frozenset(self._phases.values()) | planning | merging

    def stuck(self, since: float) -> list[str]:
        """Tasks and stories under way of which nothing was heard since then."""
        tasks = [task for task in self._phases if self._moved_at[task] < since]
        return tasks + [s for s in self.stories if not self.over(s) and self._last_heard(s) < since]

    def _last_heard(self, story_id: StoryId) -> float:
        return max(self._moved_at.get(each, 0.0) for each in (story_id, *self.stories[story_id].tasks))

    def _is_planned(self, story_id: StoryId) -> bool:
        told = self.stories[story_id]
        by_model = told.submitted.planning is Planning.MODEL
        return by_model and told.state in BEFORE_TASKS and not self.over(story_id)

    async def _read(self, pattern: str) -> None:
        while True:
            with suppress(FolkmootError, FileNotFoundError, StopIteration):
                await self._follow(pattern)
            await asyncio.sleep(0.1)

    async def _follow(self, pattern: str) -> None:
        async with (
            self._stage.arena.bus() as bus,
            aclosing(bus.log.follow(pattern, after_seq=self._seqs[pattern])) as events,
        ):
            async for stored in events:
                self._seqs[pattern] = stored.seq
                self._see(stored)

    def _see(self, stored: Stored) -> None:
        subject = stored.event.subject
        name = subject.rpartition(".")[2]
        self._moved_at[name] = time.monotonic()
        if subject == subjects.story(StoryId(name)):
            self._see_story(StoryId(name), stored)
        else:
            self._see_task(TaskId(name), stored)
        self._changed.set()
        self._changed = asyncio.Event()

    def _see_story(self, story_id: StoryId, stored: Stored) -> None:
        told = self.stories.get(story_id)
        try:
            self.stories[story_id] = story.apply(told, stored) if told else story.begin(stored)
        except BrokenChain:
            self._broken.add(story_id)

    def _see_task(self, task: TaskId, stored: Stored) -> None:
        match stored.event.data:
            case DeliberationRequested(spec=spec) if spec.kind is TaskKind.MERGE:
                self._merges.add(task)
            case OwnerTook():
                self._phases.setdefault(task, Phase.CONVENING)
            case Convened():
                self._phases[task] = Phase.PROPOSING
            case ProposalAdmitted():
                self._phases[task] = Phase.EXAMINING
            case Examined(subject=subject) if subject != BASE:
                self._phases[task] = Phase.EXAMINING
            case DeliberationEnded():
                self._phases.pop(task, None)

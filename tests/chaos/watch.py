"""What the log says of all tasks, as it comes: read past the proxy, across restarts of the server and the platform."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress

from folkmoot.kernel import subjects
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import Convened, DeliberationEnded, Examined, OwnerTook, ProposalAdmitted
from folkmoot.kernel.ids import TaskId
from tests.chaos.faults import Phase
from tests.chaos.stage import Stage


class Watch:
    """Follows every deliberation while `run` runs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seq = 0
        self._again = asyncio.Event()
        self._changed = asyncio.Event()
        self.phases: dict[TaskId, Phase] = {}
        """Of the tasks that are under way."""
        self.ended: dict[TaskId, DeliberationEnded] = {}
        self._moved_at: dict[TaskId, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            self._again.clear()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(), name="watch")
                await self._again.wait()
                reading.cancel()

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

    def stuck(self, since: float) -> list[TaskId]:
        """Tasks under way of which nothing was heard since then."""
        return [task for task in self.phases if self._moved_at[task] < since]

    async def _read(self) -> None:
        while True:
            with suppress(FolkmootError, FileNotFoundError, StopIteration):
                await self._follow()
            await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        async with (
            self._stage.arena.bus() as bus,
            aclosing(bus.log.follow(subjects.ALL_DELIBERATIONS, after_seq=self._seq)) as events,
        ):
            async for stored in events:
                self._see(stored)

    def _see(self, stored: Stored) -> None:
        task = TaskId(stored.event.subject.rpartition(".")[2])
        self._seq, self._moved_at[task] = stored.seq, time.monotonic()
        match stored.event.data:
            case OwnerTook():
                self.phases.setdefault(task, Phase.CONVENING)
            case Convened():
                self.phases[task] = Phase.PROPOSING
            case ProposalAdmitted():
                self.phases[task] = Phase.EXAMINING
            case Examined(subject=subject) if subject != BASE:
                self.phases[task] = Phase.EXAMINING
            case DeliberationEnded() as end:
                self.ended[task] = end
                self.phases.pop(task, None)
        self._changed.set()
        self._changed = asyncio.Event()

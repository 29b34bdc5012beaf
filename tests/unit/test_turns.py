"""Turns of examinations: how many at once, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from folkmoot.kernel.ids import TaskId
from folkmoot.orchestrator.turns import Turns

COLD, WARM = TaskId("t-cold"), TaskId("t-warm")


class Opening:
    """A workspace that opens when it is told to, and counts who is in one."""

    def __init__(self) -> None:
        self.asked = 0
        self.ready = asyncio.Event()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        self.asked += 1
        await self.ready.wait()
        yield


class Running:
    """Examinations that run until they are told to end."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.two = asyncio.Event()
        self.end = asyncio.Event()

    async def examine(self, turns: Turns, task: TaskId, opening: Opening) -> None:
        async with turns.taken(task, opening.one()):
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == 2:
                self.two.set()
            await self.end.wait()
            self.now -= 1


async def test_a_slow_start_does_not_hold_up_another_task() -> None:
    """Both places are taken by a task whose cache is cold; another one's examination runs all the same."""
    turns, running, cold, warm = Turns(2, patience_s=0.01), Running(), Opening(), Opening()
    warm.ready.set()
    running.end.set()
    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(running.examine(turns, COLD, cold), name=f"cold {n}") for n in range(5)]
        await group.create_task(running.examine(turns, WARM, warm), name="warm")
        assert not any(task.done() for task in slow)
        assert cold.asked == 2  # no more of one task are under way
        cold.ready.set()


async def test_no_more_run_at_once_than_may() -> None:
    """Also of those that gave their turn away and come back to it."""
    turns, running, cold, warm = Turns(2, patience_s=0.0), Running(), Opening(), Opening()
    warm.ready.set()
    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(running.examine(turns, COLD, cold), name=f"cold {n}")
            group.create_task(running.examine(turns, WARM, warm), name=f"warm {n}")
        await running.two.wait()
        cold.ready.set()
        for _ in range(20):
            await asyncio.sleep(0)
        running.end.set()
    assert running.most == 2


async def test_a_turn_whose_opening_fails_is_free_again() -> None:
    """Whether it was given away by then or not."""
    turns = Turns(1, patience_s=0.0)

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        await asyncio.sleep(0)
        raise OSError("full")
        yield

    for _ in range(3):
        try:
            async with turns.taken(COLD, broken()):
                raise AssertionError("it never opens")
        except OSError:
            continue
    good = Opening()
    good.ready.set()
    async with asyncio.timeout(5), turns.taken(WARM, good.one()):
        assert good.asked == 1

"""The whole platform goes down, in good order or not, and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.kernel.ids import TaskId
from tests.chaos import processes
from tests.chaos.arena import Arena, examining, working

GONE_S = 12.0
"""Services drain within nine seconds, then the kernel ends them."""

Record = Callable[[str, object], None]


@pytest.mark.timeout(600)
async def test_interrupted_work_goes_on_when_the_platform_comes_back(own_arena: Arena, record_property: Record) -> None:
    """`moot down`, then kill -9 of the whole platform's parent, each in the middle; a poll by id answers all along.

    Also when `moot up` follows at once, while what the dead parent left is still ending."""
    arena = own_arena
    expected, _ = await arena.undisturbed()
    first = await arena.submit()
    await arena.reached(first, working)
    await _ended_by(arena, lambda: _down(arena))
    took_s = await _carried_on(arena, first)
    record_property("chaos: `moot down` and `up` while proposing", f"{took_s:.1f} s after `up`")
    assert await arena.outcome(first) == expected

    second = await arena.submit()
    await arena.reached(second, examining)
    parent = next(p for p in processes.everyone() if p.pid == arena.info.pid)
    await _ended_by(arena, lambda: processes.kill(parent))
    took_s = await _carried_on(arena, second)
    record_property("chaos: platform killed while examining", f"{took_s:.1f} s after `up`")
    for task in (first, second):
        assert await arena.outcome(task) == expected
        await arena.sound(task)
        await arena.tidy(task)

    third = await arena.submit()
    await arena.reached(third, working)
    os.kill(arena.info.pid, signal.SIGKILL)
    took_s = await _carried_on(arena, third)
    record_property("chaos: platform killed while proposing, `up` at once", f"{took_s:.1f} s after `up`")
    assert await arena.outcome(third) == expected
    await arena.sound(third)
    await arena.graph_is_the_log()
    await _ended_by(arena, lambda: _down(arena))


def _down(arena: Arena) -> None:
    done = arena.moot("down")
    assert done.code == 0, done.err


async def _ended_by(arena: Arena, end: Callable[[], object]) -> None:
    """No process, no sandbox, no mount and no folder of Ray's is left."""
    running = processes.family(arena.info.pid)
    session = Path((arena.moot.data / "ray" / "session").read_text("utf-8"))
    assert len(running) >= len(processes.MARKS)
    await asyncio.to_thread(end)
    assert await asyncio.to_thread(processes.left, running, GONE_S) == []
    assert str(arena.moot.data) not in Path("/proc/self/mountinfo").read_text("utf-8")
    assert not session.exists()


async def _carried_on(arena: Arena, task: TaskId) -> float:
    """Seconds from the start of `moot up` until the task has ended; it is known from the first moment on."""
    up = await asyncio.to_thread(arena.moot, "up", "--detach")
    assert up.code == 0, up.err
    began = time.monotonic()
    polled = await asyncio.to_thread(arena.moot, "result", task, "--json")
    assert polled.json["task_id"] == task
    await arena.outcome(task)
    return time.monotonic() - began

"""A wish to cancel, in the middle."""

import asyncio

from tests.chaos import processes
from tests.chaos.arena import Arena, working


async def test_a_cancelled_task_leaves_nothing(arena: Arena) -> None:
    """Exit code 5; its agents stop, their commands end, their workspaces close; a second wish is refused."""
    task = await arena.submit()
    await arena.reached(task, working)
    cancelled = await asyncio.to_thread(arena.moot, "cancel", task)
    assert cancelled.code in (0, 5), cancelled.err
    outcome = await arena.outcome(task)
    assert outcome.state == "cancelled"
    result = await asyncio.to_thread(arena.moot, "result", task, "--json")
    assert result.code == 5, result.err
    events = await arena.sound(task)
    await arena.tidy(task)
    assert processes.sandboxes(arena.info) == []
    async with arena.client() as client:
        again = await client.result(task)
    assert again.result.state == "cancelled"
    assert (await arena.sound(task))[-1].seq == events[-1].seq
    assert "cancelled before" in (await asyncio.to_thread(arena.moot, "cancel", task)).err

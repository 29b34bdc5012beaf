"""kill -9 of each part, in each phase: the decision is the same, nothing is done twice, the part comes back."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.chaos import processes
from tests.chaos.arena import PHASES, Arena, Outcome

Record = Callable[[str, object], None]

FAULTS = [
    ("orchestrator", "convening"),
    ("orchestrator", "proposing"),
    ("orchestrator", "examining"),
    ("runner", "convening"),
    ("runner", "proposing"),
    ("runner", "examining"),
    ("ray worker", "proposing"),
    ("ray head", "proposing"),
    ("ray head", "examining"),
    ("nats", "proposing"),
    ("nats", "examining"),
]
"""`python -m tests.chaos` has all of them, in random order and at random moments."""


@pytest.mark.parametrize(("victim", "phase"), FAULTS)
async def test_a_killed_part_changes_nothing(
    arena: Arena, undisturbed: tuple[Outcome, float], victim: str, phase: str, record_property: Record
) -> None:
    """The same winner for the same reason; each agent is settled once; the part is back under the same address."""
    expected, usual_s = undisturbed
    addresses, began = arena.info, time.monotonic()
    task = await arena.submit()
    await arena.reached(task, PHASES[phase])
    dead = processes.part(arena.info, victim)
    processes.kill(dead)
    assert await arena.outcome(task) == expected
    took_s = time.monotonic() - began
    record_property(f"chaos: {victim} killed while {phase}", f"{took_s:.1f} s (undisturbed {usual_s:.1f} s)")
    await arena.sound(task)
    await arena.tidy(task)
    assert not dead.alive
    assert arena.info == addresses
    await _back(arena, victim)


async def _back(arena: Arena, victim: str) -> None:
    """Supervision has started it again."""
    async with asyncio.timeout(60):
        while processes.part_or_none(arena.info, victim) is None:  # noqa: ASYNC110 -- a process of others
            await asyncio.sleep(0.1)

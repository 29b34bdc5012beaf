"""Many deliberations at once: how long all of them take, whether one is lost, and what our services hold meanwhile."""

import asyncio
import statistics
from pathlib import Path

from folkmoot.kernel import subjects
from folkmoot.kernel.facts import DeliberationEnded
from tests.bench import deliberations, stage
from tests.bench.bare import Bare
from tests.bench.measure import Row, timed, timed_call
from tests.bench.memory import watched

COUNT = 60
"""The aim speaks of 300: `--crowd 300`, several minutes on two cores."""
LATENCY_S = 1.0
AT_ONCE = 32
"""Deliberations that one orchestrator carries; with its default of 8, waiting for the model would bound it."""
_SAMPLES = 3


async def rows(folder: Path, place: Path, url: str, bare: Bare, count: int) -> list[Row]:
    """On a platform of its own. Raises SystemExit when a deliberation is lost or does not end decided."""
    command = stage.moot(folder)
    command.env |= {"FOLKMOOT_ORCHESTRATOR_DELIBERATIONS": str(AT_ONCE)}
    floor = max(stage.CALLS * LATENCY_S, count * _bare_s(bare))
    with stage.up(command):
        async with deliberations.stand(command, bare) as on:
            await on.deliberate(stage.task(place, url))
            with watched(command.info) as memory:
                took = await timed(_all(on, place, url, count))
            if len(set(on.ended)) != count + 1:
                raise SystemExit(f"{count + 1 - len(set(on.ended))} deliberations were lost")
            await _ended_once(on)
    work = f"{count} deliberations x {stage.AGENTS} agents at once, model {LATENCY_S:g} s a call"
    held = Row(
        work="memory that our services took meanwhile, per deliberation",
        ours=((memory.most - memory.before) / count / 1024,),
        aim="<= 1 MiB",
        unit="KiB",
    )
    aim = "<= 1.25x of the larger of 1 s x calls and the bare processes of all of them"
    return [Row(work=work, ours=(took,), floor=(floor,), aim=aim), held]


async def _all(on: deliberations.Stand, place: Path, url: str, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(on.deliberate(stage.task(place, url)), name=f"deliberation {number}")


async def _ended_once(on: deliberations.Stand) -> None:
    for task in on.ended:
        events = await on.bus.log.read(subjects.deliberation(task))
        ends = [e for e in events if isinstance(e.event.data, DeliberationEnded)]
        if len(ends) != 1:
            raise SystemExit(f"{task} ended {len(ends)} times")


def _bare_s(bare: Bare) -> float:
    """Seconds of one bare deliberation (git, sandboxes, tests), which keeps all cores busy."""
    bare.deliberation(stage.AGENTS)
    return statistics.median([timed_call(lambda: bare.deliberation(stage.AGENTS)) for _ in range(_SAMPLES)])

"""Two orchestrators on one platform: either answers, and a task has one owner at a time."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from folkmoot.cli.client import connected
from folkmoot.cli.connect import target_of
from folkmoot.kernel.facts import OwnerTook
from folkmoot.kernel.ids import TaskId
from tests.chaos import processes
from tests.chaos.arena import Arena, Outcome, owners, requested, working


@asynccontextmanager
async def second(arena: Arena) -> AsyncIterator[tuple[int, str]]:
    """Another orchestrator with the settings of the first, on a port of its own; pid and address."""
    first = processes.part(arena.info, "orchestrator")
    lines = Path(f"/proc/{first.pid}/environ").read_bytes().decode().split("\0")
    settings = dict(line.split("=", 1) for line in lines if line)
    process = await asyncio.create_subprocess_exec(
        *first.command.split(),
        stdout=asyncio.subprocess.PIPE,
        env=settings | {"FOLKMOOT_GRPC_LISTEN": "127.0.0.1:0"},
        cwd=arena.folder,
    )
    assert process.stdout is not None
    try:
        yield process.pid, json.loads(await process.stdout.readline())["address"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _owned_by(arena: Arena, task: TaskId) -> int:
    """The pid that stands in the name of the task's first owner."""
    fact = (await arena.reached(task, requested)).event.data
    assert isinstance(fact, OwnerTook)
    return int(fact.owner.split("-")[1])


async def test_a_frozen_owner_is_replaced_and_stops_when_it_wakes(
    arena: Arena, undisturbed: tuple[Outcome, float]
) -> None:
    """It sleeps for longer than its lease; the other decides; awake again it writes nothing, lives on, and answers."""
    expected, _ = undisturbed
    async with second(arena) as (other, address):
        task = await arena.submit()
        frozen = await _owned_by(arena, task)
        assert frozen in (other, processes.part(arena.info, "orchestrator").pid)
        await arena.reached(task, working)
        os.kill(frozen, signal.SIGSTOP)
        try:
            taken = await arena.reached(task, lambda s: requested(s) and not _names(s.event.data, frozen))
        finally:
            os.kill(frozen, signal.SIGCONT)
        assert await arena.outcome(task) == expected
        events = await arena.sound(task)
        assert len(owners(events)) == 2
        assert not [e for e in events if e.seq > taken.seq and f"-{frozen}-" in e.event.source]
        assert await _answers(arena, address, task) == await _answers(arena, arena.info.orchestrator, task) == expected
        await arena.tidy(task)


async def test_many_tasks_have_one_owner_each(arena: Arena, undisturbed: tuple[Outcome, float]) -> None:
    """Nobody dies, so nobody takes over; what one accepts, the other answers."""
    expected, _ = undisturbed
    async with second(arena) as (_, address):
        tasks = [await arena.submit() for _ in range(3)]
        for task in tasks:
            assert await arena.outcome(task) == expected
            assert len(owners(await arena.sound(task))) == 1
            assert await _answers(arena, address, task) == expected


def _names(fact: object, pid: int) -> bool:
    return isinstance(fact, OwnerTook) and f"-{pid}-" in fact.owner


async def _answers(arena: Arena, address: str, task: TaskId) -> Outcome:
    target = msgspec.structs.replace(target_of(arena.info), orchestrator=address)
    async with connected(target) as client:
        return Outcome.of((await client.result(task)).result)

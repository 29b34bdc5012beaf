"""Many workspaces on few cores: none keeps the others from working, and a full runner lets wait."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from folkmoot.kernel.errors import NotFound, ResourceExhausted, Unavailable
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId
from folkmoot.runner.checkout import Tree
from folkmoot.runner.jobs import TURN_S, Turns
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.workspace import Wish
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.workspace import Bench, bench, runner, toolchains

__all__ = ["runner", "toolchains"]

SOON_S = 4 * TURN_S
"""A turn, four sandboxes, and a loaded machine."""


async def test_commands_that_hang_keep_nobody_from_working(runner: Bench) -> None:
    """With twice the cores hanging, another workspace opens, reads, writes and runs."""
    async with hanging(runner, 2 * (os.cpu_count() or 1)):
        async with asyncio.timeout(SOON_S):
            other = await runner.workspace()
            await other.write("new", b"1")
            assert await other.read("new") == b"1"
            assert (await other.run(["cat", "new"])).stdout == b"1"


@asynccontextmanager
async def hanging(runner: Bench, count: int) -> AsyncIterator[None]:
    """`count` commands that have begun and do not end before the block does."""
    workspaces = [await runner.workspace() for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        begun = [asyncio.Event() for _ in workspaces]
        for workspace, event in zip(workspaces, begun, strict=True):
            group.create_task(_hang(workspace, event))
        for event in begun:
            await event.wait()
        yield
        for workspace in workspaces:
            await workspace.close()


async def _hang(workspace: GrpcWorkspace, begun: asyncio.Event) -> None:
    with suppress(WorkspaceLost):
        async for _ in workspace.stream(["sh", "-c", "echo; sleep 1000"], timeout_s=1000.0):
            begun.set()


async def test_a_turn_ends_once() -> None:
    """Whether the command or the turn is over first: one place is given back, not two."""
    turns, loop = Turns(1), asyncio.get_running_loop()
    async with asyncio.timeout(3 * TURN_S):
        async with turns.turn():
            before = loop.time()
            async with turns.turn():
                assert loop.time() - before >= TURN_S - 0.1
        async with turns.turn():
            pass
        async with turns.turn():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(TURN_S / 4), turns.turn():
                    pass


def wish(runner: Bench, holder: str, repository: str = "") -> Wish:
    return Wish(
        task_id=TaskId("t-1"),
        holder=holder,
        attempt=1,
        repository_id=RepositoryId(repository or runner.base.repository_id),
        tree=Tree(base=CommitId(runner.commit), commit=CommitId(runner.commit)),
    )


async def test_the_same_workspace_opened_and_closed_at_once(runner: Bench) -> None:
    """However opens and closes of one key meet, each open is answered and one workspace is there at the end."""
    registry, mine = runner.registry, wish(runner, "a")
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(registry.open(mine, 60.0))
            group.create_task(registry.close(mine.workspace_id))
            group.create_task(registry.open(mine, 60.0))
    opened = [await registry.open(mine, 60.0) for _ in range(2)]
    assert opened[0].token == opened[1].token
    assert [m.wish for m in registry.listed()] == [mine]
    assert [p.name for p in runner.places.iterdir()] == [mine.workspace_id]


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
async def test_a_close_that_is_called_off_is_made_up_for(runner: Bench, steps: int) -> None:
    """Whoever closes dies on the way: the next one finds it, and removes it."""
    registry, mine = runner.registry, wish(runner, "a")
    await registry.open(mine, 60.0)
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(registry.close(mine.workspace_id))
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
    await registry.close(mine.workspace_id)
    assert not registry.listed()
    assert not (runner.places / mine.workspace_id).exists()


async def test_opens_that_fail_leave_nothing(runner: Bench) -> None:
    """No folder stays behind, and its place is free."""
    for n in range(3):
        with pytest.raises(NotFound):
            await runner.registry.open(wish(runner, f"a-{n}", "r-unknown"), 60.0)
    assert list(runner.places.iterdir()) == []


async def test_a_clock_that_jumps_ends_no_lease(tmp_path: Path, toolchains: Toolchains) -> None:
    """A day ahead or back: what is open stays open, is not swept, and its holder goes on."""
    shift = tmp_path / "shift"
    async with bench(tmp_path, toolchains, clock=SystemClock(str(shift))) as jumping:
        workspace = await jumping.workspace(ttl_s=600.0)
        for seconds in (86_400, -86_400):
            shift.write_text(str(seconds), "utf-8")
            assert await jumping.registry.sweep() == []
            assert (await workspace.run(["true"])).end.ok


async def test_an_open_that_meets_the_runners_end_is_no_callers_mistake(runner: Bench) -> None:
    """Its restart ends what is being checked out: come again, it says, not that there is no such workspace."""
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(_unavailable(runner))
        while not runner.registry.listed():  # noqa: ASYNC110 -- it is listed before its first command
            await asyncio.sleep(0.001)
        await runner.registry.drain()
    assert opening.result()
    assert list(runner.places.iterdir()) == []


async def _unavailable(runner: Bench) -> bool:
    with pytest.raises(Unavailable, match="ended while it was opened"):
        await runner.registry.open(wish(runner, "a"), 60.0)
    return True


async def test_a_full_runner(tmp_path: Path, toolchains: Toolchains) -> None:
    """Parallel opens never exceed the limit; whoever waits for room hears of it when one closes."""
    async with bench(tmp_path, toolchains, settings=RunnerSettings(max_workspaces=1)) as small:
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(_refused(small, f"a-{n}")) for n in range(3)]
        assert sorted(t.result() for t in tries) == [False, True, True]
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(small.registry.vacancy())
            for manifest in small.registry.listed():
                assert not waiting.done()
                await small.registry.close(manifest.wish.workspace_id)
        await small.registry.open(wish(small, "b"), 60.0)


async def test_places_that_are_spared(tmp_path: Path, toolchains: Toolchains) -> None:
    """Who leaves places free is refused while others still find one."""
    async with bench(tmp_path, toolchains, settings=RunnerSettings(max_workspaces=2)) as small:
        await small.registry.open(wish(small, "a"), 60.0, spare=1)
        with pytest.raises(ResourceExhausted):
            await small.registry.open(wish(small, "b"), 60.0, spare=1)
        await small.registry.open(wish(small, "c"), 60.0)


async def _refused(small: Bench, holder: str) -> bool:
    try:
        await small.registry.open(wish(small, holder), 60.0)
    except ResourceExhausted:
        return True
    return False

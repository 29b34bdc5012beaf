"""The disk of the workspaces is full: nobody is blamed for it, and work goes on when there is room again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import ResourceExhausted, Unavailable
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import WorkspaceRefused, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.opener import Opener
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures import need
from tests.fixtures.disk import CannotMount, ballast, mounted
from tests.fixtures.workspace import Bench, bench, toolchains

__all__ = ["toolchains"]

SIZE = 64 * 1024**2


@pytest.fixture
async def small(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[tuple[Bench, Path]]:
    """A runner whose workspaces lie on a small disk, and that disk."""
    place = tmp_path / "runner" / "workspaces"
    place.mkdir(parents=True)
    try:
        with mounted(place, SIZE):
            async with bench(tmp_path, toolchains) as runner:
                yield runner, place
    except CannotMount as problem:
        need(condition=False, reason=f"cannot mount: {problem}")


async def test_a_command_on_a_full_disk_says_nothing(small: tuple[Bench, Path]) -> None:
    """It fails or it does not: either way the workspace counts as lost, and no exit code is evidence."""
    runner, disk = small
    workspace = await runner.workspace()
    assert (await workspace.run(["true"])).end.exit_code == 0
    with ballast(disk):
        for argv in (["true"], ["sh", "-c", "echo more >there"], ["sleep", "60"]):
            with pytest.raises(WorkspaceLost, match="full"):
                await workspace.run(argv)
    assert (await workspace.run(["sh", "-c", "echo more >there"])).end.exit_code == 0


async def test_a_new_workspace_waits_for_room(small: tuple[Bench, Path]) -> None:
    """Callers are told to come back; whoever waits for a vacancy waits for the disk too."""
    runner, disk = small
    with ballast(disk):
        with pytest.raises(ResourceExhausted, match="full"):
            await runner.opened()
        waiting = asyncio.get_running_loop().create_task(runner.registry.vacancy())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.2)
    async with asyncio.timeout(10):
        await waiting
    assert (await (await runner.workspace()).run(["true"])).end.exit_code == 0


async def test_a_lease_is_not_renewed_on_a_full_disk(small: tuple[Bench, Path]) -> None:
    """The caller is told to come back, and what the runner says of the workspace is what its manifest says."""
    runner, disk = small
    await runner.opened(ttl_s=60.0)
    before = runner.registry.listed()
    with ballast(disk), pytest.raises(Unavailable, match="No space"):
        await runner.registry.open(before[0].wish, 600.0)
    assert runner.registry.listed() == before


async def test_a_check_out_that_is_larger_than_the_disk_is_refused(tmp_path: Path, toolchains: Toolchains) -> None:
    """Not tried for ever: after three tries whoever waits for the workspace hears why none comes, and nothing of it
    stays on the disk."""
    place = tmp_path / "runner" / "workspaces"
    place.mkdir(parents=True)
    large = {f"{n}.bin": bytes([n]) * 4 * 1024**2 for n in range(9)}
    try:
        with mounted(place, SIZE // 2):
            async with bench(tmp_path, toolchains, files={"README.md": "large", **large}) as runner:
                refused = await asked(runner)
                assert list(place.glob("[!.]*")) == []
    except CannotMount as problem:
        need(condition=False, reason=f"cannot mount: {problem}")
    words = "disk: its check-out filled the disk of the workspaces 3 times: give them more room"
    assert refused == WorkspaceRefused(attempt=1, reason=words)


async def asked(runner: Bench) -> Fact:
    """What the opener answers to a request for a workspace at base."""
    bus = MemoryBus(SystemClock())
    wanted = WorkspaceRequested(
        task_id=TaskId("t-1"), agent_id=AgentId("a-1"), attempt=1, base=runner.base, ttl_s=600.0
    )
    await bus.queues.put(subjects.agent_request(wanted.task_id, wanted.agent_id), wanted, key="one")
    opener = Opener(runner.registry, bus.log, runner.address, spare=0)
    async with aclosing(bus.queues.deliveries("runner-requests")) as requests:
        await opener.answer(await anext(requests))
    (answer,) = await bus.log.read(subjects.agent_response(wanted.task_id, wanted.agent_id))
    return answer.event.data

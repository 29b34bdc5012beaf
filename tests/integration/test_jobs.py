"""Commands under way: whoever listens to one hears how it ended, in whatever moment that was."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from folkmoot.kernel.errors import NotFound
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.jobs import Jobs, Part, Turns
from folkmoot.runner.local import sandbox
from folkmoot.runner.local.sandbox import Profile
from folkmoot.runner.local.toolchain import Toolchains
from tests.fixtures.workspace import toolchains

__all__ = ["toolchains"]

BOUND_S = 10.0


async def never(_: Command, __: Sink) -> Ended:
    pytest.fail("the command was begun")


async def heard(stream: AsyncGenerator[Part, None]) -> None:
    async with asyncio.timeout(BOUND_S), aclosing(stream):
        async for _ in stream:
            pass


async def test_a_command_that_is_ended_before_its_first_step_says_so() -> None:
    """Closing a workspace in the moment in which a call begins leaves nobody waiting."""
    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group)
        stream = jobs.stream(never, Command(argv=("true",)), Turns(1))
        group.create_task(jobs.end())
        with pytest.raises(NotFound, match="is not open"):
            await heard(stream)


async def test_a_listener_that_is_behind_hears_of_the_end(tmp_path: Path, toolchains: Toolchains) -> None:
    """Also where the command is over, and its last word waits for room."""
    profile = Profile.plain(toolchains.bwrap, toolchains.mounts, charged=tmp_path, prefix=())
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.05; done"
    command = Command(argv=("sh", "-c", script), cwd="/")

    async def run(command: Command, sink: Sink) -> Ended:
        try:
            return await sandbox.run(profile, command, sink)
        finally:
            over.set()

    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        jobs = Jobs(group)
        async with aclosing(jobs.stream(run, command, Turns(1))) as stream:
            await anext(stream)
            await over.wait()
            await jobs.end()
            with pytest.raises(NotFound, match="is not open"):
                await heard(stream)

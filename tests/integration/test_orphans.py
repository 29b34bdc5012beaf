"""What a killed runner left running is ended by the next."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from folkmoot.runner.command import Command
from folkmoot.runner.local import orphans
from folkmoot.runner.local.sandbox import Profile, collected
from folkmoot.runner.local.stage import staged
from folkmoot.runner.local.toolchain import discover


@contextmanager
def _sandbox(over: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Looks from outside like a bwrap over that folder."""
    script = "import signal; print(1, flush=True); signal.pause()"
    argv = ["bwrap", "-c", script, "--unsetenv", orphans.mark(over)]
    with subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_only_sandboxes_over_the_own_folder_are_ended(tmp_path: Path) -> None:
    """Another runner's go on, also where its folder's name begins like ours."""
    mine, other = tmp_path / "data", tmp_path / "data-2"
    with _sandbox(mine) as dead, _sandbox(other) as alive:
        assert orphans.end(mine) == 1
        assert dead.wait(10) == -9
        assert alive.poll() is None
        assert orphans.end(mine) == 0


async def test_a_sandbox_of_a_runner_carries_its_mark(tmp_path: Path) -> None:
    """Also where a runner that is root hides the folder's path; the sandboxed command is told nothing of it."""
    toolchains = discover(tmp_path)
    async with staged(toolchains, uid=65_534, mark=orphans.mark(tmp_path)) as stage:
        shown = await stage.toolchains(toolchains)
        plain = Profile.plain(shown.bwrap, shown.mounts, charged=tmp_path, prefix=stage.prefix)
        profile = msgspec.structs.replace(plain, mark=stage.mark)
        ended, environment, complaint = await collected(profile, Command(argv=("env",), cwd="/"))
        assert ended.end.ok, complaint
        assert b"moot-" not in environment
        async with asyncio.TaskGroup() as group:
            hanging = group.create_task(collected(profile, Command(argv=("sleep", "60"), cwd="/")))
            async with asyncio.timeout(10):
                while not orphans.end(tmp_path):  # noqa: ASYNC110 -- another process starts
                    await asyncio.sleep(0)
            hanging.cancel()

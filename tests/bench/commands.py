"""Whole commands, as a person starts them: `moot solve` beside a platform and without one, and `moot up`."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import stage
from tests.bench.measure import Row, interleaved, repeated, timed_call
from tests.fixtures.platform import Moot


async def solve(command: Moot, place: Path, model_url: str, *, running: bool) -> Row:
    arguments = [*stage.wish(place, model_url), "--json"]

    async def ours() -> float:
        return timed_call(lambda: _succeed(command, arguments))

    how = "platform running" if running else "platform not running"
    work = f"`moot solve`, whole command, {stage.AGENTS} agents, {stage.CALLS} calls each, instant model, {how}"
    return await repeated(work, ours, rounds=5 if running else 3, aim="<= 2.5 s" if running else "<= 10 s")


async def up(folder: Path) -> Row:
    command = stage.moot(folder)

    async def ours() -> float:
        seconds = timed_call(lambda: _succeed(command, ["up", "--detach"]))
        _succeed(command, ["down"])
        return seconds

    async def floor() -> float:
        with TemporaryDirectory(prefix="moot-bench-") as data:
            return _ray_alone(command, Path(data))

    return await interleaved(
        "`moot up` to ready, warm (floor: Ray alone)", ours, floor, rounds=3, warm=0, aim="<= 1.2x"
    )


def _succeed(command: Moot, arguments: list[str]) -> None:
    done = command(*arguments)
    if done.code:
        raise SystemExit(f"moot {arguments[0]} ended with {done.code}: {done.err}")


def _ray_alone(command: Moot, data: Path) -> float:
    """Seconds until the head says that it is ready."""
    argv = [sys.executable, "-P", "-m", "folkmoot.runtime.ray"]
    began = time.perf_counter()
    with subprocess.Popen(argv, env=command.env | {"FOLKMOOT_DATA": str(data)}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.terminate()
    return seconds

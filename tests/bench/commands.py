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

    work = "`moot up` to ready, warm (floor: Ray alone, as `ray.init` starts it)"
    return await interleaved(work, ours, floor, rounds=3, warm=0, aim="<= 1.2x")


def _succeed(command: Moot, arguments: list[str]) -> None:
    done = command(*arguments)
    if done.code:
        raise SystemExit(f"moot {arguments[0]} ended with {done.code}: {done.err}")


_RAY = """import ray, sys
ray.init("local", num_cpus=2, num_gpus=0, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False,
         _node_ip_address="127.0.0.1", _temp_dir=sys.argv[1])
print(flush=True)
input()
"""


def _ray_alone(command: Moot, data: Path) -> float:
    """Seconds until a driver has a head of its own, with all that Ray starts."""
    environment = command.env | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    argv, pipe = [sys.executable, "-P", "-c", _RAY, str(data)], subprocess.PIPE
    began = time.perf_counter()
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.communicate(b"\n")
    return seconds

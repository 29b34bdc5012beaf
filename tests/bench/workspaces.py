"""Workspaces and tool calls through gRPC, against the same sandbox bare."""

import asyncio
import itertools
import subprocess
from pathlib import Path

from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import TaskId
from folkmoot.orchestrator.runner import Runner, connected
from folkmoot.platform.place import PlatformInfo
from folkmoot.runner.demand import WINDOW_S
from folkmoot.runtime.grpc.client import channel
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.bench.bare import GIT, Bare
from tests.bench.measure import Row, interleaved, repeated, timed, timed_call

_TASK = TaskId("t-bench")
_TTL_S = 600.0
_REFILL_S = 1.5
_NUMBERS = itertools.count(1)


async def rows(info: PlatformInfo, place: Path, bare: Bare) -> list[Row]:
    async with connected(info.runner, info.token) as runner:
        base = await runner.prepare(str(place), "HEAD")
        return [
            await _ready(runner, place, bare),
            await _warm(runner, base),
            *await _calls(info, runner, base, bare),
        ]


async def _ready(runner: Runner, place: Path, bare: Bare) -> Row:
    """Each of a base that nobody has asked for: none waits for it."""

    async def ours() -> float:
        _commit(place)
        base = await runner.prepare(str(place), "HEAD")
        return await _claimed(runner, base)

    async def floor() -> float:
        clones: list[Path] = []
        seconds = timed_call(lambda: clones.append(bare.clone()))
        seconds += timed_call(lambda: bare.run(clones[0], ["/bin/true"]))
        bare.remove(clones[0])
        return seconds

    return await interleaved("workspace ready, local", ours, floor, rounds=30, aim="<= 2x, <= 60 ms")


def _commit(place: Path) -> None:
    subprocess.run(["git", "-C", str(place), "commit", "-q", "--allow-empty", "-m", "again"], env=GIT, check=True)


async def _warm(runner: Runner, base: PreparedBase) -> Row:
    """Another one is ready by the time of the next ask."""
    for _ in range(2):
        await _claimed(runner, base)
        await asyncio.sleep(1.1 * WINDOW_S)

    async def ours() -> float:
        await asyncio.sleep(_REFILL_S)
        return await _claimed(runner, base)

    return await repeated("workspace from the warm pool, local", ours, rounds=20, aim="<= 15 ms")


_CALL = "tool call through gRPC: {}"
_MODEL_S = 0.05
"""Between two calls of an agent its model thinks, and the version of the files after the first is made."""


async def _claimed(runner: Runner, base: PreparedBase) -> float:
    holder = f"bench-{next(_NUMBERS)}"
    seconds = await timed(runner.claim(task_id=_TASK, holder=holder, attempt=1, base=base, ttl_s=_TTL_S))
    await runner.close_all(_TASK)
    return seconds


async def _calls(info: PlatformInfo, runner: Runner, base: PreparedBase, bare: Bare) -> list[Row]:
    grant = await runner.claim(task_id=_TASK, holder="bench", attempt=1, base=base, ttl_s=_TTL_S)
    clone = bare.clone()
    async with channel(info.runner) as opened:
        workspace = GrpcWorkspace(opened, workspace_id=grant.workspace_id, token=grant.token)

        async def run_at_once() -> float:
            return await timed(workspace.run(["/bin/true"]))

        async def run() -> float:
            await asyncio.sleep(_MODEL_S)
            return await run_at_once()

        async def read() -> float:
            return await timed(workspace.read("greeting.txt"))

        async def bare_run() -> float:
            return timed_call(lambda: bare.run(clone, ["/bin/true"]))

        async def bare_read() -> float:
            return timed_call(lambda: bare.run(clone, ["/bin/cat", "greeting.txt"]))

        aim = "<= 1.5x, <= 5 ms more"
        found = [
            await interleaved(_CALL.format("`/bin/true`"), run, bare_run, rounds=60, aim=aim, warm=5),
            await interleaved(_CALL.format("`read_file`"), read, bare_read, rounds=60, aim=aim, warm=5),
            await repeated(_CALL.format("`/bin/true`, behind the version of the call before"), run_at_once, rounds=60),
        ]
    bare.remove(clone)
    await runner.close_all(_TASK)
    return found

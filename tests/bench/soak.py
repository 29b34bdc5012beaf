"""`make soak`: memory of our services over many deliberations, one after the other and several at once.

    python -m tests.bench.soak [--deliberations N] [--at-once N]

Ours has to be flat; NATS grows with what it keeps (some KiB a task). Also told: whether a poll costs more at the end.
Each deliberation is as small as one can be that goes all the way: one agent, one answer of its model with all calls in
it, no test suite, one check.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.platform.demo.material import write_repository
from folkmoot.rehearsal.script import Call, Script, Turn
from folkmoot.runner.local import toolchain
from tests.bench import deliberations, stage
from tests.bench.bare import Bare
from tests.bench.measure import timed
from tests.bench.memory import SERVICES, resident
from tests.fixtures.platform import Moot

LOOKS = 10
PARTS = (*SERVICES, "nats")
MIB = 1024**2
MATERIAL = msgspec.structs.replace(stage.MATERIAL, name="soak", files={"greeting.txt": "hello\n"})
_CALLS = (
    Call(tool="write_file", arguments={"path": "greeting.txt", "content": "the moot is greeted\n"}),
    Call(tool="commit", arguments={"message": "Greet"}),
    Call(tool="submit", arguments={"summary": "It greets."}),
)
SCRIPT = Script(behaviours={"all": {"propose": (Turn(calls=_CALLS),)}}, agents={"dev-1": "all"})
WARM = 20
"""Deliberations before the first look: what is loaded once is no growth."""


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--deliberations", type=int, default=10_000, metavar="N")
    parser.add_argument("--at-once", type=int, default=8, metavar="N")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="moot-soak-") as name:
        asyncio.run(_soak(Path(name), asked.deliberations, asked.at_once))


async def _soak(folder: Path, count: int, at_once: int) -> None:
    place = folder / MATERIAL.name
    write_repository(place, MATERIAL)
    bare = Bare(folder / "bare", place, toolchain.discover(folder / "toolchain"))
    with stage.standing(folder / "data") as command, stage.playing(folder / "soak.yaml", SCRIPT) as url:
        async with deliberations.stand(command, bare) as on:
            task = stage.task(place, url)
            task.agents = 1
            await _many(on, task, WARM, at_once)
            _say(_head())
            _say(await _look(on, command, 0.0))
            began = time.monotonic()
            for _ in range(LOOKS):
                await _many(on, task, count // LOOKS, at_once)
                _say(await _look(on, command, time.monotonic() - began))


async def _many(on: deliberations.Stand, task: pb.Task, count: int, at_once: int) -> None:
    """Raises SystemExit when one does not end decided."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await on.deliberate(task)

    async with asyncio.TaskGroup() as group:
        for number in range(at_once):
            group.create_task(work(), name=f"line {number}")


def _head() -> str:
    return f"| deliberations | s | poll | {' | '.join(PARTS)} |\n| --- | --- | --- |{' --- |' * len(PARTS)}"


async def _look(on: deliberations.Stand, command: Moot, elapsed_s: float) -> str:
    memory = resident(command.info, PARTS)
    request = pb.GetDeliberationResultRequest(task_id=on.ended[-1])
    poll = min([await timed(on.stub.GetDeliberationResult(request, metadata=on.metadata)) for _ in range(20)])
    sizes = " | ".join(f"{memory[name] / MIB:.0f} MiB" for name in PARTS)
    return f"| {len(on.ended):,} | {elapsed_s:.0f} | {poll * 1000:.1f} ms | {sizes} |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

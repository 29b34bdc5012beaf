"""Cases on a real platform: each a task of its own, sent by gRPC, played by `model.py`, read back with all evidence."""

import asyncio
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.cli.client import Client, connected
from folkmoot.cli.connect import Target
from folkmoot.cli.evidence import gathered
from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.kernel.jury import collect
from folkmoot.kernel.task import Rigor
from folkmoot.platform.demo.material import Material, write_repository
from tests.bench import stage
from tests.bench.judgement import model, runs
from tests.bench.judgement.case import Case
from tests.bench.judgement.runs import Run
from tests.fixtures.platform import Moot


async def play(folder: Path, cases: Sequence[Case], rigors: Sequence[Rigor], kept: Path, *, at_once: int = 1) -> None:
    """Run all cases, on a platform in `folder`, and keep each in `kept` as it ends; what lies there already is not run
    again."""
    with stage.standing(folder / "data") as command:
        async with model.serving(cases) as url:
            await _played(command, url, folder, cases, rigors, kept, at_once)


async def _played(
    command: Moot, url: str, folder: Path, cases: Sequence[Case], rigors: Sequence[Rigor], kept: Path, at_once: int
) -> None:
    info, room = command.info, asyncio.Semaphore(at_once)
    target = Target(planning=info.planning, orchestrator=info.orchestrator, token=info.token)

    async def one(case: Case, rigor: Rigor) -> None:
        async with room:
            try:
                run = await _deliberated(client, case, rigor, repository(folder, case), f"{url}/{case.id}/v1")
            except FailedPrecondition as problem:
                sys.stderr.write(f"{case.id} {rigor}: counts nowhere: {problem}\n")
                return
            runs.keep(run, kept)
            sys.stderr.write(f"{run.case} {rigor}: {run.state}, {run.wall_s:.1f} s\n")

    async with connected(target) as client, asyncio.TaskGroup() as tasks:
        for case in cases:
            for rigor in rigors:
                if not runs.place(kept, case.id, rigor).exists():
                    tasks.create_task(one(case, rigor), name=f"{case.id} {rigor}")


def repository(folder: Path, case: Case) -> Path:
    """One for all cases with the same base, so that the platform mirrors it once."""
    digest = hashlib.sha256(msgspec.json.encode(sorted(case.base.items()))).hexdigest()
    found = folder / "repositories" / f"{case.language}-{digest[:12]}"
    if not found.exists():
        material = Material(name="case", title=case.title, text=case.story, checks=(), files=dict(case.base))
        write_repository(found, material)
    return found


async def _deliberated(client: Client, case: Case, rigor: Rigor, repository: Path, url: str) -> Run:
    """Raises FailedPrecondition where the task ends without a ranking."""
    began = time.monotonic()
    task_id = await client.deliberate(_task(case, rigor, repository, url), "")
    async for seen in client.watch(task_id, fresh=True):
        if seen.event is not None and isinstance(seen.event.data, DeliberationEnded):
            break
    wall = time.monotonic() - began
    result = (await client.result(task_id)).result
    whole = await gathered.case(client, task_id)
    state = whole.found.state
    return Run(
        case=case.id,
        rigor=rigor,
        labels=_labels(case),
        tags=runs.tags(case),
        state=result.state,
        evidence=collect(state, whole.examinations),
        ruling=whole.found.ruling,
        stages=tuple(str(staged.stage) for staged in state.staged),
        usage=result.usage,
        wall_s=wall,
    )


def _task(case: Case, rigor: Rigor, repository: Path, url: str) -> pb.Task:
    return pb.Task(
        title=case.title,
        text=case.story,
        repository=str(repository),
        checks=case.checks,
        agents=len(case.candidates),
        max_agents=len(case.candidates),
        rigor=rigor,
        model_url=url,
        model="played",
    )


def _labels(case: Case) -> dict[str, str]:
    """Under the names that the platform gives."""
    return {
        agent + name.removeprefix(own): label
        for agent, own in case.seats.items()
        for name, label in case.names.items()
        if name.removesuffix("-r2") == own
    }

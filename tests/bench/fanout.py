"""Fan-out alone: three agents in Ray that answer at once, whose results come through the log; no sandbox, no jury.

The floor is the same three runs as plain asyncio tasks in this process, on the same log.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec

from folkmoot.agents.assignment import Assignment, ModelEndpoint, WorkspaceGrant
from folkmoot.agents.chat import Call, ModelRequest, Reply
from folkmoot.agents.host import Parts
from folkmoot.agents.pool import AgentPool, LocalPool, RayPool
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.facts import AgentFinished
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, WorkspaceId
from folkmoot.kernel.task import Budget
from folkmoot.runtime import ray as runtime_ray
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.settings import AgentSettings, Settings, inherited, variables
from folkmoot.runtime.workspace.port import Completed
from folkmoot.tools.plans import NOTHING
from tests import folders
from tests.bench import stage
from tests.bench.measure import Row, interleaved, timed
from tests.fixtures.platform import Moot

ROUNDS = 15
_NUMBERS = count(1)


class Model:
    """Hands in at once."""

    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        return Reply(calls=(Call(id="1", name="submit", arguments='{"summary": "done"}'),))


class Nowhere(folders.FolderWorkspace):
    """In which there is nothing to commit."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> Completed:
        return Completed(end=CommandEnd(exit_code=NOTHING), stdout=b"", stderr=b"", truncated=False)

    async def export_bundle(self, base: CommitId) -> bytes:
        raise FailedPrecondition("no_commit", "nothing was committed")


@asynccontextmanager
async def opening(settings: Settings) -> AsyncIterator[Parts]:
    clock = SystemClock()
    async with connect(settings.log, source="/agents/bench", clock=clock) as bus:
        yield Parts(model=Model(), bus=bus, clock=clock, workspace=lambda grant: Nowhere(Path(grant.token)))


async def row(command: Moot, folder: Path, reader: NatsBus) -> Row:
    """`reader` follows results, as an orchestrator does."""
    settings = Settings(data=str(folder), log=stage.log_settings(command, "agents"), agents=AgentSettings(actors=2))
    settings = msgspec.structs.replace(
        settings, agents=msgspec.structs.replace(settings.agents, log_password=settings.log.password)
    )
    runtime_ray.prepare(folder)
    _sent_by_value()
    async with _head(settings) as reachable, RayPool(reachable, opening) as warm, LocalPool(settings, opening) as local:
        await warm.start()
        return await interleaved(
            f"fan-out alone: {stage.AGENTS} agents in Ray that answer at once, results through the log",
            lambda: timed(_round(warm, reader)),
            lambda: timed(_round(local, reader)),
            rounds=ROUNDS,
            warm=3,
            aim="<= 20 ms",
        )


def _sent_by_value() -> None:
    """Ray's workers do not know this folder."""
    from ray import cloudpickle

    for module in (sys.modules[__name__], folders):
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]


async def _round(pool: AgentPool, reader: NatsBus) -> None:
    task = TaskId(f"t-fan-{next(_NUMBERS)}")
    async with asyncio.TaskGroup() as group:
        for number in range(1, stage.AGENTS + 1):
            agent = AgentId(f"dev-{number}")
            group.create_task(pool.run(_assignment(task, agent)), name=agent)
            group.create_task(_result(reader, task, agent), name=f"result of {agent}")


async def _result(reader: NatsBus, task: TaskId, agent: AgentId) -> None:
    async with aclosing(reader.log.follow(subjects.agent_result(task, agent))) as events:
        async for stored in events:
            if isinstance(stored.event.data, AgentFinished):
                return


def _assignment(task: TaskId, agent: AgentId) -> Assignment:
    return Assignment(
        task_id=task,
        agent_id=agent,
        attempt=1,
        role="DEV",
        persona="careful",
        title="Say that it is done",
        text="Hand in at once.",
        checks=(),
        base_commit=CommitId("0" * 40),
        suite=None,
        protected=(),
        budget=Budget(),
        model=ModelEndpoint(url="http://127.0.0.1:1/v1", name="instant"),
        workspace=WorkspaceGrant(workspace_id=WorkspaceId("ws-1"), endpoint="", token="/"),
        result_head=START,
    )


@asynccontextmanager
async def _head(settings: Settings) -> AsyncIterator[Settings]:
    """A Ray head of our own: the platform's is nobody else's."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "folkmoot.runtime.ray"),
        stdout=asyncio.subprocess.PIPE,
        env=inherited("PATH", "HOME") | variables(Settings(data=settings.data, agents=AgentSettings(actors=2))),
    )
    assert process.stdout is not None
    try:
        address = msgspec.json.decode(await process.stdout.readline())["address"]
        agents = msgspec.structs.replace(settings.agents, ray_address=address)
        yield msgspec.structs.replace(settings, agents=agents)
    finally:
        process.terminate()
        await process.wait()

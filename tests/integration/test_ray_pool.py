"""The pool of warm Ray actors, on a real head of our own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from folkmoot.agents.assignment import Assignment, ModelEndpoint, WorkspaceGrant
from folkmoot.agents.chat import Call, ModelRequest, Reply
from folkmoot.agents.errors import AttemptLost
from folkmoot.agents.host import Parts
from folkmoot.agents.pool import RayPool
from folkmoot.kernel.events import START
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, WorkspaceId
from folkmoot.kernel.task import Budget
from folkmoot.runtime import ray as runtime_ray
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import AgentSettings, Settings, inherited, variables
from tests import folders


class Model:
    """Submits at once; as `hangs` it never answers, and leaves a mark that it was asked."""

    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        if endpoint.name.startswith("/"):
            Path(endpoint.name).touch()
            await asyncio.Event().wait()
        arguments = '{"path": "new.txt", "content": "new"}'
        if len(request.messages) == 2:
            return Reply(calls=(Call(id="1", name="write_file", arguments=arguments),))
        return Reply(calls=(Call(id="2", name="submit", arguments='{"summary": "done"}'),))


@asynccontextmanager
async def opening(_settings: Settings) -> AsyncIterator[Parts]:
    clock = SystemClock()
    yield Parts(
        model=Model(),
        bus=MemoryBus(clock),
        clock=clock,
        workspace=lambda grant: folders.FolderWorkspace(Path(grant.token)),
    )


def _assignment(folder: Path, commit: CommitId, *, model: str = "quick", agent: str = "dev-1") -> Assignment:
    return Assignment(
        task_id=TaskId("t-1"),
        agent_id=AgentId(agent),
        attempt=1,
        role="DEV",
        persona="careful",
        title="Add a file",
        text="Add new.txt",
        checks=(),
        base_commit=commit,
        suite=None,
        protected=(),
        budget=Budget(),
        model=ModelEndpoint(url="http://127.0.0.1:1/v1", name=model),
        workspace=WorkspaceGrant(workspace_id=WorkspaceId("ws-1"), endpoint="", token=str(folder)),
        result_head=START,
    )


@asynccontextmanager
async def _head(settings: Settings) -> AsyncIterator[Settings]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "folkmoot.runtime.ray",
        stdout=asyncio.subprocess.PIPE,
        env=inherited("PATH", "HOME") | variables(settings),
    )
    assert process.stdout is not None
    try:
        address = msgspec.json.decode(await process.stdout.readline())["address"]
        agents = msgspec.structs.replace(settings.agents, ray_address=address)
        yield msgspec.structs.replace(settings, agents=agents)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


@pytest.fixture
async def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RayPool]:
    """A pool of one actor; what the test changed in this process is put back."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(data=str(tmp_path / "data"), agents=AgentSettings(actors=1))
    runtime_ray.prepare(settings.data_folder)
    from ray import cloudpickle

    here = sys.modules[__name__]
    for module in (here, folders):
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    async with _head(settings) as reachable, RayPool(reachable, opening) as started:
        yield started


async def _until_there(path: Path) -> None:
    async with asyncio.timeout(30):
        while not path.exists():  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_runs_in_warm_actors_survive_the_death_of_one(pool: RayPool, tmp_path: Path) -> None:
    """A run ends with its result; killing the actor's process loses the runs in it, and the next run works; a run
    that is cancelled ends; nothing listens but on loopback."""
    commit = folders.repository(tmp_path / "one", {"a.txt": "a"})
    finished = await pool.run(_assignment(tmp_path / "one", commit))
    assert (finished.submitted, finished.reason, finished.summary) == (True, "submitted", "done")

    asked = tmp_path / "asked"
    folders.repository(tmp_path / "two", {"a.txt": "a"})
    hanging = _assignment(tmp_path / "two", commit, model=str(asked), agent="dev-2")
    async with asyncio.TaskGroup() as group:
        lost = group.create_task(_outcome(pool, hanging))
        await _until_there(asked)
        os.kill(pool.pids[0], signal.SIGKILL)
    assert lost.result().startswith("the agent's process died")

    again = folders.repository(tmp_path / "three", {"a.txt": "a"})
    assert (await pool.run(_assignment(tmp_path / "three", again, agent="dev-3"))).submitted

    asked.unlink()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await pool.run(hanging)
    assert _listening_outside() == []


async def _outcome(pool: RayPool, assignment: Assignment) -> str:
    try:
        return (await pool.run(assignment)).reason
    except AttemptLost as lost:
        return str(lost)


def _listening_outside() -> list[str]:
    """Ports of the cluster that the machine's outer address would answer on."""
    import ray

    (node,) = ray.nodes()  # type: ignore[no-untyped-call]
    ports = [node["NodeManagerPort"], node["ObjectManagerPort"]]
    ports.append(int(ray.get_runtime_context().gcs_address.rpartition(":")[2]))
    assert node["NodeManagerAddress"] == "127.0.0.1"
    return [str(port) for port in ports if _answers(socket.gethostbyname(socket.gethostname()), port)]


def _answers(address: str, port: int) -> bool:
    if address.startswith("127."):
        return False
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0

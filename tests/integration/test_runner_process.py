"""The runner as a process: it announces itself, answers over the log, and finds its workspaces again."""

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.facts import WorkspaceReady, WorkspaceRefused, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, TaskId, WorkspaceId
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.grpc.client import channel, credentials
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.settings import GrpcSettings, Settings, inherited, variables
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.nats import NatsServer, bus, nats_server
from tests.fixtures.workspace import FILES, TOKEN, toolchains
from tests.repositories import Repo

__all__ = ["bus", "nats_server", "toolchains"]

TASK, AGENT = TaskId("t-1"), AgentId("a-1")


@pytest.fixture
def settings(tmp_path: Path, nats_server: NatsServer, toolchains: Toolchains) -> Settings:
    assert toolchains.bwrap
    return Settings(
        data=str(tmp_path / "data"),
        log=nats_server.settings("runner", ack_wait_s=3.0),
        grpc=GrpcSettings(token=TOKEN),
    )


@asynccontextmanager
async def running(settings: Settings, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process, and its address once it is ready; killed at the end unless it is gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "folkmoot.runner"),
        stdout=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**inherited("PATH"), **variables(settings)},
    )
    assert process.stdout is not None
    try:
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        assert line["service"] == "runner"
        yield process, line["address"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def prepared(address: str, repo: Repo) -> PreparedBase:
    async with channel(address) as open_channel:
        stub: rpc.RepositoryServiceAsyncStub = rpc.RepositoryServiceStub(open_channel)
        request = pb.PrepareBaseRequest(repository=str(repo.folder), base_ref="HEAD")
        reply = await stub.PrepareBase(request, metadata=credentials(TOKEN))
    return msgspec.json.decode(reply.base, type=PreparedBase)


async def opened(address: str, base: PreparedBase) -> pb.OpenWorkspaceResponse:
    async with channel(address) as open_channel:
        stub: rpc.WorkspaceServiceAsyncStub = rpc.WorkspaceServiceStub(open_channel)
        request = pb.OpenWorkspaceRequest(
            task_id=TASK,
            holder=AGENT,
            attempt=1,
            repository_id=base.repository_id,
            base_commit=base.commit,
            ttl_s=600.0,
        )
        reply: pb.OpenWorkspaceResponse = await stub.OpenWorkspace(request, metadata=credentials(TOKEN))
        return reply


async def ready(bus: NatsBus, agent: AgentId = AGENT, *, within_s: float = 60.0) -> WorkspaceReady:
    async with asyncio.timeout(within_s):
        async for stored in bus.log.follow(subjects.agent_response(TASK, agent)):
            assert isinstance(stored.event.data, WorkspaceReady)
            return stored.event.data
    raise AssertionError


async def test_a_request_on_the_log_is_answered(settings: Settings, tmp_path: Path, bus: NatsBus) -> None:
    """WorkspaceRequested brings WorkspaceReady; the token comes by gRPC; SIGTERM ends the process cleanly."""
    repo = Repo(tmp_path / "origin")
    repo.commit(dict(FILES))
    async with running(settings, tmp_path) as (process, address):
        base = await prepared(address, repo)
        wish = WorkspaceRequested(task_id=TASK, agent_id=AGENT, attempt=1, base=base, ttl_s=600.0)
        await bus.queues.put(subjects.agent_request(TASK, AGENT), wish, key="one")
        answer = await ready(bus)
        grant = await opened(address, base)
        assert (answer.workspace_id, answer.endpoint) == (grant.workspace_id, address)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_request_waits_for_room(settings: Settings, tmp_path: Path, bus: NatsBus) -> None:
    """A full runner answers once a workspace closes, and uses up no delivery meanwhile."""
    runner = msgspec.structs.replace(settings.runner, max_workspaces=1)
    log = msgspec.structs.replace(settings.log, max_deliver=1)
    small = msgspec.structs.replace(settings, runner=runner, log=log)
    repo = Repo(tmp_path / "origin")
    repo.commit(dict(FILES))
    async with running(small, tmp_path) as (_, address):
        base = await prepared(address, repo)
        first = await opened(address, base)
        other = AgentId("a-2")
        wish = WorkspaceRequested(task_id=TASK, agent_id=other, attempt=1, base=base, ttl_s=600.0)
        await bus.queues.put(subjects.agent_request(TASK, other), wish, key="two")
        with pytest.raises(TimeoutError):
            await ready(bus, other, within_s=4.0)
        async with channel(address) as open_channel:
            await GrpcWorkspace(open_channel, workspace_id=WorkspaceId(first.workspace_id), token=first.token).close()
        assert (await ready(bus, other)).attempt == 1


async def test_a_request_that_a_later_one_replaced_takes_no_room(
    settings: Settings, tmp_path: Path, bus: NatsBus
) -> None:
    """Attempts that are over, and were asked for while there was no room, are refused; the newest has the place."""
    runner = msgspec.structs.replace(settings.runner, max_workspaces=1)
    repo = Repo(tmp_path / "origin")
    repo.commit(dict(FILES))
    async with running(msgspec.structs.replace(settings, runner=runner), tmp_path) as (_, address):
        base = await prepared(address, repo)
        first = await opened(address, base)
        other = AgentId("a-2")
        for attempt in (2, 3, 4):
            wish = WorkspaceRequested(task_id=TASK, agent_id=other, attempt=attempt, base=base, ttl_s=600.0)
            await bus.queues.put(subjects.agent_request(TASK, other), wish, key=f"two/{attempt}")
        async with channel(address) as open_channel:
            await GrpcWorkspace(open_channel, workspace_id=WorkspaceId(first.workspace_id), token=first.token).close()
        answers: dict[int, WorkspaceReady | WorkspaceRefused] = {}
        async with asyncio.timeout(60), aclosing(bus.log.follow(subjects.agent_response(TASK, other))) as told:
            while len(answers) < 3:
                fact = (await anext(told)).event.data
                assert isinstance(fact, WorkspaceReady | WorkspaceRefused)
                answers[fact.attempt] = fact
    assert [type(answers[attempt]) for attempt in (2, 3, 4)] == [WorkspaceRefused, WorkspaceRefused, WorkspaceReady]
    assert all(
        "a later attempt" in answer.reason for answer in answers.values() if isinstance(answer, WorkspaceRefused)
    )


async def test_killed_and_back(settings: Settings, tmp_path: Path) -> None:
    """After kill -9 the next runner has the same workspaces, files and tokens, and nothing of the old one runs."""
    repo = Repo(tmp_path / "origin")
    repo.commit(dict(FILES))
    async with running(settings, tmp_path) as (process, address):
        base = await prepared(address, repo)
        grant = await opened(address, base)
        async with channel(address) as open_channel:
            workspace = GrpcWorkspace(open_channel, workspace_id=WorkspaceId(grant.workspace_id), token=grant.token)
            await workspace.write("mine", b"x")
        process.kill()
        await process.wait()
    async with running(settings, tmp_path) as (_, address), channel(address) as open_channel:
        workspace = GrpcWorkspace(open_channel, workspace_id=WorkspaceId(grant.workspace_id), token=grant.token)
        assert await workspace.read("mine") == b"x"
        again = await opened(address, base)
        assert (again.workspace_id, again.token) == (grant.workspace_id, grant.token)
        await workspace.close()
    assert list((tmp_path / "data/runner/workspaces").iterdir()) == []


async def test_killed_in_the_middle_of_a_command(settings: Settings, tmp_path: Path) -> None:
    """The process tree dies too, the caller gets WorkspaceLost, and the next runner has the workspace, usable."""
    repo = Repo(tmp_path / "origin")
    repo.commit(dict(FILES))
    async with running(settings, tmp_path) as (process, address):
        grant = await opened(address, await prepared(address, repo))
        ident = WorkspaceId(grant.workspace_id)
        async with channel(address) as open_channel:
            workspace = GrpcWorkspace(open_channel, workspace_id=ident, token=grant.token)
            script = "(setsid sleep 600; true) & echo on; sleep 600; true"
            parts = workspace.stream(["sh", "-c", script, ident], timeout_s=600)
            await anext(parts)
            tree = _tree(ident)
            assert tree
            process.kill()
            await process.wait()
            with pytest.raises(WorkspaceLost):
                await anext(parts)
    async with asyncio.timeout(20):
        await asyncio.to_thread(_await_death, tree)
    async with running(settings, tmp_path) as (_, address), channel(address) as open_channel:
        workspace = GrpcWorkspace(open_channel, workspace_id=ident, token=grant.token)
        assert (await workspace.run(["git", "status", "--porcelain"])).end.ok
        await workspace.close()


def _tree(mark: str) -> list[int]:
    """Descriptors of the processes whose arguments hold `mark`, so that no reused number deceives."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit() and mark in (place / "cmdline").read_text():
                found.append(os.pidfd_open(int(place.name)))
    return found


def _await_death(tree: list[int]) -> None:
    for descriptor in tree:
        select.select([descriptor], [], [])
        os.close(descriptor)

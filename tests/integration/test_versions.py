"""Versions of files: what an agent changed step by step, from real sandboxes and pods, while it works and after."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.versions.archive import Archive
from folkmoot.runtime.grpc.client import credentials, mapped, mapped_stream
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.fixtures.backends import runner
from tests.fixtures.workspace import TOKEN, Bench, bench, toolchains

__all__ = ["runner", "toolchains"]

AGENT = "a-1"
OURS = credentials(TOKEN)


async def listed(runner: Bench, **fields: object) -> list[pb.Version]:
    request = pb.ListVersionsRequest(**({"task_id": "t-1"} | fields))  # type: ignore[arg-type]
    with mapped():
        reply: pb.ListVersionsResponse = await runner.stub.ListVersions(request, metadata=OURS)
    return list(reply.versions)


def shown(version: pb.Version) -> tuple[int, str, list[tuple[str, bytes]]]:
    return version.name.number, version.what, [(c.operation, c.path) for c in version.changes]


def name(number: int, attempt: int = 1) -> pb.VersionName:
    return pb.VersionName(agent_id=AGENT, attempt=attempt, number=number)


async def file(runner: Bench, number: int, path: bytes) -> tuple[bytes, bool]:
    request = pb.RestoreFileRequest(task_id="t-1", version=name(number), path=path)
    stub: Any = runner.stub
    pieces = [p async for p in mapped_stream(stub.RestoreFile(request, metadata=OURS))]
    return b"".join(p.data for p in pieces), pieces[0].executable


async def diff(runner: Bench, number: int, **fields: object) -> str:
    request = pb.DiffVersionRequest(task_id="t-1", version=name(number), **fields)  # type: ignore[arg-type]
    stub: Any = runner.stub
    pieces = [p.data async for p in mapped_stream(stub.DiffVersion(request, metadata=OURS))]
    return b"".join(pieces).decode()


async def agent(runner: Bench, attempt: int = 1) -> GrpcWorkspace:
    return await runner.workspace(holder=AGENT, attempt=attempt, versions=True)


async def three_steps(runner: Bench) -> GrpcWorkspace:
    """Two writes and a command that changes; a look between them that does not."""
    workspace = await agent(runner)
    await workspace.write("adder.py", b"def add(a, b):\n    return b + a\n")
    await workspace.run(["cat", "adder.py"])
    await workspace.run(["sh", "-c", "rm README.md; printf 'x' >new.sh; chmod +x new.sh"])
    await workspace.write("adder.py", b"# the end\n", append=True)
    return workspace


WANTED = [
    (1, "write adder.py", [("M", b"adder.py")]),
    (2, "sh -c rm README.md; printf 'x' >new.sh; chmod +x new.sh", [("D", b"README.md"), ("A", b"new.sh")]),
    (3, "write adder.py", [("M", b"adder.py")]),
]


async def test_each_step_that_changes_a_file_is_a_version(runner: Bench) -> None:
    """While the agent works, and after its workspace is gone, the same; a look at a file is none."""
    workspace = await three_steps(runner)
    assert [shown(v) for v in await listed(runner)] == WANTED
    await workspace.close()
    found = await listed(runner)
    assert [shown(v) for v in found] == WANTED
    assert [v.name.number for v in await listed(runner, path=b"adder.py")] == [1, 3]
    assert await listed(runner, agent_id="a-2") == []
    assert found[0].made_at.ToDatetime() <= found[-1].made_at.ToDatetime()


async def test_any_version_of_any_file_comes_back(runner: Bench) -> None:
    """By number, base as number 0, with its mode; and what is different between any two."""
    workspace = await three_steps(runner)
    await workspace.close()
    assert await file(runner, 0, b"README.md") == (b"adder\n", False)
    assert await file(runner, 2, b"new.sh") == (b"x", True)
    assert await file(runner, 3, b"adder.py") == (b"def add(a, b):\n    return b + a\n# the end\n", False)
    assert "+# the end" in await diff(runner, 3)
    assert "return b + a" not in (await diff(runner, 3)).replace(" return b + a", "")
    whole = await diff(runner, 3, against=0)
    assert "+    return b + a" in whole
    assert "new.sh" in whole
    assert "new.sh" not in await diff(runner, 3, against=0, path=b"adder.py")
    for number, path in ((2, b"README.md"), (4, b"adder.py")):
        with pytest.raises(NotFound):
            await file(runner, number, path)
    for bad in (b"../x", b".git/config", b"/etc/passwd", b"tests"):
        with pytest.raises(InvalidInput, match="path"):
            await file(runner, 1, bad)


async def test_what_the_agent_does_to_git_changes_no_version(runner: Bench) -> None:
    """Its own repository, its configuration, attributes with filters, and a removed `.git`: the next step is kept."""
    workspace = await agent(runner)
    hostile = """git config core.hooksPath /workspace/h; git config filter.x.clean 'touch /workspace/ran'
    printf '[core]\\nhooksPath = /workspace/h\\nfsmonitor = /workspace/h/x\\n[commit]\\ngpgSign = 1\\n' >~/.gitconfig
    mkdir h; printf '#!/bin/sh\\ntouch /workspace/ran\\n' >h/post-commit; cp h/post-commit h/x; chmod +x h/*
    printf '* filter=x text eol=crlf ident\\n' >.gitattributes
    rm -rf .git; ls / | grep versions; ls -a"""
    done = await workspace.run(["sh", "-c", hostile])
    assert b"versions" not in done.stdout
    await workspace.write("adder.py", b"one\r\ntwo $Id$\n")
    assert [v.name.number for v in await listed(runner)] == [1, 2]
    assert await file(runner, 2, b"adder.py") == (b"one\r\ntwo $Id$\n", False)
    assert not any(c.path == b"ran" for v in await listed(runner) for c in v.changes)
    await workspace.close()


async def test_a_later_attempt_has_versions_of_its_own(runner: Bench) -> None:
    """Attempts are told apart, in order; a workspace where nothing changed has none."""
    first = await three_steps(runner)
    await first.close()
    second = await agent(runner, attempt=2)
    await second.write("a b\nc", b"odd name\n")
    third = await agent(runner, attempt=3)
    await third.run(["true"])
    await third.close()
    found = [(v.name.attempt, v.name.number) for v in await listed(runner)]
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert shown((await listed(runner))[-1]) == (1, "write a b c", [("A", b"a b\nc")])
    await second.close()


async def test_what_is_no_history_hides_no_other(local: Bench, tmp_path: Path) -> None:
    """Unpacked is it only when somebody asks; what cannot be then is removed, and the others are told."""
    workspace = await three_steps(local)
    await workspace.close()
    [came] = (tmp_path / "mirrors").glob("*/versions/t-1/*.bundle")
    came.with_name("a-2@1.bundle").write_bytes(came.read_bytes()[:-30] + b"x" * 30)
    assert [shown(v) for v in await listed(local)] == WANTED
    assert list(came.parent.glob("*.bundle")) == []
    assert [v.name.agent_id for v in await listed(local)] == [AGENT] * 3


async def test_a_lock_that_a_dead_runner_left_holds_up_no_version(local: Bench) -> None:
    """Killed in the middle of a checkpoint, it leaves git's lock behind."""
    opened = await local.opened(holder=AGENT, versions=True)
    workspace = local.holding(opened)
    await workspace.write("adder.py", b"one\n")
    await listed(local)
    (local.places / opened.workspace_id / "versions/index.lock").touch()
    await workspace.write("adder.py", b"two\n")
    assert [v.name.number for v in await listed(local)] == [1, 2]
    await workspace.close()


async def test_who_fetches_the_token_need_not_ask_for_versions(local: Bench) -> None:
    """Opened again with the same content it is found, and goes on keeping them."""
    first = await local.opened(holder=AGENT, versions=True)
    again = await local.opened(holder=AGENT)
    assert (again.workspace_id, again.token) == (first.workspace_id, first.token)
    await local.holding(again).write("adder.py", b"one\n")
    assert [v.name.number for v in await listed(local)] == [1]


async def test_a_workspace_keeps_none_unless_asked(local: Bench) -> None:
    """Examinations pay nothing; a task that nobody knows has no versions, and that is no error."""
    workspace = await local.workspace(holder=AGENT)
    await workspace.write("adder.py", b"x")
    await workspace.close()
    assert await listed(local) == []
    assert await listed(local, task_id="t-none") == []


@pytest.fixture
async def local(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Bench]:
    async with bench(tmp_path, toolchains) as ready:
        yield ready


@pytest.fixture
async def forgetful(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Bench]:
    async with bench(tmp_path, toolchains, settings=RunnerSettings(versions_s=0.001)) as ready:
        yield ready


async def test_old_versions_are_removed(forgetful: Bench, tmp_path: Path) -> None:
    """After the time that the settings say, with the folder of their task."""
    workspace = await agent(forgetful)
    await workspace.write("adder.py", b"x")
    await workspace.close()
    folders = list((tmp_path / "mirrors").glob("*/versions/*"))
    assert len(folders) == 1
    assert Archive.of(tmp_path / "mirrors", RunnerSettings(versions_s=0.001)).sweep() == 1
    assert not folders[0].exists()

"""What keeps a workspace in, and is no attack by itself; those are in `tests/security/abuse`."""

import contextlib
import os
import sys
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import WorkspaceLost
from tests.fixtures.workspace import Bench, bench, runner, toolchains, workspace

__all__ = ["runner", "toolchains", "workspace"]


async def test_outside_it_is_nobody(workspace: GrpcWorkspace, runner: Bench, tmp_path: Path) -> None:
    """A runner that is root runs the sandbox as the unprivileged user: its processes, its files, and no key of ours."""
    if os.getuid() != 0:
        pytest.skip("only root can choose a user")
    await workspace.write("mine", b"x")
    folder = runner.places / workspace.id
    assert (folder / "repo/mine").stat().st_uid == RunnerSettings().sandbox_uid
    async with aclosing(workspace.stream(["sh", "-c", "echo on; sleep 60; true", workspace.id])) as parts:
        await anext(aiter(parts))
        users = {uid for uid, argv in _processes() if workspace.id in argv}
    assert users == {RunnerSettings().sandbox_uid}
    for secret in (tmp_path / "runner/key", folder / "manifest.json"):
        assert (secret.stat().st_uid, secret.stat().st_mode & 0o077) == (0, 0)


def _processes() -> list[tuple[int, str]]:
    """User, seen from here, and arguments of everything that runs."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if place.name.isdigit():
                found.append((place.stat().st_uid, (place / "cmdline").read_text()))
    return found


async def test_tmp_is_bounded_and_private(workspace: GrpcWorkspace, runner: Bench) -> None:
    """What one call leaves in /tmp no other sees, and it is no more than its size."""
    await workspace.run(["sh", "-c", "echo secret > /tmp/s; echo secret > /dev/shm/s"])
    other = await runner.workspace()
    for each in (workspace, other):
        assert (await each.run(["sh", "-c", "ls -A /tmp /dev/shm"])).stdout == b"/dev/shm:\n\n/tmp:\n"


async def test_an_expired_workspace_is_gone(tmp_path: Path, toolchains: Toolchains) -> None:
    """After its lease nobody gets in, and the sweeper removes it."""
    from folkmoot.runtime.clock import VirtualClock

    clock = VirtualClock()
    async with bench(tmp_path, toolchains, clock=clock) as timed:
        opened = await timed.opened(ttl_s=60.0)
        workspace = timed.holding(opened)
        assert (await workspace.run(["true"])).end.ok
        await clock.advance(61)
        with pytest.raises(WorkspaceLost):
            await workspace.run(["true"])
        assert await timed.registry.sweep() == [opened.workspace_id]
        assert list(timed.places.iterdir()) == []


async def test_trees_that_are_hard_to_remove_are_removed(runner: Bench, workspace: GrpcWorkspace) -> None:
    """Very deep, unreadable, odd names: closing leaves nothing."""
    deep = "import os\nfor _ in range(3000):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n"
    await workspace.run(["python", "-c", deep])
    await workspace.run(["sh", "-c", "mkdir -p locked/x; touch locked/x/y; chmod 000 locked/x locked; mkfifo p"])
    await workspace.close()
    assert list(runner.places.iterdir()) == []


async def test_no_token_on_disk(runner: Bench, tmp_path: Path) -> None:
    """The capability stands in no file, and the key is ours alone."""
    opened = await runner.opened()
    places = [p for p in (tmp_path / "runner").rglob("*") if p.is_file()]
    assert all(opened.token.encode() not in p.read_bytes() for p in places)
    assert (tmp_path / "runner/key").stat().st_mode & 0o077 == 0
    assert msgspec.json.decode((runner.places / opened.workspace_id / "manifest.json").read_bytes())
    assert sys.platform == "linux"

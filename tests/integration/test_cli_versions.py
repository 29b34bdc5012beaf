"""`moot versions` as a process against a runner with real sandboxes."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fixtures.workspace import TOKEN, Bench, runner, toolchains

__all__ = ["runner", "toolchains"]


async def moot(runner: Bench, cwd: Path, *args: str) -> tuple[int, str, str]:
    own = {"PATH": os.environ["PATH"], "HOME": str(cwd), "FOLKMOOT_DATA": str(cwd)}  # noqa: TID251
    address = {f"FOLKMOOT_GRPC_{name}": runner.address for name in ("ORCHESTRATOR", "RUNNER")}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "moot"),
        "versions",
        *args,
        cwd=cwd,
        env=own | address | {"FOLKMOOT_GRPC_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return await process.wait(), out.decode(), err.decode()


@pytest.fixture
async def worked(runner: Bench) -> Bench:
    """An agent wrote twice, and its workspace is gone."""
    workspace = await runner.workspace(holder="dev-1", versions=True)
    await workspace.write("adder.py", b"one\n")
    await workspace.write("\x1b[31mred", b"two\n")
    await workspace.close()
    return runner


async def test_a_person_finds_a_version_and_takes_a_file_back(worked: Bench) -> None:
    """List, difference, content; a restore goes where it is asked to, and over no other content unless told."""
    folder = worked.repo.folder
    code, out, _ = await moot(worked, folder, "list", "t-1")
    assert code == 0
    assert "dev-1@1.1" in out
    assert "M adder.py" in out
    assert "\x1b" not in out
    code, out, _ = await moot(worked, folder, "diff", "t-1", "dev-1@1.1")
    assert (code, "+one" in out) == (0, True)
    before = (folder / "adder.py").read_bytes()
    code, _, err = await moot(worked, folder, "restore", "t-1", "dev-1@1.1", "adder.py")
    assert (code, "--force" in err, (folder / "adder.py").read_bytes() == before) == (2, True, True)
    code, _, _ = await moot(worked, folder / "tests", "restore", "t-1", "dev-1@1.1", "adder.py", "--force")
    assert (code, (folder / "adder.py").read_bytes()) == (0, b"one\n")
    (folder / "out").symlink_to("/")
    code, _, err = await moot(worked, folder, "restore", "t-1", "dev-1@1.1", "out/adder.py")
    assert code == 6


async def test_versions_for_programs(worked: Bench) -> None:
    """JSON with every change; what is no version says how they are named."""
    code, out, _ = await moot(worked, worked.repo.folder, "list", "t-1", "adder.py", "--json")
    [only] = json.loads(out)["versions"]
    assert (code, only["version"], only["changes"]) == (0, "dev-1@1.1", [{"path": "adder.py", "operation": "M"}])
    code, _, err = await moot(worked, worked.repo.folder, "diff", "t-1", "dev-1")
    assert (code, "moot versions list" in err) == (2, True)
    assert (await moot(worked, worked.repo.folder, "show", "t-1", "dev-1@1.9", "adder.py"))[0] == 6

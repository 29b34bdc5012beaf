"""How often git is started on the host: each is some milliseconds that all deliberations wait for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.repositories import Repo

_SCRIPT = """
import asyncio, os, pathlib, sys
from folkmoot.kernel.ids import AgentId, TaskId
from tests.repositories import mirrors

folder, log = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])

def now(what):
    with log.open("a") as file:
        file.write(f"== {what}\\n")

async def main():
    ours, _ = mirrors(folder / "m")
    now("first")
    await ours.prepare(str(folder / "origin"), "HEAD")
    now("base")
    base = await ours.prepare(str(folder / "origin"), "HEAD")
    now("candidate")
    verdict = await ours.admit(
        task_id=TaskId("t-1"), agent_id=AgentId("a-1"), round_=1, base=base,
        bundle=(folder / "bundle").read_bytes(), message="x",
    )
    now("examinations")
    for _ in range(3):
        await ours.bundle_of(base.repository_id, base.commit, verdict.commit)
    now("result")
    await ours.publish(TaskId("t-1"), base.repository_id, verdict.commit)

asyncio.run(main())
"""
_SHIM = """#!/bin/sh
for word; do case $word in
  ls-remote|upload-pack|cat-file|index-pack|diff-tree|pack-objects|update-ref|rev-parse|rev-list|for-each-ref|ls-tree|commit-tree)
    echo "$word" >>{log}; break;;
esac; done
exec {git} "$@"
"""


def test_no_more_than_it_takes(tmp_path: Path) -> None:
    """A base that is known costs one question to its origin, a candidate seven processes, its examinations none."""
    origin = Repo(tmp_path / "origin")
    base = origin.commit({"a.txt": "a\n", "tests/test_a.py": "def test_a(): pass\n"})
    (tmp_path / "bundle").write_bytes(origin.bundle(origin.commit({"a.txt": "b\n"}), base))
    origin.git("reset", "-q", "--hard", base)
    started = _started(tmp_path)
    assert started["base"] == ["ls-remote"]
    assert sorted(started["candidate"]) == [
        "cat-file", "diff-tree", "diff-tree", "index-pack", "index-pack", "pack-objects", "update-ref",
    ]  # fmt: skip
    assert started["examinations"] == []
    assert started["result"] == ["update-ref"]


def _started(folder: Path) -> dict[str, list[str]]:
    """Git's commands by what they were started for."""
    log, shim = folder / "log", folder / "bin/git"
    shim.parent.mkdir()
    shim.write_text(_SHIM.format(log=log, git=shutil.which("git")))
    shim.chmod(0o755)
    path = f"{shim.parent}:{os.environ['PATH']}"  # noqa: TID251
    argv = [sys.executable, "-c", _SCRIPT, str(folder), str(log)]
    subprocess.run(argv, env=dict(os.environ) | {"PATH": path}, check=True, timeout=120)  # noqa: TID251
    phases: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        if line.startswith("== "):
            phases[line.removeprefix("== ")] = found = []
        else:
            found.append(line)
    return phases

"""What a runner that was killed in the middle of `prepare`, or of packing, leaves behind does not trouble the next."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from folkmoot.runner import packing, refs
from folkmoot.runner.git import Git
from tests.fixtures.mirrors import candidates, everything
from tests.repositories import Repo, mirrors


async def test_a_fetch_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    """All refs had come, but the mirror's HEAD did not point to the origin's yet."""
    origin = Repo(tmp_path / "origin")
    first = origin.commit({"app.py": "x = 1\n"}, "first")
    ours, _ = mirrors(tmp_path / "m")
    base = await ours.prepare(str(origin.folder), "HEAD")
    mirror = ours.objects(base.repository_id)
    assert (mirror / "HEAD").is_file()
    (mirror / "HEAD").write_text("ref: refs/heads/none\n")
    assert (await ours.prepare(str(origin.folder), "HEAD")).commit == first


_PACKS = """
import asyncio, pathlib, sys
from folkmoot.runner import packing
from folkmoot.runner.git import Git

print("begins", flush=True)
asyncio.run(packing.pack(Git(pathlib.Path(sys.argv[1]))))
print("done", flush=True)
"""


async def test_packing_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """The runner and its git, by SIGKILL at many moments: every object and ref is there each time, and the next packing
    goes through."""
    repo = Repo(tmp_path / "r.git", bare=True)
    killed = 0
    for number in range(8):
        candidates(repo, [f"{number}-{n}" for n in range(4)])
        before = everything(repo)
        killed += _killed_after(repo.folder, 0.006 * number)
        assert everything(repo) == before
        # As time would: what the dead left is old by the next time.
        packing.clear(repo.folder, now=2**40)
    assert killed >= 3
    await packing.pack(Git(repo.folder))
    assert everything(repo) == before
    assert refs.loose_count(repo.folder) == 0


def _killed_after(folder: Path, seconds: float) -> bool:
    """Whether it was still packing."""
    with subprocess.Popen([sys.executable, "-c", _PACKS, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begins\n"
        over, _, _ = select.select([process.stdout], [], [], seconds)
        for pid in (process.pid, *_children(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not over


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []

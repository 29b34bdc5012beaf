import asyncio
import secrets
from pathlib import Path

from folkmoot.runner.command import Command
from folkmoot.runner.local.sandbox import Profile, collected
from folkmoot.runner.local.toolchain import discover


def _running(marker: str) -> list[int]:
    """Processes that have `marker` among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_a_cancelled_sandbox_leaves_nothing_at_whatever_moment(tmp_path: Path) -> None:
    """Also in the middle of its set-up, when the program has a child that nothing yet ties to it."""
    toolchains = discover(tmp_path)
    profile = Profile.plain(toolchains.bwrap, toolchains.mounts, charged=tmp_path, prefix=())
    marker = f"10{secrets.randbelow(10**9):09d}"
    command = Command(argv=("sleep", marker), cwd="/", timeout_s=60.0)
    for moment in range(60):
        try:
            async with asyncio.timeout(moment * 0.0002):
                await collected(profile, command)
        except TimeoutError:
            continue
    assert _running(marker) == []

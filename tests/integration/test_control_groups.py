"""The kernel's own bound on a command's memory, where this machine lets us have one."""

import os
from pathlib import Path

import msgspec

from folkmoot.runner.command import Command
from folkmoot.runner.local import groups
from folkmoot.runner.local.sandbox import SHM_BYTES, TMP_BYTES, Limits, Profile, collected
from folkmoot.runner.local.stage import staged
from folkmoot.runner.local.toolchain import discover, environment
from tests.fixtures import need

_MARK = "moot-test-of-groups"
_LIMITS = Limits(processes=64, open_files=256, file_bytes=2**30, memory_bytes=50_000_000, disk_bytes=2**30)
_SEGMENTS = TMP_BYTES + SHM_BYTES + 200_000_000
_BOMB = f"""
import os
files = [os.memfd_create("m") for _ in range(3)]
for _ in range({_SEGMENTS} // 3 // 10_000_000 + 1):
    for file in files: os.write(file, bytes(10_000_000))
os.sync()
"""


def _left() -> list[Path]:
    """Of ours; others of the machine come and go meanwhile."""
    found = (
        Path(at, name) for kind in ("memory", "pids") for at, names, _ in os.walk(groups.ROOT / kind) for name in names
    )
    return [place for place in found if place.name.startswith(f"{_MARK}-")]


async def test_the_kernel_ends_a_command_for_its_memory_and_nothing_is_left(tmp_path: Path) -> None:
    """Memory of no process, in less time than the watch looks; the end says so. Afterwards there is no group."""
    tmp_path.chmod(0o755)
    toolchains = discover(tmp_path)
    async with staged(toolchains, uid=65534, mark=_MARK) as stage:
        need(stage.groups, "no control group can be made here")
        shown = await stage.toolchains(toolchains)
        plain = Profile.plain(shown.bwrap, shown.mounts, charged=tmp_path, prefix=stage.prefix, locked=shown.locked)
        profile = msgspec.structs.replace(
            plain, groups=stage.groups, limits=_LIMITS, environment=environment(shown), mark=_MARK
        )
        done, said, _ = await collected(profile, Command(argv=("cat", "/proc/self/cgroup"), cwd="/"))
        assert done.end.ok
        seen = {name: place for _, name, place in (line.split(":") for line in said.decode().splitlines())}
        assert (seen["memory"], seen["pids"]) == ("/", "/"), "its own are all that it sees"
        bomb, *_ = await collected(profile, Command(argv=("python3", "-c", _BOMB), cwd="/"))
        assert bomb.end.limit == "memory"
    assert _left() == []


def test_none_is_found_where_none_can_be_made(tmp_path: Path) -> None:
    """Another version, or no groups at all."""
    for text in ("0::/user.slice\n", "4:memory:/nowhere/at/all\n8:pids:/nowhere\n", ""):
        (tmp_path / "own").write_text(text)
        assert groups.found("moot-x", tmp_path / "root", tmp_path / "own") is None


def test_groups_of_a_dead_runner_are_swept() -> None:
    """By the mark; others stay."""
    made = groups.found(_MARK)
    need(made, "no control group can be made here")
    assert made is not None
    left, other = made.made(2**30, 10), groups.Groups(made._memory, made._pids, f"x{_MARK}").made(2**30, 10)
    assert len(_left()) == 2
    assert groups.found(_MARK) is not None
    assert _left() == []
    assert other.removed()
    assert left.removed(), "again is fine"

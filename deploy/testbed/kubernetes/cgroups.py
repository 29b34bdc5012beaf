"""A control group of the bed's own, under which its kubelet keeps all pods: two beds do not meet there.

Version 1 has a tree for each controller, version 2 one for all of them.
"""

import contextlib
import operator
import os
from collections.abc import Iterator
from pathlib import Path

import tenacity

ROOT = Path("/sys/fs/cgroup")
_V2 = ("cpu", "cpuset", "memory", "pids")


def make(name: str) -> None:
    """In every tree that has controllers."""
    for tree in (tree for tree in _trees() if tree.name != "unified"):
        (tree / name).mkdir(exist_ok=True)
        if (tree / "cpuset.cpus").exists() and not (tree / "cgroup.controllers").exists():
            # A new group of version 1 has no processors until it is told which.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (tree / name / file).write_text((tree / file).read_text("utf-8"), "utf-8")
        if (tree / "cgroup.controllers").exists():
            _hand_down(tree, name)


def _hand_down(tree: Path, name: str) -> None:
    wanted = [c for c in _V2 if c in (tree / "cgroup.controllers").read_text("utf-8").split()]
    for group in (tree, tree / name):
        if wanted:
            (group / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in wanted), "utf-8")


def remove(name: str) -> list[Path]:
    """With all groups below, once their processes are gone; returns what is left, after 5 s at most."""
    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_result(operator.truth),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(5.0),
        retry_error_callback=lambda _: groups(name),
    )
    return waiting(_remove_once, name)


def _remove_once(name: str) -> list[Path]:
    for group in groups(name):
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):  # a process in it has not quite ended
                Path(folder).rmdir()
    return groups(name)


def groups(name: str) -> list[Path]:
    """Those that are there."""
    return [tree / name for tree in _trees() if (tree / name).is_dir()]


def _trees() -> Iterator[Path]:
    if (ROOT / "cgroup.controllers").exists():
        yield ROOT
        return
    # "unified" among them: version 2 beside version 1, without controllers; runc makes groups there too.
    yield from (p for p in sorted(ROOT.iterdir()) if p.is_dir() and not p.is_symlink())

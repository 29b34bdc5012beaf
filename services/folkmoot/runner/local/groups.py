"""Control groups: the kernel's own count of a command's memory and processes, which nothing in it escapes.

Of the first version and for a runner that is root, below the groups that it is in itself: there the kernel lets us, and
asks nobody. In the second version a group that divides its limits holds no process itself, so whoever starts the runner
would have to give it an empty part of the tree. Where none can be made, `found` says None, and the watch counts alone.
"""

import asyncio
import itertools
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PROBE = "moot-probe"
"""Mark of who has none."""
_LOOK_S, _LOOKS = 0.01, 200
_SPARE_PROCESSES = 8
"""Of the sandbox itself."""
_JOIN = 'echo 0 >"$1" && echo 0 >"$2" && shift 2 && exec "$@"'
"""Who joins by itself, as one thread, is moved at once: to be moved by another one takes some 20 ms, for which nothing
on this machine starts or ends (the kernel's `cgroup_threadgroup_rwsem`)."""


class Group:
    """Of one command."""

    def __init__(self, memory: Path, pids: Path) -> None:
        self._folders = (memory, pids)

    def limit(self, memory_bytes: int, processes: int) -> None:
        memory, pids = self._folders
        for folder in self._folders:
            folder.mkdir()
        (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
        (pids / "pids.max").write_text(str(processes + _SPARE_PROCESSES))

    @property
    def entrance(self) -> tuple[str, ...]:
        """In front of an argv: it runs in here, with all that it starts, or not at all."""
        return ("/bin/sh", "-c", _JOIN, "join", *(str(folder / "tasks") for folder in self._folders))

    @property
    def starved(self) -> bool:
        """Whether the kernel killed something in it for its memory."""
        lines = (self._folders[0] / "memory.oom_control").read_text().splitlines()
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)

    def removed(self) -> bool:
        """Not while something in it is still dying."""
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


class Groups:
    """Of one runner, by its mark."""

    def __init__(self, memory: Path, pids: Path, mark: str) -> None:
        self._memory = memory
        self._pids = pids
        self._mark = mark or _PROBE
        self._numbers = itertools.count()
        self._leaving: list[Group] = []

    def made(self, memory_bytes: int, processes: int) -> Group:
        """Empty; whoever made it gives it back by `remove`. Raises OSError."""
        name = f"{self._mark}-{os.getpid()}-{next(self._numbers)}"
        group = Group(self._memory / name, self._pids / name)
        self._leaving.append(group)
        group.limit(memory_bytes, processes)
        self._leaving.remove(group)
        return group

    def remove(self, group: Group) -> None:
        """Now, or as soon as another one is removed."""
        self._leaving = [each for each in (*self._leaving, group) if not each.removed()]

    async def drained(self) -> None:
        """Once all that was removed is gone, or does not go."""
        for _ in range(_LOOKS):
            self._leaving = [each for each in self._leaving if not each.removed()]
            if not self._leaving:
                return
            await asyncio.sleep(_LOOK_S)

    def sweep(self) -> None:
        """What a dead runner of this mark left."""
        for name in {p.name for parent in (self._memory, self._pids) for p in parent.glob(f"{self._mark}-*")}:
            self.remove(Group(self._memory / name, self._pids / name))


def found(mark: str, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Groups | None:
    """Tried, not guessed: None where one cannot be made."""
    if os.getuid() != 0:
        return None
    try:
        fields = [line.split(":", 2) for line in own.read_text().splitlines()]
        parts = {name: place for _, names, place in fields for name in names.split(",")}
        groups = Groups(_place(root, parts, "memory"), _place(root, parts, "pids"), mark)
        groups.sweep()
        groups.remove(groups.made(2**30, 64))
    except (OSError, KeyError):
        return None
    return groups


def _place(root: Path, parts: dict[str, str], controller: str) -> Path:
    return root / controller / parts[controller].lstrip("/")

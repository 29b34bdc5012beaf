"""What a sandbox uses, seen from outside: processes, memory and open files by /proc, disk by looking. Linux only."""

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

TICK_S = 0.1
"""A fork bomb makes a few thousand processes in this time, which a machine survives."""
DISK_SHARE = 0.05
"""Of the time spent looking at the disk: a large tree is looked at less often."""
DISK_TICK_S = 0.5
ROOM_BYTES = 16 * 1024**2
"""A file system with less than this is as good as full."""
CRAMPED = "room"
FILES = 500_000
"""Inodes in one workspace."""


class Use(msgspec.Struct, frozen=True):
    processes: int
    memory_bytes: int


async def exceeded(pid: int, folder: Path, *, memory_bytes: int, processes: int, disk_bytes: int) -> str:
    """Waits until the tree under `pid`, or `folder`, is over a limit; says which (`memory`, `processes`, `disk`, or
    `room`, which nobody may be blamed for)."""
    look_at = time.monotonic() + DISK_TICK_S
    while True:
        await asyncio.sleep(TICK_S)
        use = used(pid, stop_at=processes)
        if use.processes > processes:
            return "processes"
        if use.memory_bytes > memory_bytes:
            return "memory"
        if cramped(folder):
            return CRAMPED
        if (began := time.monotonic()) >= look_at:
            nameless = await asyncio.to_thread(held, pid, folder, stop_at=processes)
            if use.memory_bytes + nameless.memory_bytes > memory_bytes:
                return "memory"
            if await asyncio.to_thread(overfull, folder, disk_bytes - nameless.disk_bytes):
                return "disk"
            look_at = time.monotonic() + max(DISK_TICK_S, (time.monotonic() - began) / DISK_SHARE)


def cramped(folder: Path) -> bool:
    """Whether the disk under `folder` is full: what a command does then says nothing about the command."""
    try:
        info = os.statvfs(folder)
    except OSError:
        return False
    return info.f_blocks > 0 and info.f_bavail * info.f_frsize < ROOM_BYTES


def used(pid: int, *, stop_at: int) -> Use:
    """Of `pid` and all its descendants; counting ends soon after `stop_at` processes."""
    resident = [_resident(each) for each in _tree(pid, stop_at)]
    return Use(len(resident), sum(resident))


class Nameless(msgspec.Struct, frozen=True):
    """What open files without a name take, which no walk through folders finds."""

    disk_bytes: int
    memory_bytes: int


def held(pid: int, folder: Path, *, stop_at: int) -> Nameless:
    """By `pid` and all its descendants: files on the disk under `folder`, and others (memfd, /tmp) in memory."""
    try:
        disk = folder.stat().st_dev
    except OSError:
        return Nameless(0, 0)
    found = {(info.st_dev, info.st_ino): info.st_blocks * 512 for each in _tree(pid, stop_at) for info in _opened(each)}
    on_disk = sum(size for (device, _), size in found.items() if device == disk)
    return Nameless(on_disk, sum(found.values()) - on_disk)


def _tree(pid: int, stop_at: int) -> Iterator[int]:
    waiting, count = [pid], 0
    while waiting and count <= stop_at:
        current = waiting.pop()
        count += 1
        yield current
        waiting += children(current)


def _opened(pid: int) -> Iterator[os.stat_result]:
    """Regular files that have no name any more; none for a process that is gone or not ours."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            info = descriptor.stat()
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and info.st_nlink == 0:
            yield info


def overfull(folder: Path, limit_bytes: int) -> bool:
    """Whether the files under `folder` take more than `limit_bytes` on disk, or are too many."""
    total = 0
    for files, size in enumerate(_sizes(folder)):
        total += size
        if total > limit_bytes or files > FILES:
            return True
    return False


def size(folder: Path) -> int:
    """Bytes that the files under `folder` take on disk."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes on disk of each entry; links are not followed, what vanishes meanwhile counts nothing."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    yield _on_disk(entry)
        except OSError:
            continue


def _on_disk(entry: "os.DirEntry[str]") -> int:
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    return 0 if stat.S_ISFIFO(info.st_mode) else info.st_blocks * 512


def children(pid: int) -> list[int]:
    """Of all its threads; none for a process that is gone."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except (OSError, ValueError):
        return found
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0

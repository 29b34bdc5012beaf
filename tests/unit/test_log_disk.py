"""When the log's disk was full, and has room again, its server is started anew; not before, and not without need."""

import asyncio
from pathlib import Path

import pytest

from folkmoot.platform.space import Complaints, keep_writable

SAID = b"[7] 2026/11/21 16:03:53 [ERR] Filestore [S] Critical write error: write x: no space left on device\n"


class Disk:
    """Free bytes that a test sets, and a log that it writes; counts restarts."""

    def __init__(self, folder: Path) -> None:
        self.free = 1 << 30
        self.restarts = 0
        self.looks = 0
        self.looked = asyncio.Event()
        self.said = folder / "nats.log"

    def room(self, folder: Path) -> int:
        return self.free

    def restart(self) -> None:
        self.restarts += 1

    async def pause(self, seconds: float) -> None:
        """A look is over; the next one comes when the test asks."""
        self.looked.set()
        self.next = asyncio.Event()
        await self.next.wait()

    async def look(self) -> int:
        self.looked.clear()
        self.next.set()
        await self.looked.wait()
        return self.restarts


async def _looking(disk: Disk, folder: Path) -> "asyncio.Task[None]":
    work = keep_writable(folder, Complaints(disk.said), disk.restart, room=disk.room, pause=disk.pause)
    task = asyncio.get_running_loop().create_task(work)
    await disk.looked.wait()
    return task


async def test_a_write_that_failed_needs_one_restart(tmp_path: Path) -> None:
    """Also where the disk was full between two looks only; what was said before the restart is not held against it."""
    disk = Disk(tmp_path)
    disk.said.write_bytes(b"[INF] Server is ready\n")
    task = await _looking(disk, tmp_path)
    assert await disk.look() == 0
    with disk.said.open("ab") as said:
        said.write(SAID)
    assert [await disk.look() for _ in range(3)] == [1, 1, 1]
    with disk.said.open("ab") as said:
        said.write(b'[INF] Trapped "terminated" signal\n')
    assert await disk.look() == 1
    with disk.said.open("ab") as said:
        said.write(SAID)
    assert await disk.look() == 2
    task.cancel()


async def test_it_waits_for_room(tmp_path: Path) -> None:
    """A server that starts on a full disk would give itself no room: it is started anew when there is some."""
    disk = Disk(tmp_path)
    task = await _looking(disk, tmp_path)
    disk.free = 1000
    disk.said.write_bytes(SAID)
    assert [await disk.look() for _ in range(2)] == [0, 0]
    disk.free = 1 << 30
    assert [await disk.look() for _ in range(2)] == [1, 1]
    task.cancel()


@pytest.mark.parametrize("cut", [1, 40, len(SAID) - 30])
def test_words_that_come_in_two_pieces_are_read(tmp_path: Path, cut: int) -> None:
    """The log may be read while a line is being written."""
    said = tmp_path / "nats.log"
    complaints = Complaints(said)
    assert not complaints.new()
    said.write_bytes(SAID[:cut])
    first = complaints.new()
    with said.open("ab") as more:
        more.write(SAID[cut:])
    assert complaints.new() or first
    assert not complaints.new()

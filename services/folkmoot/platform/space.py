"""Brings the log back when its disk was full.

nats-server remembers a failed write: the stream it failed on takes nothing more, and answers nothing, until the server
is started again, however much room there is by then; and one that starts on a full disk gives itself no room to grow.
It says so in its own log only.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_S = 0.5
ROOM_BYTES = 16 * 1024**2
"""Less than this counts as full: a few blocks of a stream."""
_WORDS = (b"critical write error", b"no space left on device")
_LONGEST = max(map(len, _WORDS))


class Complaints:
    """What nats-server has said of failed writes since it was asked before. Its log is emptied by nobody meanwhile."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self._rest = b""
        """Of a line that may have been read before it was whole."""

    def new(self) -> bool:
        words = self._rest + self._more().lower()
        found = any(word in words for word in _WORDS)
        self._rest = b"" if found else words[-_LONGEST:]
        return found

    def _more(self) -> bytes:
        if not self._file.exists():
            return b""
        with self._file.open("rb") as said:
            said.seek(self._at)
            words = said.read()
            self._at = said.tell()
        return words


def room(folder: Path) -> int:
    """Free bytes for one who is not root."""
    info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize


async def keep_writable(
    folder: Path,
    complaints: Complaints,
    restart: Callable[[], None],
    *,
    room: Callable[[Path], int] = room,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """For ever: `restart` is called once there is room again in `folder` after a write failed, or room was short."""
    full = False
    while True:
        short, failed = room(folder) < ROOM_BYTES, complaints.new()
        if (short or failed) and not full:
            log.error("the disk of the log is full: %s", folder, extra={"action": "disk-full"})
            full = True
        if full and not short:
            log.warning("the log has room again; its server is started anew", extra={"action": "disk-free"})
            restart()
            full = False
        await pause(LOOK_S)

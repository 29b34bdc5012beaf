"""Resident memory of a platform's parts, looked at while others work."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from folkmoot.platform.place import PlatformInfo
from tests.chaos import processes

SERVICES = ("planning", "runner", "context", "orchestrator")
LOOK_S = 0.5


def resident(platform: PlatformInfo, names: tuple[str, ...] = SERVICES) -> Mapping[str, int]:
    """Bytes by name of the part."""
    return {name: _bytes(processes.part(platform, name).pid) for name in names}


def _bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Of all services together, in bytes."""

    def __init__(self, platform: PlatformInfo) -> None:
        self._platform = platform
        self.before = self.most = self._now()

    def _now(self) -> int:
        return sum(resident(self._platform).values())

    def until(self, over: threading.Event) -> None:
        while not over.wait(LOOK_S):
            self.most = max(self.most, self._now())


@contextmanager
def watched(platform: PlatformInfo) -> Iterator[Watch]:
    watch, over = Watch(platform), threading.Event()
    watcher = threading.Thread(target=watch.until, args=(over,), name="memory")
    watcher.start()
    try:
        yield watch
    finally:
        over.set()
        watcher.join()

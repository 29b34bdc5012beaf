"""A workspace's folder on this machine: each command runs in a sandbox of its own over it."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from folkmoot.runner import files
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.local import gocache, sandbox
from folkmoot.runner.local.gocache import Layers
from folkmoot.runner.local.sandbox import Profile


class Folder:
    """A `Room`."""

    def __init__(self, path: Path, profile: Profile) -> None:
        self.path = path
        self.go: Layers | None = None
        """Go's build cache, once Go is known to be spoken."""
        self._profile = profile

    async def run(self, command: Command, sink: Sink) -> Ended:
        with self._leased() as profile:
            return await sandbox.run(profile, command, sink)

    async def plain(self, path: bytes, limit: int) -> bytes | None:
        return await asyncio.to_thread(files.plain, self.path / "repo", path, limit)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[Profile]:
        """The kind of sandbox, for as long as one command runs."""
        if self.go is None:
            yield self._profile
            return
        with self.go.taken() as mount:
            yield gocache.cached(self._profile, mount)

"""One open workspace: what it is for, and everything that can be done in it.

What is in `repo` and `home` is hostile: every git command and every file operation on it runs inside the sandbox. Only
plain files are read from outside (`files.plain`).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId, WorkspaceId, workspace_id
from folkmoot.runner import checkout, files, gocache
from folkmoot.runner.checkout import Output, Tree
from folkmoot.runner.gocache import Layers
from folkmoot.runner.jobs import CLOSED, Jobs, Part, Turns
from folkmoot.runner.sandbox import Command, Ended, Profile
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.port import Entry, WorkspaceLost

_OWN_TIMEOUT_S = 110.0
"""Of our own commands inside, such as a check-out; just below the callers' patience."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace is for. The same task, holder and attempt: the same workspace."""

    task_id: TaskId
    holder: str
    attempt: int
    repository_id: RepositoryId
    tree: Tree

    @property
    def workspace_id(self) -> WorkspaceId:
        return workspace_id(self.task_id, self.holder, self.attempt)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    wish: Wish
    nonce: str
    """Tells this workspace's token from that of another one of the same name."""
    expires_at: datetime


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Two, so that reading a file never waits behind somebody's tests."""

    ours: Turns
    """Check-outs, files, bundles."""
    theirs: Turns
    """What agents and examinations run."""


class Workspace:
    """One open workspace. All methods raise NotFound once it is closed, WorkspaceLost when the sandbox breaks."""

    def __init__(
        self, folder: Path, manifest: Manifest, profile: Profile, jobs: Jobs, queues: Queues, settings: RunnerSettings
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._profile = profile
        self._jobs = jobs
        self._queues = queues
        self._settings = settings
        self.go: Layers | None = None
        """Go's build cache, once Go is known to be spoken."""

    def stream(self, command: Command) -> AsyncGenerator[Part, None]:
        return self._jobs.stream(self._leased, command, self._queues.theirs)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[Profile]:
        if self.go is None:
            yield self._profile
            return
        with self.go.taken() as mount:
            yield gocache.cached(self._profile, mount)

    async def shell(self, argv: Sequence[str | bytes], stdin: bytes, limit: int) -> Output:
        command = Command(argv=tuple(argv), stdin=stdin, timeout_s=_OWN_TIMEOUT_S, output_limit=limit)
        streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        async for part in self._jobs.stream(self._leased, command, self._queues.ours):
            if isinstance(part, Ended):
                return Output(ended=part, stdout=b"".join(streams["stdout"]), stderr=b"".join(streams["stderr"]))
            streams[part.stream].append(part.data)
        raise WorkspaceLost("the command vanished")

    async def read(self, path: bytes, limit: int) -> bytes:
        if self.ended:
            raise NotFound(CLOSED)
        found = await asyncio.to_thread(files.plain, self.folder / "repo", path, limit)
        return await files.read(self.shell, path, limit) if found is None else found

    async def write(self, path: bytes, content: bytes, *, append: bool) -> None:
        await files.write(self.shell, path, content, append=append)

    async def listing(self, path: bytes, depth: int, limit: int) -> list[Entry]:
        return await files.listing(self.shell, path, depth, limit)

    async def take_in(self, bundle: bytes, commit: CommitId) -> None:
        if len(bundle) > 4 * self._settings.bundle_bytes:
            raise InvalidInput("bundle", f"{len(bundle)} bytes are too many")
        await checkout.take_in(self.shell, bundle, commit)

    async def bundled(self, base: CommitId) -> bytes:
        return await checkout.bundled(self.shell, base, self._settings.bundle_bytes)

    @property
    def ended(self) -> bool:
        return self._jobs.ended

    async def end(self) -> None:
        await self._jobs.end()

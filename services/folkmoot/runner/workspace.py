"""One open workspace: what it is for, and everything that can be done in it.

What is in it is hostile: every git command and every file operation on it runs inside its room. Only what a room can
read without any process of the workspace's is read so (`Room.plain`).
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Protocol

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.ids import CommitId, RepositoryId, TaskId, WorkspaceId, workspace_id
from folkmoot.runner import checkout, files
from folkmoot.runner.checkout import Output, Stock, Tree
from folkmoot.runner.command import Command, Ended, Run, Sink
from folkmoot.runner.jobs import CLOSED, Jobs, Part, Turns
from folkmoot.runner.versions import steps
from folkmoot.runner.versions.port import Kept
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
    deferred: bool = False
    """The check-out is the first command's."""
    versions: bool = False
    """Each step that changes a file is kept."""

    @property
    def workspace_id(self) -> WorkspaceId:
        return workspace_id(self.task_id, self.holder, self.attempt)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    wish: Wish
    nonce: str
    """Tells this workspace's token from that of another one of the same name."""
    expires_at: datetime
    environment: str = ""
    """What it has besides its files, as its backend tells environments apart; empty: nothing."""


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Two, so that reading a file never waits behind somebody's tests."""

    ours: Turns
    """Check-outs, files, bundles."""
    theirs: Turns
    """What agents and examinations run."""


class Room(Protocol):
    """Where the commands of one workspace run, and what they leave is kept. Each backend has its own."""

    async def run(self, command: Command, sink: Sink) -> Ended:
        """As `command.Run` says."""
        ...

    async def plain(self, path: bytes, limit: int) -> bytes | None:
        """A file's content, where the room can read it without a command; else, and for whatever is not simply a file
        of at most `limit` bytes, None."""
        ...


class Workspace:
    """One open workspace. All methods raise NotFound once it is closed, WorkspaceLost when the sandbox breaks."""

    def __init__(self, manifest: Manifest, room: Room, jobs: Jobs, queues: Queues, settings: RunnerSettings) -> None:
        self.manifest = manifest
        self.room = room
        self._jobs = jobs
        self._queues = queues
        self._settings = settings
        self._stock: Stock | None = None
        self._whole = True
        self.steps: Kept | None = None
        """Where versions of files are kept."""

    @property
    def wish(self) -> Wish:
        return self.manifest.wish

    def defer(self, stock: Stock) -> None:
        """The first command makes the check-out, from what `stock` says and `skeleton` laid there."""
        self._stock, self._whole = stock, False

    def stream(self, command: Command) -> AsyncGenerator[Part, None]:
        """Raises FailedPrecondition("deferred")."""
        stock, self._stock = self._stock, None
        if stock is not None:
            return self._first(stock, command)
        self._need_whole()
        parts = self._jobs.stream(self._stepping(), command, self._queues.theirs)
        return parts if self.steps is None else self._noted(self.steps, parts, steps.told(command.argv))

    def _stepping(self) -> Run:
        """Of what may change a file."""
        return self.room.run if self.steps is None else self.steps.stepping(self.room.run)

    async def _noted(self, kept: Kept, parts: AsyncGenerator[Part, None], what: str) -> AsyncGenerator[Part, None]:
        """A version, once it is over; also of a command that was left."""
        await kept.settled()
        async with aclosing(parts):
            try:
                async for part in parts:
                    if isinstance(part, Ended):
                        break
                    yield part
                else:
                    return
            finally:
                kept.note(what)
            yield part

    async def _first(self, stock: Stock, command: Command) -> AsyncGenerator[Part, None]:
        """The check-out and the command in one sandbox: nothing of the check-out is said or counted as the command's,
        and its end is told from the command's by what was said before that began. Raises what `checkout.fill` does."""
        both = checkout.behind(self.manifest.wish.tree, stock, command)
        async with aclosing(self._jobs.stream(self.room.run, both, self._queues.theirs)) as parts:
            early = await checkout.filled(parts)
            self._whole, began = True, time.monotonic()
            for piece in early:
                yield piece
            async for part in parts:
                yield _lasting(part, time.monotonic() - began) if isinstance(part, Ended) else part

    def _need_whole(self) -> None:
        if not self._whole:
            raise FailedPrecondition("deferred", "the first command makes the check-out, and it has not done so")

    async def shell(self, argv: Sequence[str | bytes], stdin: bytes, limit: int) -> Output:
        """For what changes no file that anybody keeps versions of."""
        return await self._shell(self.room.run, argv, stdin, limit)

    async def changing(self, argv: Sequence[str | bytes], stdin: bytes, limit: int) -> Output:
        return await self._shell(self._stepping(), argv, stdin, limit)

    async def _shell(self, run: Run, argv: Sequence[str | bytes], stdin: bytes, limit: int) -> Output:
        self._need_whole()
        command = Command(argv=tuple(argv), stdin=stdin, timeout_s=_OWN_TIMEOUT_S, output_limit=limit)
        streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        async for part in self._jobs.stream(run, command, self._queues.ours):
            if isinstance(part, Ended):
                return Output(ended=part, stdout=b"".join(streams["stdout"]), stderr=b"".join(streams["stderr"]))
            streams[part.stream].append(part.data)
        raise WorkspaceLost("the command vanished")

    async def read(self, path: bytes, limit: int) -> bytes:
        if self.ended:
            raise NotFound(CLOSED)
        self._need_whole()
        found = await self.room.plain(path, limit)
        return await files.read(self.shell, path, limit) if found is None else found

    async def write(self, path: bytes, content: bytes, *, append: bool) -> None:
        if self.steps is None:
            await files.write(self.shell, path, content, append=append)
            return
        await self.steps.settled()
        await files.write(self.changing, path, content, append=append)
        self.steps.note(steps.written(path))

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


def _lasting(ended: Ended, seconds: float) -> Ended:
    return msgspec.structs.replace(ended, end=msgspec.structs.replace(ended.end, duration_s=seconds))

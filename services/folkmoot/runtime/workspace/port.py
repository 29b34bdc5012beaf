"""A workspace, as agents and examiners see it.

A command that failed is a value; a workspace that failed is an exception.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.ids import CommitId, WorkspaceId


class WorkspaceLost(FolkmootError):
    """The workspace is gone: closed, expired, or its runner died. A retry needs a fresh one."""


NOT_OPEN = "the workspace is not open"
"""How the runner's NotFound begins when it means the workspace, and not a file in it."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of output, in the order in which it was read."""

    stream: str
    """`stdout` or `stderr`."""
    data: bytes


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a listing, relative to the repository's root, with `/` between its parts."""

    path: str
    """Undecodable bytes are surrogate-escaped."""
    kind: str
    """`file`, `dir`, `link` or `other`."""
    size: int
    """Bytes; 0 for what is not a file."""


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A command that ran to its end, whatever end that was."""

    end: CommandEnd
    stdout: bytes
    stderr: bytes
    truncated: bool
    """More than `output_limit` bytes came; the rest was read and thrown away."""


class Workspace(Protocol):
    """All paths are relative to the repository's root; one that leaves it raises InvalidInput("path", …)."""

    @property
    def id(self) -> WorkspaceId: ...

    def stream(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> AsyncIterator[Chunk | CommandEnd]:
        """Run one command in a process tree of its own; what it leaves running dies with it. Ends with one CommandEnd.

        `output_limit` is bytes per stream. Raises WorkspaceLost.
        """
        ...

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> Completed:
        """`stream`, collected."""
        ...

    async def read(self, path: str, *, limit: int = 10_000_000) -> bytes:
        """Raises NotFound, or InvalidInput when it is no regular file or larger than `limit` bytes."""
        ...

    async def write(self, path: str, content: bytes, *, append: bool = False) -> None:
        """Creates parent folders; never follows a link out. Raises InvalidInput, ResourceExhausted."""
        ...

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 10_000) -> list[Entry]:
        """Sorted by path, without `.git`; raises NotFound, or ResourceExhausted when there are more than `limit`."""
        ...

    async def export_bundle(self, base: CommitId) -> bytes:
        """Git bundle of `base`..HEAD. Raises FailedPrecondition("no_commit", …) when HEAD is `base`."""
        ...

    async def import_bundle(self, bundle: bytes, commit: CommitId) -> None:
        """Fetch a bundle whose prerequisite is already here, and check `commit` out. Raises InvalidInput."""
        ...

    async def close(self) -> None:
        """Ends everything in it and removes it; closing twice is fine."""
        ...

"""A command in a workspace, and how it ended: the same words for every backend."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from folkmoot.kernel.evidence import CommandEnd

REPO = "/workspace"
"""Where the repository is inside."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str | bytes, ...]
    cwd: str | bytes = REPO
    environment: Mapping[str, str] = {}
    stdin: bytes = b""
    timeout_s: float = 60.0
    output_limit: int = 1_000_000
    """Bytes per stream; the rest is read and thrown away."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    end: CommandEnd
    truncated: bool


Sink = Callable[[str, bytes], Awaitable[None]]
"""Takes `stdout` or `stderr`, and a piece of it."""
Run = Callable[[Command, Sink], Awaitable[Ended]]
"""Runs to the end, whatever end that is; cancelling it ends the whole process tree.

Raises WorkspaceLost when the sandbox broke, Misconfigured when there cannot be one, InvalidInput for an argv that is
too long."""

"""Reading many objects of one repository through one git, which stays for as long as it is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from folkmoot.runner.git import TIMEOUT_S, Git, GitFailed, GitTooSlow

_COMMAND = "cat-file"


class About(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    """`blob`, `tree`, `commit`, `tag`; `missing` when it is not there."""
    size: int = 0
    """Bytes."""


class Objects:
    """What `git cat-file --batch-command` says. Names are full object ids: whatever else could stand in a line of the
    conversation is not asked. One question at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def about(self, object_ids: Sequence[str]) -> list[About]:
        """Kinds and sizes, in the order of `object_ids`. Raises GitFailed."""
        return [about async for about, _ in self._asked("info", object_ids)]

    async def contents(self, object_ids: Sequence[str]) -> list[bytes]:
        """Bodies, in the order of `object_ids`; the caller knows that they are small. Raises GitFailed, also when one
        is missing."""
        bodies = []
        async for about, body in self._asked("contents", object_ids):
            if about.kind == "missing":
                raise GitFailed(_COMMAND, "an object is missing")
            bodies.append(body)
        return bodies

    async def _asked(self, what: str, object_ids: Sequence[str]) -> AsyncIterator[tuple[About, bytes]]:
        for object_id in object_ids:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await self._answer(what, object_id)
            except TimeoutError as error:
                raise GitTooSlow(_COMMAND, f"no answer after {TIMEOUT_S:g} s") from error
            except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
                raise GitFailed(_COMMAND, "it ended in the middle of an answer") from error
            yield answer

    async def _answer(self, what: str, object_id: str) -> tuple[About, bytes]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{what} {object_id}\n".encode("ascii"))
        await process.stdin.drain()
        _, kind, *size = (await process.stdout.readuntil()).decode("ascii").split()
        about = About(kind=kind, size=int(size[0]) if size else 0)
        if what == "info" or kind == "missing":
            return about, b""
        return about, (await process.stdout.readexactly(about.size + 1))[:-1]


@asynccontextmanager
async def reading(git: Git) -> AsyncIterator[Objects]:
    """Objects of `git`'s repository, those included that come while it is read."""
    async with git.conversation(_COMMAND, "--batch-command") as process:
        yield Objects(process)

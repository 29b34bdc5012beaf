"""Checkpoints of one workspace, one after the other, in the order of its steps.

A checkpoint is made while the agent's model thinks; whatever would change a file waits for it, so that each holds one
step. One that cannot be made is left out: no agent is held up or fails for want of a version.
"""

import asyncio
import logging
from collections.abc import Sequence

from folkmoot.kernel.errors import FolkmootError, ResourceExhausted, Unavailable
from folkmoot.kernel.ids import CommitId
from folkmoot.runner.command import Command, Ended, Run
from folkmoot.runner.jobs import Jobs, Turns
from folkmoot.runner.versions import shadow

log = logging.getLogger(__name__)

WORDS = 200
"""Characters that say what a step was."""


class Steps:
    def __init__(self, commit: CommitId, run: Run, jobs: Jobs, turns: Turns, group: asyncio.TaskGroup) -> None:
        """`run` runs commands over the shadow repository, whose history begins at `commit`."""
        self.commit = commit
        self._run = run
        self._jobs = jobs
        self._turns = turns
        self._group = group
        self._last: asyncio.Task[None] | None = None
        self._count = 0
        self._untouched = False
        """Begun here, and nothing was noted since; a predecessor's may hold anything."""

    def begin(self, bundle: bytes) -> None:
        """Right after the check-out; `bundle` brings the commit where the mirror's objects do not have it."""
        self.begun()
        self._queue(shadow.begin(bundle))

    def begun(self) -> None:
        """Right after the check-out, the shadow repository `knows` it, and has the commit."""
        self._untouched = True

    def stepping(self, plain: Run) -> Run:
        """Whatever ran, the repository is looked at from outside."""
        return plain

    def note(self, what: str) -> None:
        """Something may have changed."""
        self._untouched = False
        if self._count < shadow.MOST:
            self._count += 1
            self._queue(shadow.step(what))

    async def settled(self) -> None:
        """Wait until all that was noted is kept, or cannot be."""
        if self._last is not None:
            await asyncio.wait([self._last])

    async def exported(self, limit: int) -> bytes:
        """A bundle of all steps, empty where there are none. Raises ResourceExhausted for more than `limit` bytes,
        Unavailable, NotFound once the workspace is closed, WorkspaceLost."""
        await self.settled()
        if self._untouched:
            return b""
        ended, body = await self._done(shadow.export(self.commit, limit))
        if ended.end.exit_code == shadow.NOTHING:
            return b""
        if ended.truncated:
            raise ResourceExhausted(f"the versions are larger than {limit} bytes")
        if ended.end.exit_code != 0:
            raise Unavailable(f"git cannot pack the versions: {ended.end.limit or ended.end.exit_code}")
        return body

    def _queue(self, command: Command) -> None:
        self._last = self._group.create_task(self._behind(self._last, command), name="version")

    async def _behind(self, before: "asyncio.Task[None] | None", command: Command) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            ended, _ = await self._done(command)
        except FolkmootError as error:
            log.debug("no version of a step: %s", error)
            return
        if ended.end.exit_code != 0:
            log.info("no version of a step: %s", ended.end.limit or ended.end.exit_code, extra={"action": "version"})

    async def _done(self, command: Command) -> tuple[Ended, bytes]:
        body = bytearray()
        async for part in self._jobs.stream(self._run, command, self._turns):
            if isinstance(part, Ended):
                return part, bytes(body)
            if part.stream == "stdout":
                body += part.data
        raise Unavailable("the command vanished")


def told(argv: Sequence[str | bytes]) -> str:
    """A command in a few words: of a shell, what it was asked to run."""
    words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in argv]
    if words[:2] == ["sh", "-c"] and len(words) > 3:
        words = words[3:] if words[3] != "sh" else words[4:]
    return _plain(" ".join(words)) or "run"


def written(path: bytes) -> str:
    return _plain(f"write {path.decode('utf-8', 'replace')}")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()[:WORDS]

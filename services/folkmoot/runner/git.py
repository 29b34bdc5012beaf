"""The only place that runs git on the host.

Always on bare repositories of our own, never on a working tree or a `.git` that somebody else could write, with an
environment and a configuration that hold nothing but what stands here.
"""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Unavailable
from folkmoot.runner.local.pipes import feed
from folkmoot.runtime.settings import inherited

TIMEOUT_S = 60.0
OUTPUT_BYTES = 64 * 1024**2
_STDERR_BYTES = 64 * 1024
_PIECE = 256 * 1024
_GRACE_S = 2.0
"""Between being asked to end and being killed."""

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}
_CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.filesRefLockTimeout=10000",
    "core.bigFileThreshold=16m",
    "core.quotePath=false",
    "safe.bareRepository=explicit",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "advice.graftFileDeprecated=false",
    "submodule.recurse=false",
)


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A git command that ended by itself, or that we ended because of its output."""

    code: int
    """Negative: the signal that ended it."""
    stdout: bytes
    stderr: str
    truncated: bool
    """More than the cap came on stdout; git was ended."""


class GitFailed(Unavailable):
    """A git command on a repository of ours failed, as on a full disk; `complaint` is what git said."""

    def __init__(self, command: str, complaint: str) -> None:
        super().__init__(f"git {command}: {complaint}")
        self.command = command
        self.complaint = complaint

    def __reduce__(self) -> tuple[type["GitFailed"], tuple[object, ...]]:
        return type(self), (self.command, self.complaint)


class GitTooSlow(GitFailed):
    """It was ended after its time."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on a git that reads hostile bytes."""

    address_space: int = 2 * 1024**3
    """Bytes."""
    file_size: int = 1024**3
    """Bytes of the largest file that it may write."""


class Git:
    """Git on one bare repository of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def out(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, limit: int = OUTPUT_BYTES
    ) -> bytes:
        """Standard output; raises GitFailed on any other end than success."""
        done = await self.run(*args, stdin=stdin, env=env, limit=limit)
        if done.truncated:
            raise GitFailed(args[0], f"more than {limit} bytes of output")
        if done.code != 0:
            raise GitFailed(args[0], last_line(done.stderr) or f"exit {done.code}")
        return done.stdout

    async def line(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """`out`, as one stripped line of text."""
        return (await self.out(*args, stdin=stdin, env=env)).decode("utf-8", "replace").strip()

    async def run(
        self,
        *args: str,
        config: Sequence[str] = (),
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit: int = OUTPUT_BYTES,
        timeout_s: float = TIMEOUT_S,
        memory: Memory | None = None,
    ) -> Finished:
        """Raises GitTooSlow when `timeout_s` seconds pass. Ending our task ends git and its children."""
        argv = self._argv(args, config)
        try:
            async with asyncio.timeout(timeout_s):
                return await _run(argv, stdin, env or {}, limit, memory, self.folder)
        except TimeoutError as error:
            raise GitTooSlow(args[0], f"no end after {timeout_s:g} s") from error

    @asynccontextmanager
    async def conversation(self, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A git that is asked and answers for as long as the block runs. Nobody hears what it complains of."""
        process = await _started(self._argv(args), {}, self.folder, stdin=True, stderr=asyncio.subprocess.DEVNULL)
        try:
            yield process
        finally:
            _kill(process)
            await process.wait()

    def _argv(self, args: Sequence[str], config: Sequence[str] = ()) -> list[str]:
        return [*_argv((*_CONFIGURATION, *config)), f"--git-dir={self.folder}", *args]


def last_line(text: str) -> str:
    """The last line that git said, without its prefix and without control characters."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    return "".join(c for c in said.removeprefix("fatal: ").removeprefix("error: ") if c.isprintable())[:300]


def _argv(configuration: Sequence[str]) -> list[str]:
    return ["git", *(part for setting in configuration for part in ("-c", setting))]


async def _run(
    argv: Sequence[str], stdin: bytes, env: Mapping[str, str], limit: int, memory: Memory | None, cwd: Path
) -> Finished:
    process = await _started(argv, env, cwd, stdin=bool(stdin), stderr=asyncio.subprocess.PIPE)
    try:
        if memory:
            _confine(process.pid, memory)
        return await _converse(process, stdin, limit)
    finally:
        await _end(process)


async def _started(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, stdin: bool, stderr: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env={**inherited("PATH"), **_ENVIRONMENT, **env},
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, limit: int) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        # One that does not want to hear the rest closes its end: its exit status says why.
        group.create_task(feed(process, stdin), name="git-stdin")
        errors = group.create_task(_read(process.stderr, _STDERR_BYTES, process, end=False), name="git-stderr")
        output = group.create_task(_read(process.stdout, limit, process, end=True), name="git-stdout")
    body, truncated = output.result()
    complaint = errors.result()[0].decode("utf-8", "replace")
    return Finished(code=await process.wait(), stdout=body, stderr=complaint, truncated=truncated)


async def _read(
    stream: asyncio.StreamReader, limit: int, process: asyncio.subprocess.Process, *, end: bool
) -> tuple[bytes, bool]:
    """At most `limit` bytes; what comes after is thrown away, or ends the process."""
    body = bytearray()
    truncated = False
    while piece := await stream.read(_PIECE):
        room = limit - len(body)
        body += piece[:room]
        if len(piece) > room:
            truncated = True
            if end:
                _kill(process)
    return bytes(body), truncated


def _confine(pid: int, memory: Memory) -> None:
    """Before it is fed a byte. A process that is gone already needs no limits."""
    try:
        resource.prlimit(pid, resource.RLIMIT_AS, (memory.address_space, memory.address_space))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (memory.file_size, memory.file_size))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    except ProcessLookupError:
        return


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing of git's process group outlives the call. It is asked first: a git that is killed leaves lock files."""
    try:
        if process.returncode is None:
            _kill(process, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE_S)
    finally:
        _kill(process)
    await process.wait()


def _kill(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return

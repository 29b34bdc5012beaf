"""Child processes: started, awaited until they are ready, restarted when they die, ended by pid."""

import asyncio
import json
import logging
import os
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.process import EXIT_MISCONFIGURED, end_session

log = logging.getLogger(__name__)

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE")
"""Of our own environment: what a service may know. Credentials reach a service by its own settings only."""
READY_S = 180.0
"""A cold Ray has taken 20 s on a busy machine of two cores, and over 60 s on one with far too much to do."""
STOP_S = 10.0
"""After SIGTERM; then SIGKILL. Services drain within 5 s."""
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Between two starts of a child that keeps dying; the last one repeats."""
STEADY_S = 30.0
"""A child that ran so long starts with a clean record when it dies."""
START_DEATHS = 2
"""A child that dies so often before it was ever ready will not come up."""
TAIL_LINES = 5
"""Of a child's log, shown when it does not start."""

Announced = dict[str, str]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a child."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    announces: bool = True
    """It prints one line of JSON when it is ready; otherwise it counts as ready once it runs."""
    keeps: Sequence[int] = ()
    """Descriptors of ours that stay open in it."""
    ready_s: float = READY_S
    """How long it may take to become ready, each time that it is started."""


Recast = Callable[[Recipe], Sequence[Recipe]]
"""Turns each recipe into those that are started in its place; the first of them is the one that is waited for."""


def as_written(recipe: Recipe) -> Sequence[Recipe]:
    return (recipe,)


class Child:
    """One supervised process, by whatever pid it has now."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.log_file = folder / "logs" / f"{recipe.name}.log"
        self._cwd = folder / "empty"
        self._process: Process | None = None
        self._ready: asyncio.Future[Announced] = asyncio.get_running_loop().create_future()
        self.drain_s = STOP_S
        """After SIGTERM; then it is killed."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def ready(self) -> Announced:
        """What it announced. Raises Misconfigured with the end of its log when it does not come up."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), self.recipe.ready_s)
        except TimeoutError as error:
            words = f"{self.recipe.name} is not ready after {self.recipe.ready_s:.0f} s"
            raise Misconfigured(words + self._tail()) from error

    async def keep(self) -> None:
        """Run it, and run it again when it dies, until cancelled."""
        deaths, clock = 0, asyncio.get_running_loop().time
        try:
            while True:
                began = clock()
                code = await self._run()
                deaths = 0 if clock() - began > STEADY_S else deaths
                if not self._ready.done() and (code == EXIT_MISCONFIGURED or deaths >= START_DEATHS):
                    self._ready.set_exception(Misconfigured(f"{self.recipe.name} does not start{self._tail()}"))
                    return
                log.warning("%s ended with %d and is started again", self.recipe.name, code)
                await asyncio.sleep(BACKOFF_S[min(deaths, len(BACKOFF_S) - 1)])
                deaths += 1
        finally:
            await self._stop()

    def restart(self) -> None:
        """It is told to end; `keep` starts it again."""
        if self._process is not None and self._process.returncode is None:
            _signal(self._process, signal.SIGTERM)

    async def _run(self) -> int:
        self._cwd.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as errors, _pipe() as (ours, theirs):
            self._process = process = await asyncio.create_subprocess_exec(
                *_ending_with_us(self.recipe.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=errors,
                cwd=self._cwd,
                env=dict(self.recipe.env),
                pass_fds=self.recipe.keeps,
                start_new_session=True,
            )
            theirs.close()
            if not self.recipe.announces and not self._ready.done():
                self._ready.set_result({})
            async with beside(self._watch(process, ours), name=f"announcements of {self.recipe.name}"):
                code = await process.wait()
        end_session(process.pid)
        return code

    async def _watch(self, process: Process, pipe: BinaryIO) -> None:
        """Hear what it announces; a child that hangs before it is ready is killed, and so started again."""
        if not self.recipe.announces:
            return
        async with _reading(pipe) as lines:
            try:
                async with asyncio.timeout(self.recipe.ready_s):
                    announced = await _announced(lines)
            except TimeoutError:
                log.warning("%s is not ready after %.0f s and is killed", self.recipe.name, self.recipe.ready_s)
                _signal(process, signal.SIGKILL)
                return
            if announced is not None and not self._ready.done():
                self._ready.set_result(announced)
            while await lines.read(64 * 1024):
                continue  # whatever else it prints must not block it

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.drain_s)
        except TimeoutError:
            level = logging.WARNING if self.drain_s == STOP_S else logging.INFO
            log.log(level, "%s did not end within %.0f s and is killed", self.recipe.name, self.drain_s)
            _signal(process, signal.SIGKILL)
            await process.wait()
        end_session(process.pid)

    def _tail(self) -> str:
        lines = self.log_file.read_text("utf-8", "replace").splitlines() if self.log_file.exists() else []
        return "".join(f"\n  {line}" for line in lines[-TAIL_LINES:])


def _signal(process: Process, number: signal.Signals) -> None:
    """Of one that has just ended there is nothing to tell."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _ending_with_us(argv: Sequence[str]) -> list[str]:
    """Asks the kernel for SIGTERM when we die, however we die. By a program, not between fork and exec: gRPC, which we
    may have loaded, aborts a child that runs Python there. Raises Misconfigured without setpriv."""
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if setpriv is None:
        raise Misconfigured("setpriv (util-linux) is missing")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv]


async def _announced(lines: asyncio.StreamReader) -> Announced | None:
    """The first line of JSON; None when there is none before the end."""
    async for line in lines:
        if line.startswith(b"{"):
            found: Announced = json.loads(line)
            return found
    return None


@asynccontextmanager
async def _reading(pipe: BinaryIO) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        yield reader
    finally:
        transport.close()


@contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """One of our own: asyncio's counts a child as running while anything that it left behind holds the pipe."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", 0) as ours, os.fdopen(write, "wb", 0) as theirs:
        yield ours, theirs


class Family:
    """All children of one platform."""

    def __init__(self, folder: Path, group: asyncio.TaskGroup, recast: Recast) -> None:
        self._folder = folder
        self._group = group
        self._recast = recast
        self.children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def kept(self) -> list[str]:
        """Names of all that is kept or attended to."""
        return list(self._tasks)

    def start(self, recipe: Recipe) -> Child:
        first, *_ = [self._start(r) for r in self._recast(recipe)]
        return first

    def _start(self, recipe: Recipe) -> Child:
        child = Child(recipe, self._folder)
        self.children[recipe.name] = child
        self._tasks[recipe.name] = self._group.create_task(child.keep(), name=f"child {recipe.name}")
        return child

    def attend(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Does `work` for as long as the children are kept that do not end last."""
        self._tasks[name] = self._group.create_task(work, name=name)

    async def stop(self, names: Sequence[str], *, drain_s: float = STOP_S) -> None:
        """End these and wait until they are gone."""
        for name in self.children.keys() & set(names):
            self.children[name].drain_s = drain_s
        stopping = [self._tasks.pop(n) for n in names if n in self._tasks]
        for task in stopping:
            task.cancel()
        if stopping:
            await asyncio.wait(stopping)


@asynccontextmanager
async def family(folder: Path, *, last: Sequence[str], recast: Recast = as_written) -> AsyncIterator[Family]:
    """Children live as long as the block; those named in `last` end after all others."""
    async with asyncio.TaskGroup() as group:
        children = Family(folder, group, recast)
        try:
            yield children
        finally:
            await children.stop([n for n in children.kept if n not in last])
            await children.stop(list(last))

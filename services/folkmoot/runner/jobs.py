"""Commands under way: each in a task of its own, so that closing a workspace ends them whoever listens."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from folkmoot.kernel.errors import FolkmootError, NotFound
from folkmoot.runner.command import Command, Ended, Run
from folkmoot.runtime.workspace.port import NOT_OPEN, Chunk, WorkspaceLost

log = logging.getLogger(__name__)

Part = Chunk | Ended
CLOSED = f"{NOT_OPEN} any more"
_AHEAD = 8
"""Pieces read ahead of a slow listener; then the command waits, and its time runs."""
TURN_S = 2.0
"""Most commands are over by then. One that is not keeps running, but nobody waits for it any longer."""


class Turns:
    """Who may begin: `at_once` commands that are in their first TURN_S seconds.

    Short commands so take turns on few cores, and no number of commands that hang keeps others from beginning: a wait
    is at most TURN_S for every `at_once` commands that came before. Those that run for longer share the cores by the
    kernel's rule, and there is one at a time in a workspace unless its holder asks for more.
    """

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._slots.acquire()
        with ExitStack() as once:
            once.callback(self._slots.release)
            timer = asyncio.get_running_loop().call_later(TURN_S, once.close)
            once.callback(timer.cancel)
            yield


class Jobs:
    """Of one workspace."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    async def stream(self, run: Run, command: Command, turns: Turns) -> AsyncGenerator[Part, None]:
        """Pieces of output, then how it ended; its time-out begins with its turn. Leaving it ends the command.

        Raises NotFound when the workspace is closed, WorkspaceLost, Misconfigured.
        """
        if self._closed:
            raise NotFound(CLOSED)
        parts: asyncio.Queue[Part | FolkmootError] = asyncio.Queue(_AHEAD)
        task = self._group.create_task(self._run(run, command, turns, parts), name="command")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # By callback: a task that is cancelled before its first step never gets to say anything.
        task.add_done_callback(lambda done: _tell_closed(parts) if done.cancelled() else None)
        try:
            while True:
                part = await parts.get()
                if isinstance(part, FolkmootError):
                    raise part
                yield part
                if isinstance(part, Ended):
                    return
        finally:
            _cancel(task)

    @property
    def ended(self) -> bool:
        return self._closed

    async def end(self) -> None:
        """No new ones, and wait until those that run are gone."""
        self._closed = True
        for task in list(self._running):
            _cancel(task)
        if self._running:
            await asyncio.wait(self._running)

    async def _run(
        self, run: Run, command: Command, turns: Turns, parts: "asyncio.Queue[Part | FolkmootError]"
    ) -> None:
        async def tell(stream: str, data: bytes) -> None:
            await parts.put(Chunk(stream=stream, data=data))

        try:
            async with turns.turn():
                ended: Part | FolkmootError = await run(command, tell)
        except FolkmootError as error:
            ended = error
        except Exception:
            log.exception("a command could not be run")
            ended = WorkspaceLost("the runner failed at this command; its log says why")
        await parts.put(ended)


def _cancel(task: "asyncio.Task[None]") -> None:
    """Once only: a second time would cut short its wait for the sandbox's death."""
    if not task.cancelling():
        task.cancel()


def _tell_closed(parts: "asyncio.Queue[Part | FolkmootError]") -> None:
    """Whatever the listener has not heard yet, this is what it hears next."""
    while not parts.empty():
        parts.get_nowait()
    parts.put_nowait(NotFound(CLOSED))

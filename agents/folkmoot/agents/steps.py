"""The audit trail of one run: each step to `agent.steps`, in order. A log that fails costs steps, never the run."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.events import START, Head
from folkmoot.kernel.facts import StepTaken
from folkmoot.runtime.log.port import Log

log = logging.getLogger(__name__)

DRAIN_S = 5.0
"""How long the end of a run waits for its last steps."""

Queue = asyncio.Queue[StepTaken | None]


class Steps:
    """Where a run puts its steps; never waits."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.count = 0

    def next(self) -> int:
        """The number of the next step."""
        self.count += 1
        return self.count

    def take(self, step: StepTaken) -> None:
        self._queue.put_nowait(step)


@asynccontextmanager
async def recording(bus_log: Log, subject: str) -> AsyncIterator[Steps]:
    """Steps that are taken inside the block are appended behind what earlier attempts left."""
    queue: Queue = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(_write(bus_log, subject, queue), name=f"steps {subject}")
        try:
            yield Steps(queue)
            queue.put_nowait(None)
            await asyncio.wait([writer], timeout=DRAIN_S)
        finally:
            writer.cancel()


async def _write(bus_log: Log, subject: str, queue: Queue) -> None:
    head: Head | None = None
    while (step := await queue.get()) is not None:
        try:
            head = (await bus_log.append(subject, step, after=head or await _head(bus_log, subject))).head
        except FolkmootError as error:
            log.warning("step %d is not on %s: %s", step.step, subject, error, extra={"action": "step-lost"})
            head = None


async def _head(bus_log: Log, subject: str) -> Head:
    last = await bus_log.last(subject)
    return START if last is None else last.head

"""Where agents run: a port, a pool of warm Ray actors, and a pool in this process. Ray is imported when it is started.

Nothing is forked per task: an actor hosts many runs. A dead actor costs its runs one attempt each.
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from folkmoot.agents.assignment import Assignment
from folkmoot.agents.errors import AttemptLost
from folkmoot.agents.host import Opening, Parts, for_hosts, hosted, real_parts
from folkmoot.kernel.facts import AgentFinished
from folkmoot.runtime import ray as runtime_ray
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.supervise import together
from folkmoot.runtime.telemetry.ambient import replay
from folkmoot.runtime.telemetry.meters import Record

START_S = 60.0
"""A new actor on a busy two-core machine has taken 10 s."""


class AgentPool(Protocol):
    async def run(self, assignment: Assignment) -> AgentFinished:
        """One run, to its end; cancelling the call ends the run. Raises AttemptLost when its host died."""
        ...


class LocalPool:
    """Runs agents in this process, with `settings` as `for_hosts` gives them. An async context manager."""

    def __init__(self, settings: Settings, opening: Opening = real_parts) -> None:
        self._settings = settings
        self._opening = opening
        self._stack = AsyncExitStack()
        self._parts: Parts | None = None

    async def start(self) -> None:
        self._parts = await self._stack.enter_async_context(self._opening(self._settings))

    async def run(self, assignment: Assignment) -> AgentFinished:
        finished, records = await self.run_counted(assignment)
        replay(records)
        return finished

    async def run_counted(self, assignment: Assignment) -> tuple[AgentFinished, tuple[Record, ...]]:
        """One run, and what the runs of this pool counted since the last one ended."""
        assert self._parts is not None, "the pool is started first"
        finished = await hosted(assignment, self._parts, self._settings)
        return finished, self._parts.tally.drain() if self._parts.tally else ()

    async def close(self) -> None:
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Host(LocalPool):
    """The actor: a local pool that says which process it is in."""

    async def where(self) -> int:
        """Answers once it is ready; the process id."""
        import os

        await self.start()
        return os.getpid()


class _Slot:
    """A place for an actor; the one in it is replaced when it dies."""

    def __init__(self) -> None:
        self.actor: Any = None
        self.pid = 0
        self.running = 0
        self.filling = asyncio.Lock()


class RayPool:
    """Warm async actors on the cluster at `settings.agents.ray_address`. An async context manager, to leave it.

    Changes the working directory of this process (see `runtime.ray`).
    """

    def __init__(self, settings: Settings, opening: Opening = real_parts) -> None:
        self._settings = settings
        self._opening = opening
        self._slots = [_Slot() for _ in range(settings.agents.actors)]
        self._joining = asyncio.Lock()
        self._joined = False

    async def start(self) -> None:
        """Join the cluster as soon as it is there, and warm the actors. The first run does so if nobody has.

        Raises Misconfigured when no cluster answers, AttemptLost when an actor does not start.
        """
        await self._join()
        await together({f"actor {n}": self._warm(slot) for n, slot in enumerate(self._slots)})

    async def run(self, assignment: Assignment) -> AgentFinished:
        slot = min(self._slots, key=lambda s: s.running)
        slot.running += 1
        try:
            return await self._on(slot, assignment)
        finally:
            slot.running -= 1

    @property
    def pids(self) -> list[int]:
        """Processes of the actors, in the order of their slots; 0 where one is being replaced."""
        return [slot.pid for slot in self._slots]

    async def close(self) -> None:
        """Runs that are under way end with their actors."""
        if self._joined:
            runtime_ray.disconnect()

    async def _join(self) -> None:
        async with self._joining:
            if not self._joined:
                await runtime_ray.join(self._settings)
                self._joined = True

    async def _warm(self, slot: _Slot) -> None:
        await self._filled(slot)

    async def _on(self, slot: _Slot, assignment: Assignment) -> AgentFinished:
        await self._join()
        import ray

        actor = await self._filled(slot)
        call = actor.run_counted.remote(assignment)
        try:
            finished: AgentFinished
            finished, records = await call
        except asyncio.CancelledError:
            ray.cancel(call)
            raise
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            self._empty(slot, actor)
            raise AttemptLost(f"the agent's process died: {type(error).__name__}") from error
        replay(records)
        return finished

    async def _filled(self, slot: _Slot) -> Any:
        async with slot.filling:
            if slot.actor is None:
                slot.actor, slot.pid = await self._new_actor()
            return slot.actor

    async def _new_actor(self) -> tuple[Any, int]:
        import ray

        host = ray.remote(_Host).options(
            num_cpus=0, max_concurrency=self._settings.agents.agents_per_actor, max_restarts=0, max_task_retries=0
        )
        actor: Any = host.remote(for_hosts(self._settings), self._opening)
        try:
            async with asyncio.timeout(START_S):
                return actor, await actor.where.remote()
        except (TimeoutError, ray.exceptions.RayError) as error:
            ray.kill(actor)
            raise AttemptLost(f"no process for agents could be started: {error}") from error

    def _empty(self, slot: _Slot, actor: Any) -> None:
        """Unless another run has done so already."""
        if slot.actor is actor:
            slot.actor, slot.pid = None, 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

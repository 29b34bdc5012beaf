"""Carries faults out, one after the other, and takes the time until everybody has recovered."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from folkmoot.runtime.grpc.client import channel
from tests.chaos.faults import Fault, Kind, Phase
from tests.chaos.processes import Process
from tests.chaos.proxy import Trouble
from tests.chaos.record import Row
from tests.chaos.stage import Stage
from tests.chaos.watch import Watch

Say = Callable[[str], None]

DRAIN_S = 12.0
"""Longer than a service takes to end in good order."""
PATIENCE_S = 4.0
"""For something in the phase that a fault waits for; then it comes as it is."""
RECOVERY_S = 420.0
"""Longest time until everybody answers and the log goes on: patience of the services, and a busy machine."""


class Injector:
    """`told` hears of each fault that is over, `say` each line of the time line."""

    def __init__(self, stage: Stage, watch: Watch, seed: str, told: Callable[[Row], None], say: Say) -> None:
        self._stage = stage
        self._watch = watch
        self._seed = seed
        self._told = told
        self._say = say
        self._chance = random.Random(seed)
        self._began = time.monotonic()
        self.current = 0
        """Number of the last fault that began."""
        self.rows: list[Row] = []
        self.timeline: list[str] = []

    def note(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.2f}  {text}"
        self.timeline.append(line)
        self._say(line)
        with (self._stage.folder / "timeline.txt").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    async def all(self, faults: list[Fault]) -> None:
        """Returns when the last one is over and everybody has recovered, or did not."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                waiting = group.create_task(self._one(fault), name=f"fault {fault.number}")
                if fault.settles:
                    await waiting
                else:
                    await self._watch.until(waiting.done, fault.pause_s + 1.0)

    async def _one(self, fault: Fault) -> None:
        await self._moment(fault)
        at_s, self.current = time.monotonic() - self._began, fault.number
        self.note(f"#{fault.number} {fault}")
        skipped = await self._carried_out(fault)
        over = time.monotonic()
        recovered = None if skipped else await self._recovered(over)
        words = skipped or (f"recovered after {recovered:.1f} s" if recovered is not None else "NOT RECOVERED")
        self.note(f"#{fault.number} {words}")
        at_s = round(at_s, 2)
        self.rows.append(Row(seed=self._seed, fault=fault, at_s=at_s, skipped=skipped, recovered_s=recovered))
        self._told(self.rows[-1])

    async def _moment(self, fault: Fault) -> None:
        if fault.phase is not Phase.ANY:
            await self._watch.until(lambda: fault.phase in self._watch.now(), PATIENCE_S)
        await asyncio.sleep(fault.pause_s)

    async def _carried_out(self, fault: Fault) -> str:
        """Empty, or why not."""
        match fault.kind:
            case Kind.KILL | Kind.RESTART:
                return await self._ended(fault.victim, hard=fault.kind is Kind.KILL)
            case Kind.PAUSE | Kind.FREEZE:
                return await self._stopped(fault)
            case Kind.DISK:
                return await self._full(fault)
            case Kind.CLOCK:
                self._stage.jump(fault.victim, fault.amount)
                return ""
        async with self._stage.proxy.troubled(fault.victim, self._trouble(fault)):
            await asyncio.sleep(fault.seconds)
        return ""

    def _trouble(self, fault: Fault) -> Trouble:
        match fault.kind:
            case Kind.CUT:
                return Trouble(refused=True)
            case Kind.DEAF:
                return Trouble(deaf=True)
            case Kind.MUTE:
                return Trouble(mute=True)
            case Kind.DROP:
                return Trouble(lost=lambda: self._chance.random() < fault.amount)
        return Trouble(late_s=fault.amount)

    async def _ended(self, victim: str, *, hard: bool) -> str:
        if victim == "platform":
            await self._stage.again(hard=hard)
            self._watch.again()
            return ""
        process = self._stage.part(victim)
        if process is None:
            return "nobody of that name was there"
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL if hard else signal.SIGTERM)
        await self._until_gone(process)
        if victim == "model":
            await self._stage.model_down()
            await self._stage.model_up()
        return ""

    async def _until_gone(self, process: Process) -> None:
        """Told to end, it may drain first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while process.alive:  # noqa: ASYNC110 -- a process of others
                    await asyncio.sleep(0.05)

    async def _stopped(self, fault: Fault) -> str:
        process = self._stage.part(fault.victim)
        if process is None:
            return "nobody of that name was there"
        try:
            os.kill(process.pid, signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
        except ProcessLookupError:
            return "it ended by itself"
        finally:
            if process.alive:
                os.kill(process.pid, signal.SIGCONT)
        return ""

    async def _full(self, fault: Fault) -> str:
        if self._stage.no_disks:
            return f"nothing can be mounted: {self._stage.no_disks}"
        with self._stage.filled(fault.victim) as ballast:
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until:
                ballast.press()
                await asyncio.sleep(0.05)
        return ""

    # --- afterwards ---------------------------------------------------------------------------------------------

    async def _recovered(self, over: float) -> float | None:
        """Seconds until all services answer and each task that is under way has moved on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RECOVERY_S):
                while not await self._well(over):  # noqa: ASYNC110 -- other processes are asked
                    await asyncio.sleep(0.05)
                return round(time.monotonic() - over, 2)
        return None

    async def _well(self, over: float) -> bool:
        return not self._watch.stuck(over) and await self._answer()

    async def _answer(self) -> bool:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            info = self._stage.info
            addresses = (info.planning, info.orchestrator, info.context, info.runner)
            return all([await _serving(address) for address in addresses])
        return False


async def _serving(address: str) -> bool:
    async with channel(address) as opened:
        stub: Any = health_pb2_grpc.HealthStub(opened)
        try:
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

"""Whole deliberations, from DeliberateAsync to the decision, and where the time of one goes."""

import statistics
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.result import State
from folkmoot.kernel.stretches import Part
from folkmoot.kernel.trace import Trace, trace
from folkmoot.orchestrator.trail import trail
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.log.nats import NatsBus
from tests.bench import stage
from tests.bench.bare import Bare
from tests.bench.measure import Row, interleaved, timed, timed_call
from tests.fixtures.platform import Moot

ROUNDS = 7
LATENCY_S = 0.05


class Stand:
    """A client of the orchestrator, a reader of its log, and the bare floor."""

    def __init__(self, stub: "rpc.OrchestratorServiceAsyncStub", token: str, bus: NatsBus, bare: Bare) -> None:
        self.stub = stub
        self.metadata = credentials(token)
        self.bus = bus
        self.bare = bare
        self.ended: list[TaskId] = []

    async def deliberate(self, task: pb.Task) -> None:
        with mapped():
            reply = await self.stub.DeliberateAsync(pb.DeliberateAsyncRequest(task=task), metadata=self.metadata)
        self.ended.append(TaskId(reply.task_id))
        async with aclosing(self.bus.log.follow(subjects.deliberation(self.ended[-1]))) as events:
            async for stored in events:
                if isinstance(stored.event.data, DeliberationEnded):
                    _must_be_decided(stored.event.data)
                    return

    async def trace(self, task: TaskId) -> Trace:
        return trace([stored.event async for stored in trail(self.bus.log, task)])


def _must_be_decided(fact: DeliberationEnded) -> None:
    """A quick failure is no quick decision."""
    if fact.result.state is not State.DECIDED:
        raise SystemExit(f"the measured deliberation is {fact.result.state}: {'; '.join(fact.result.reasons)}")


@asynccontextmanager
async def stand(command: Moot, bare: Bare) -> AsyncIterator[Stand]:
    info = command.info
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(channel(info.orchestrator))
        bus = await stack.enter_async_context(stage.bus(command))
        yield Stand(rpc.OrchestratorServiceStub(opened), info.token, bus, bare)


async def instant(on: Stand, place: Path, model_url: str) -> Row:
    work = f"{stage.AGENTS} agents, instant model, {stage.CALLS} calls each, DeliberateAsync to decided"
    return await _row(on, stage.task(place, model_url), work, 0.0, "<= 1.5x, <= 400 ms more")


async def slow(on: Stand, place: Path, model_url: str) -> Row:
    work = f"the same with {LATENCY_S * 1000:.0f} ms a model call (floor: {stage.CALLS * LATENCY_S * 1000:.0f} ms more)"
    return await _row(on, stage.task(place, model_url), work, stage.CALLS * LATENCY_S, "<= 1.1x")


async def _row(on: Stand, task: pb.Task, work: str, waiting_s: float, aim: str) -> Row:
    async def ours() -> float:
        return await timed(on.deliberate(task))

    async def floor() -> float:
        return waiting_s + timed_call(lambda: on.bare.deliberation(stage.AGENTS))

    return await interleaved(work, ours, floor, rounds=ROUNDS, aim=aim)


async def breakdown(on: Stand) -> tuple[dict[str, float], float]:
    """Median of each part over the deliberations that were measured, and of the whole, in seconds."""
    seen = [await on.trace(task) for task in on.ended[-ROUNDS:]]
    laid_out = [dict(_flat(one.path)) for one in seen]
    names = dict.fromkeys(name for one in laid_out for name in one)
    medians = {name: statistics.median(one.get(name, 0.0) for one in laid_out) for name in names}
    return medians, statistics.median(one.seconds for one in seen)


def _flat(path: Sequence[Part]) -> Iterator[tuple[str, float]]:
    """Parts by name; of those that have inner ones, these."""
    for part in path:
        yield from [(f"{part.name}: {inner.name}", inner.seconds) for inner in part.parts] or [
            (part.name, part.seconds)
        ]

"""The log and what is answered from it: appends, and polls of an ended task with a short and a long past behind it."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import nats
from nats.aio.client import Client as Nats

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import subjects
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import AttemptStarted
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.platform.place import PlatformInfo
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.topology import stream_of, user
from folkmoot.runtime.settings import LogSettings
from tests.bench import filling
from tests.bench.deliberations import Stand
from tests.bench.measure import Row, interleaved, quantile, timed

FEW, MANY = 10, 5_000
"""Of the second, unless told otherwise: the aim speaks of 100,000, some minutes."""
APPENDS = 200
POLLS = 300


@asynccontextmanager
async def bare_nats(settings: LogSettings) -> AsyncIterator[Nats]:
    """The client library alone, with the same rights."""
    client = await nats.connect(
        settings.url, user=settings.user, password=settings.password, inbox_prefix=user(settings.user).inbox.encode()
    )
    try:
        yield client
    finally:
        await client.close()


async def appends(bus: NatsBus, bare: Nats) -> Row:
    """One after the other, with an acknowledgement each."""
    ours_subject, bare_subject = (subjects.deliberation(TaskId(f"t-bench-{uuid.uuid4().hex[:8]}")) for _ in range(2))
    numbers, heads = itertools.count(1), [START]
    body = b"x" * 600

    async def ours() -> float:
        fact = AttemptStarted(agent_id=AgentId("dev-1"), attempt=next(numbers))

        async def append() -> None:
            heads[0] = (await bus.log.append(ours_subject, fact, after=heads[0])).head

        return await timed(append())

    async def floor() -> float:
        return await timed(bare.request(bare_subject, body, timeout=5))

    return await interleaved("append to the log", ours, floor, rounds=APPENDS, aim="")


async def polls(on: Stand, platform: PlatformInfo, bare: Nats, tasks: int) -> list[Row]:
    """The second row, with `tasks` behind it, has to look like the first."""
    task = on.ended[-1]
    example = await on.bus.log.read(subjects.deliberation(task))
    rows = []
    with filling.readers_asleep(platform):
        for first, last in ((0, FEW), (FEW, tasks)):
            await filling.fill(bare, example, range(first, last))
            rows.append(await _polls(on, task, bare, last))
    return rows


async def _polls(on: Stand, task: TaskId, bare: Nats, behind: int) -> Row:
    subject = subjects.deliberation(task)
    get = f"$JS.API.STREAM.MSG.GET.{stream_of(subject).name}"
    asked = json.dumps({"last_by_subj": subject}).encode()
    request = pb.GetDeliberationResultRequest(task_id=task)

    async def ours() -> float:
        return await timed(on.stub.GetDeliberationResult(request, metadata=on.metadata))

    async def floor() -> float:
        return await timed(bare.request(get, asked, timeout=5))

    row = await interleaved("", ours, floor, rounds=POLLS, aim="flat, p99 <= 2 ms", warm=20)
    p99 = quantile(row.ours, 0.99) * 1_000
    work = f"GetDeliberationResult of an ended task, {behind:,} tasks behind it (p99 {p99:.2g} ms)"
    return msgspec.structs.replace(row, work=work)

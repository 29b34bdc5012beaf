"""gRPC front of the orchestrator: translates, and holds no rule of its own."""

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import ids, subjects
from folkmoot.kernel.deliberation import progress
from folkmoot.kernel.errors import BrokenChain, FolkmootError, InvalidInput, NotFound, Unavailable
from folkmoot.kernel.events import Stored
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CODEC, DeliberationEnded
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.result import Result
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.operations import Operations, OperationsServicer
from folkmoot.orchestrator.trail import trail
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.grpc import paging
from folkmoot.runtime.grpc.results import result_to_wire
from folkmoot.runtime.grpc.server import Context
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.port import Artifacts, Log

PIECE_BYTES = 1024 * 1024


class OrchestratorServicer(OperationsServicer):
    """Raises kernel errors only; the server maps them."""

    def __init__(self, operations: Operations, desk: Desk, log: Log, artifacts: Artifacts, clock: Clock) -> None:
        super().__init__(operations)
        self._desk = desk
        self._log = log
        self._artifacts = artifacts
        self._clock = clock

    async def Deliberate(self, request: pb.DeliberateRequest, context: Context) -> pb.DeliberateResponse:
        task_id = await self._desk.submit(request.task, request.idempotency_key)
        async with aclosing(self._log.follow(subjects.deliberation(task_id))) as events:
            async for stored in events:
                if isinstance(stored.event.data, DeliberationEnded):
                    return pb.DeliberateResponse(result=_ended(stored.event.data))
        raise Unavailable(f"the server is stopping; ask for the result of {task_id}")

    async def DeliberateAsync(self, request: pb.DeliberateAsyncRequest, context: Context) -> pb.DeliberateAsyncResponse:
        return pb.DeliberateAsyncResponse(task_id=await self._desk.submit(request.task, request.idempotency_key))

    async def GetDeliberationResult(
        self, request: pb.GetDeliberationResultRequest, context: Context
    ) -> pb.GetDeliberationResultResponse:
        task_id = TaskId(ids.token(request.task_id, "task_id"))
        last = await self._log.last(subjects.deliberation(task_id))
        if last is None:
            raise NotFound(f"there is no task {task_id}")
        if isinstance(last.event.data, DeliberationEnded):
            return pb.GetDeliberationResultResponse(result=_ended(last.event.data))
        state = await self._desk.find(task_id)
        return pb.GetDeliberationResultResponse(result=result_to_wire(progress(state, self._clock.now())))

    async def WatchDeliberation(
        self, request: pb.WatchDeliberationRequest, context: Context
    ) -> AsyncIterator[pb.WatchDeliberationResponse]:
        state = await self._desk.find(request.task_id)
        if request.once:
            for event in await self._there(state.task_id, request.after_sequence, steps=request.steps):
                yield _reply(state.task_id, event)
            return
        # The end is told also to whoever has heard it: else nothing would come any more, for ever.
        after = min(request.after_sequence, state.head.seq - 1) if state.end else request.after_sequence
        async with self._watched(state.task_id, after, steps=request.steps) as arrived:
            while True:
                stored = await arrived.get()
                if isinstance(stored, FolkmootError):
                    raise stored
                yield _reply(state.task_id, stored)
                if isinstance(stored.event.data, DeliberationEnded):
                    return

    async def _there(self, task_id: TaskId, after: int, *, steps: bool) -> list[Stored]:
        """The task's events behind `after`, and its steps, as they came."""
        found = [s for s in await self._log.read(subjects.deliberation(task_id)) if s.seq > after]
        if steps:
            async with aclosing(self._log.follow(subjects.all_steps(task_id), once=True)) as events:
                found += [stored async for stored in events]
        return sorted(found, key=lambda stored: stored.event.time)

    @asynccontextmanager
    async def _watched(
        self, task_id: TaskId, after: int, *, steps: bool
    ) -> AsyncGenerator[asyncio.Queue[Stored | FolkmootError], None]:
        """The task's events and, if asked for, its steps, as they come.

        No task group: left through `GeneratorExit`, it makes an error of it.
        """
        arrived: asyncio.Queue[Stored | FolkmootError] = asyncio.Queue(maxsize=100)

        async def pump(subject: str, after_seq: int) -> None:
            try:
                async with aclosing(self._log.follow(subject, after_seq=after_seq)) as events:
                    async for stored in events:
                        await arrived.put(stored)
            except FolkmootError as error:
                await arrived.put(error)

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(beside(pump(subjects.deliberation(task_id), after), name="watch"))
            if steps:
                await stack.enter_async_context(beside(pump(subjects.all_steps(task_id), 0), name="steps"))
            yield arrived

    async def CancelDeliberation(
        self, request: pb.CancelDeliberationRequest, context: Context
    ) -> pb.CancelDeliberationResponse:
        await self._desk.cancel(request.task_id, actor="caller", reason=request.reason[:1_000])
        return pb.CancelDeliberationResponse()

    async def ListDeliberations(
        self, request: pb.ListDeliberationsRequest, context: Context
    ) -> pb.ListDeliberationsResponse:
        before, size = paging.before(request.page_token), paging.size(request.page_size)
        lasts = [s for s in await self._log.lasts(subjects.ALL_DELIBERATIONS) if before is None or s.seq < before]
        page = sorted(lasts, key=lambda s: s.seq, reverse=True)[:size]
        results = [await self._brief(stored) for stored in page]
        more = str(page[-1].seq) if len(lasts) > len(page) else ""
        return pb.ListDeliberationsResponse(results=results, next_page_token=more)

    async def _brief(self, stored: Stored) -> pb.Result:
        if isinstance(stored.event.data, DeliberationEnded):
            result = stored.event.data.result
        else:
            task_id = stored.event.subject.rpartition(".")[2]
            try:
                result = progress(await self._desk.find(task_id), self._clock.now())
            except (BrokenChain, InvalidInput, NotFound) as error:  # one must not hide the others
                return pb.Result(task_id=task_id, state=pb.DELIBERATION_STATE_UNREADABLE, reasons=[str(error)])
        return result_to_wire(msgspec.structs.replace(result, ranking=()))

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Context) -> pb.GetEvidenceResponse:
        state = await self._desk.find(request.task_id)
        return pb.GetEvidenceResponse(
            base=msgspec.json.encode(state.base) if state.base else b"",
            admissions=[msgspec.json.encode(a) for a in state.admissions],
            refusals=[msgspec.json.encode(r) for r in state.refusals],
            examinations=[msgspec.json.encode(e) for e in state.examined],
            exhibits=[msgspec.json.encode(e) for e in state.exhibits],
            reviews=[msgspec.json.encode(r) for r in state.reviews],
            verdicts=[msgspec.json.encode(v) for v in state.verdicts],
            stages=[msgspec.json.encode(s) for s in state.staged],
            idle=state.idle,
            ranked=msgspec.json.encode(state.ranked) if state.ranked else b"",
            spec=msgspec.json.encode(state.spec),
            papers=[msgspec.json.encode(p) for p in state.papers],
        )

    async def GetTrail(self, request: pb.GetTrailRequest, context: Context) -> AsyncIterator[pb.GetTrailResponse]:
        async for stored in trail(self._log, request.task_id):
            event = CODEC.encode(stored.event)
            yield pb.GetTrailResponse(event=event, sequence=stored.seq, digest=stored.digest)

    async def GetArtifact(
        self, request: pb.GetArtifactRequest, context: Context
    ) -> AsyncIterator[pb.GetArtifactResponse]:
        if len(request.sha256) != 64 or not set(request.sha256) <= set("0123456789abcdef"):
            raise InvalidInput("sha256", "is not 64 lower-case hexadecimal digits")
        body = await self._artifacts.get(ArtifactRef(sha256=request.sha256, size=request.size))
        for start in range(0, len(body), PIECE_BYTES):
            yield pb.GetArtifactResponse(data=body[start : start + PIECE_BYTES])


def _reply(task_id: TaskId, stored: Stored) -> pb.WatchDeliberationResponse:
    own = stored.event.subject == subjects.deliberation(task_id)
    return pb.WatchDeliberationResponse(sequence=stored.seq if own else 0, event=CODEC.encode(stored.event))


def _ended(fact: DeliberationEnded) -> pb.Result:
    result: Result = fact.result
    return result_to_wire(result, fact.bundle)

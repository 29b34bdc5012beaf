"""Calls to a platform, with kernel types on our side of them."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.api.planning.v1 import planning_pb2 as planning_pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as planning_rpc
from folkmoot.cli.connect import Target
from folkmoot.cli.fleet.client import Fleet
from folkmoot.cli.stories.client import Stories
from folkmoot.cli.streams import Seen, resumed, seen
from folkmoot.kernel import subjects
from folkmoot.kernel.analysis.document import Paper
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.events import Event, Stored
from folkmoot.kernel.evidence import Admission, ArtifactRef, Exhibit, PreparedBase, Refusal, Verdict
from folkmoot.kernel.facts import CODEC, CandidatesRanked, DeliberationEnded, Examined, Reviewed, Staged
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.result import Result
from folkmoot.kernel.task import TaskSpec
from folkmoot.runtime.grpc.client import channel, credentials, mapped, mapped_stream
from folkmoot.runtime.grpc.results import bundle_from_wire, result_from_wire

CALL_S = 30.0
"""Longest wait for one answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    result: Result
    bundle: ArtifactRef | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform observed of one task."""

    base: PreparedBase | None
    admissions: tuple[Admission, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    examinations: tuple[Examined, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    reviews: tuple[Reviewed, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    stages: tuple[Staged, ...] = ()
    idle: dict[str, str] = {}
    """Later works that brought nothing, as `agent phase round`, and why."""
    ranked: CandidatesRanked | None = None
    spec: TaskSpec | None = None
    """What was asked; None where the platform is older than this."""
    papers: tuple[Paper, ...] = ()
    """Candidates of an analysis."""


class Client:
    """One platform. All calls raise kernel errors."""

    def __init__(self, planning: Any, orchestrator: Any, token: str) -> None:
        self._planning = planning
        self._orchestrator = orchestrator
        # No server is a clear error here and now, not a long wait: retries cover the second of a restart.
        self._options: dict[str, Any] = {"metadata": credentials(token), "wait_for_ready": False}
        self.stories = Stories(planning, self._options)
        self.fleet = Fleet(orchestrator, self._options)

    async def create_story(self, task: pb.Task, key: str, actor: str) -> planning_pb.Story:
        """Its plan is one task, released at once."""
        request = planning_pb.CreateStoryRequest(task=task, idempotency_key=key, actor=actor)
        with mapped():
            reply = await self._planning.CreateStory(request, timeout=CALL_S, **self._options)
        story: planning_pb.Story = reply.story
        return story

    async def deliberate(self, task: pb.Task, key: str) -> str:
        """Ask for a task of no story; its id."""
        request = pb.DeliberateAsyncRequest(task=task, idempotency_key=key)
        with mapped():
            reply = await self._orchestrator.DeliberateAsync(request, timeout=CALL_S, **self._options)
        return str(reply.task_id)

    async def result(self, task_id: str) -> Answer:
        request = pb.GetDeliberationResultRequest(task_id=task_id)
        with mapped():
            reply = await self._orchestrator.GetDeliberationResult(request, timeout=CALL_S, **self._options)
        return Answer(result=result_from_wire(reply.result), bundle=bundle_from_wire(reply.result))

    async def cancel(self, task_id: str, reason: str) -> None:
        request = pb.CancelDeliberationRequest(task_id=task_id, reason=reason)
        with mapped():
            await self._orchestrator.CancelDeliberation(request, timeout=CALL_S, **self._options)

    async def evidence(self, task_id: str) -> Evidence:
        request = pb.GetEvidenceRequest(task_id=task_id)
        with mapped():
            reply = await self._orchestrator.GetEvidence(request, timeout=CALL_S, **self._options)
        return Evidence(
            base=msgspec.json.decode(reply.base, type=PreparedBase) if reply.base else None,
            admissions=tuple(msgspec.json.decode(b, type=Admission) for b in reply.admissions),
            refusals=tuple(msgspec.json.decode(b, type=Refusal) for b in reply.refusals),
            examinations=tuple(msgspec.json.decode(b, type=Examined) for b in reply.examinations),
            exhibits=tuple(msgspec.json.decode(b, type=Exhibit) for b in reply.exhibits),
            reviews=tuple(msgspec.json.decode(b, type=Reviewed) for b in reply.reviews),
            verdicts=tuple(msgspec.json.decode(b, type=Verdict) for b in reply.verdicts),
            stages=tuple(msgspec.json.decode(b, type=Staged) for b in reply.stages),
            idle=dict(reply.idle),
            ranked=msgspec.json.decode(reply.ranked, type=CandidatesRanked) if reply.ranked else None,
            spec=msgspec.json.decode(reply.spec, type=TaskSpec) if reply.spec else None,
            papers=tuple(msgspec.json.decode(b, type=Paper) for b in reply.papers),
        )

    async def artifact(self, ref: ArtifactRef) -> bytes:
        """The whole body; raises Unavailable when it is not what its name says."""
        request = pb.GetArtifactRequest(sha256=ref.sha256, size=ref.size)
        body = bytearray()
        async for piece in mapped_stream(self._orchestrator.GetArtifact(request, timeout=CALL_S, **self._options)):
            body += piece.data
            if len(body) > ref.size:
                break
        if len(body) != ref.size or hashlib.sha256(body).hexdigest() != ref.sha256:
            raise Unavailable(f"artifact {ref.sha256[:12]} came damaged: {len(body)} of {ref.size} bytes")
        return bytes(body)

    def watch(self, task_id: str, after: int = 0, *, fresh: bool = False) -> AsyncGenerator[Seen, None]:
        """Events from the one behind `after` to the last, and steps; goes on where it was when the platform restarts.

        A `fresh` task may still be on its way from its story to the orchestrator. Raises as `streams.resumed`.
        """
        return resumed(partial(self._watch_once, task_id), after, (DeliberationEnded,), fresh=fresh)

    async def _watch_once(self, task_id: str, after: int) -> AsyncIterator[Seen]:
        request = pb.WatchDeliberationRequest(task_id=task_id, after_sequence=after, steps=True)
        async for reply in mapped_stream(self._orchestrator.WatchDeliberation(request, **self._options)):
            yield seen(reply.sequence, reply.event)

    async def trail(self, task_id: str) -> list[Event]:
        """All that the log holds of a task, its agents and their workspaces; without what this version cannot read."""
        request = pb.GetTrailRequest(task_id=task_id)
        replies = mapped_stream(self._orchestrator.GetTrail(request, timeout=CALL_S, **self._options))
        found = [seen(0, reply.event).event async for reply in replies]
        return [event for event in found if event is not None]

    async def log_of(self, task_id: str) -> list[Stored]:
        """The task's own events with the links of their chain. Raises InvalidInput for one that is of a newer kind."""
        request = pb.GetTrailRequest(task_id=task_id)
        found: list[Stored] = []
        async for reply in mapped_stream(self._orchestrator.GetTrail(request, timeout=CALL_S, **self._options)):
            event = CODEC.decode(reply.event)
            if event.subject != subjects.deliberation(TaskId(task_id)):
                break  # they come first
            found.append(Stored(seq=reply.sequence, digest=reply.digest, event=event))
        return found

    async def history(self, task_id: str, *, steps: bool = False) -> AsyncIterator[Seen]:
        """What is there now."""
        request = pb.WatchDeliberationRequest(task_id=task_id, once=True, steps=steps)
        async for reply in mapped_stream(self._orchestrator.WatchDeliberation(request, **self._options)):
            yield seen(reply.sequence, reply.event)


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Client]:
    """A client of `target` until the block ends."""
    async with channel(target.planning) as planning, channel(target.orchestrator) as orchestrator:
        yield Client(
            planning_rpc.PlanningServiceStub(planning), rpc.OrchestratorServiceStub(orchestrator), target.token
        )

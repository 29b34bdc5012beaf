"""Follows the logs into the graph, and answers from it."""

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
from contextlib import aclosing

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.context import request as asked
from folkmoot.context.decisions import Recorder
from folkmoot.context.explain import explained, nodes
from folkmoot.context.gather import evidence, gather
from folkmoot.context.pack import Part, hydrated
from folkmoot.context.projection.events import project, subject_node
from folkmoot.kernel import ids, subjects
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import Stored
from folkmoot.kernel.ids import TaskId
from folkmoot.runtime.graph.port import Counts, Edge, Graph, Node
from folkmoot.runtime.grpc.server import Context
from folkmoot.runtime.log.port import Log
from folkmoot.runtime.log.topology import matches
from folkmoot.runtime.supervise import patiently

FOLLOWED = (subjects.ALL_STORIES, subjects.ALL_DELIBERATIONS, subjects.COUNCILS, subjects.DECISIONS)
"""Each has a position of its own in the graph."""
MAX_DEPTH = 4
MAX_NODES = 1_000
MAX_ID_CHARS = 500


class Projector:
    """Keeps the graph up with the logs. Several may share one store: each event is applied once."""

    def __init__(self, log: Log, graph: Graph) -> None:
        self._log = log
        self._graph = graph
        self._again = asyncio.Event()
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """For ever. Raises what makes the log unreadable: a graph with a hole would lie."""
        while True:
            self._again.clear()
            async with asyncio.TaskGroup() as group:
                followers = [group.create_task(self._follow(s), name=f"follow {s}") for s in FOLLOWED]
                await self._again.wait()
                for follower in followers:
                    follower.cancel()

    async def rebuild(self) -> Counts:
        """Drop the graph; returns once the log is replayed up to where it stood at the call."""
        targets = {s: max((e.seq for e in await self._log.lasts(s)), default=0) for s in FOLLOWED}
        try:
            await self._graph.drop()
        finally:
            self._again.set()
        for subject, target in targets.items():
            await self.reached(subject, target)
        return await self._graph.counts()

    async def reached(self, subjects_: str, seq: int) -> None:
        """Returns once the events of `subjects_` up to `seq` are in the graph."""
        async with self._moved:
            while await self._graph.position(subjects_) < seq:
                await self._moved.wait()

    async def caught_up(self, *exact: str) -> None:
        """Returns once all that was said on these subjects at the call is in the graph."""
        for subject in exact:
            last = await patiently(lambda: self._log.last(subject))  # noqa: B023 -- awaited at once
            if last is not None:
                await self.reached(next(f for f in FOLLOWED if matches(f, subject)), last.seq)

    async def _follow(self, subjects_: str) -> None:
        """Apply what comes; when somebody else moved the position, begin again from there."""
        while True:
            at = await patiently(lambda: self._graph.position(subjects_))
            async with aclosing(self._log.follow(subjects_, after_seq=at)) as events:
                async for stored in events:
                    if not await self._apply(subjects_, at, stored):
                        break
                    at = stored.seq

    async def _apply(self, subjects_: str, at: int, stored: Stored) -> bool:
        known = await patiently(lambda: self._graph.node(subject_node(stored.event.subject)))
        change = project(stored, known.properties if known else {})
        applied = await patiently(lambda: self._graph.apply(subjects_, after=at, seq=stored.seq, change=change))
        async with self._moved:
            self._moved.notify_all()
        return applied


class ContextServicer(rpc.ContextServiceServicer):
    """Raises kernel errors only; the server maps them."""

    def __init__(self, graph: Graph, projector: Projector, recorder: Recorder) -> None:
        self._graph = graph
        self._projector = projector
        self._recorder = recorder

    async def GetNeighbourhood(
        self, request: pb.GetNeighbourhoodRequest, context: Context
    ) -> pb.GetNeighbourhoodResponse:
        if not 0 < len(request.node_id) <= MAX_ID_CHARS:
            raise InvalidInput("node_id", f"from 1 to {MAX_ID_CHARS} characters, as `task:t-0123`")
        if request.depth > MAX_DEPTH:
            raise InvalidInput("depth", f"{request.depth}; at most {MAX_DEPTH}")
        part = await self._graph.neighbourhood(request.node_id, depth=request.depth or 1, limit=MAX_NODES)
        return pb.GetNeighbourhoodResponse(
            nodes=map(_node, part.nodes), edges=map(_edge, part.edges), truncated=part.truncated
        )

    async def HydrateContext(self, request: pb.HydrateContextRequest, context: Context) -> pb.HydrateContextResponse:
        """Waits until the logs of what is named are in the graph: the same log gives the same pack."""
        wanted = asked.from_wire(request)
        stories = [subjects.story(wanted.story_id)] if wanted.story_id else []
        tasks = map(subjects.deliberation, (wanted.task_id, *wanted.depends_on))
        await self._projector.caught_up(*stories, *tasks, subjects.DECISIONS)
        pack = hydrated(await gather(self._graph, wanted), wanted)
        return pb.HydrateContextResponse(text=pack.text, tokens=pack.tokens, parts=map(_part, pack.parts))

    async def ExplainDecision(self, request: pb.ExplainDecisionRequest, context: Context) -> pb.ExplainDecisionResponse:
        task_id = TaskId(ids.token(request.task_id, "task_id"))
        await self._projector.caught_up(subjects.deliberation(task_id), subjects.DECISIONS)
        found = await evidence(self._graph, task_id)
        return pb.ExplainDecisionResponse(text=explained(found), nodes=map(_node, nodes(found)))

    async def RecordDecision(self, request: pb.RecordDecisionRequest, context: Context) -> pb.RecordDecisionResponse:
        return pb.RecordDecisionResponse(decision_id=await self._recorder.record(request))

    async def Rebuild(self, request: pb.RebuildRequest, context: Context) -> pb.RebuildResponse:
        counts = await self._projector.rebuild()
        return pb.RebuildResponse(nodes=counts.nodes, edges=counts.edges)


def _part(part: Part) -> pb.ContextPart:
    return pb.ContextPart(node_id=part.node_id, kind=part.kind, tokens=part.tokens, included=part.included)


def _node(node: Node) -> pb.Node:
    return pb.Node(node_id=node.id, kind=node.kind, properties=node.properties)


def _edge(edge: Edge) -> pb.Edge:
    return pb.Edge(from_id=edge.from_id, kind=edge.kind, to_id=edge.to_id)

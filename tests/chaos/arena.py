"""One platform that faults are put on: submit, wait for a moment in the log, kill, and look at what came of it."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec

from folkmoot.api.context.v1 import context_pb2 as context_pb
from folkmoot.api.context.v1 import context_pb2_grpc as context_rpc
from folkmoot.api.workspace.v1 import workspace_pb2 as workspace_pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as workspace_rpc
from folkmoot.cli.client import Client, connected
from folkmoot.cli.connect import target_of
from folkmoot.cli.solve import Wish, to_task
from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import (
    AgentFailed,
    CancelRequested,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    StepTaken,
)
from folkmoot.kernel.ids import AgentId, StoryId, TaskId
from folkmoot.kernel.result import DecidedBy, Result
from folkmoot.platform.demo.material import demo, write_repository
from folkmoot.platform.place import PlatformInfo
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.settings import LogSettings
from folkmoot.runtime.supervise import patiently
from tests.fixtures.platform import Moot

CAST = {"dev-1": "cheat", "dev-2": "wrong", "dev-3": "right"}
LATENCY_S = 0.3
"""Of each answer of the model: a run of an agent takes about two seconds, so that faults land in it."""
END_S = 120.0
"""Longest wait for an end: several leases, restarts and attempts on a busy two-core machine."""

TIDY_S = 60.0
"""Longest time until the workspaces of a task that ended are closed: leases run out first, on a busy machine."""

Moment = Callable[[Stored], bool]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What must not depend on faults."""

    state: str
    winner: AgentId | None
    decided_by: DecidedBy | None
    acceptable: frozenset[str]
    why: str = ""
    """Of an end without a candidate."""

    @classmethod
    def of(cls, result: Result) -> "Outcome":
        return cls(
            state=result.state,
            winner=result.winner.agent_id if result.winner else None,
            decided_by=result.decided_by,
            acceptable=frozenset(r.proposal_id for r in result.ranking if r.acceptable),
            why="" if result.ranking else "; ".join(result.reasons),
        )


def working(stored: Stored) -> bool:
    """An agent has called a tool: it proposes."""
    return isinstance(stored.event.data, StepTaken) and stored.event.data.kind == "tool"


def examining(stored: Stored) -> bool:
    """A candidate was examined: others are not yet."""
    return isinstance(stored.event.data, Examined) and stored.event.data.subject != BASE


def requested(stored: Stored) -> bool:
    """It has just been taken; the repository is being fetched."""
    return isinstance(stored.event.data, OwnerTook)


def ended(stored: Stored) -> bool:
    return isinstance(stored.event.data, DeliberationEnded)


class Arena:
    """A platform, its client, and a reader of its log. Everything is looked up anew: parts come and go."""

    def __init__(self, moot: Moot, folder: Path, model_url: str) -> None:
        self.moot = moot
        self.folder = folder
        self.model_url = model_url

    @property
    def info(self) -> PlatformInfo:
        return self.moot.info

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with connected(target_of(self.info)) as client:
            yield client

    @asynccontextmanager
    async def bus(self, user: str = "context") -> AsyncIterator[NatsBus]:
        settings = LogSettings(url=self.info.nats, user=user, password=self.password(user), timeout_s=30)
        async with connect(settings, source=f"/test/{uuid.uuid4().hex[:6]}", clock=SystemClock()) as bus:
            yield bus

    def password(self, user: str) -> str:
        """As the supervisor wrote it for the server."""
        users = json.loads((self.moot.data / "nats" / "nats.conf").read_text("utf-8"))["authorization"]["users"]
        password: str = next(u["password"] for u in users if u["user"] == user)
        return password

    async def submit(self, agents: int = len(CAST), *, repository: Path | None = None, key: str = "") -> TaskId:
        """A story of a small repository with a bug, through planning; `repository` holds it already."""
        material = demo()
        if repository is None:
            repository = self.folder / f"repo-{uuid.uuid4().hex[:6]}"
            write_repository(repository, material)
        wish = Wish(
            text=material.text,
            title=material.title,
            repo=str(repository),
            checks=material.checks,
            agents=agents,
            model_url=self.model_url,
            model="rehearsal",
        )
        async with self.client() as client:
            story = await client.create_story(to_task(wish), key=key or uuid.uuid4().hex, actor="chaos")
        return TaskId(story.task_ids[0])

    async def reached(self, task: TaskId, moment: Moment, within_s: float = END_S) -> Stored:
        """The first event or step of the task that `moment` is true for."""
        subject = subjects.all_steps(task) if moment is working else subjects.deliberation(task)
        async with self.bus() as bus, asyncio.timeout(within_s), aclosing(bus.log.follow(subject)) as events:
            async for stored in events:
                if moment(stored):
                    return stored
        raise AssertionError("the log was closed")

    async def outcome(self, task: TaskId) -> Outcome:
        """Waits for the end; the service says the same as the log."""
        fact = (await self.reached(task, ended)).event.data
        assert isinstance(fact, DeliberationEnded)
        async with self.client() as client:
            answer = await patiently(lambda: client.result(task))
        assert answer.result == fact.result
        return Outcome.of(fact.result)

    async def undisturbed(self) -> tuple[Outcome, float]:
        began = time.monotonic()
        outcome = await self.outcome(await self.submit())
        return outcome, time.monotonic() - began

    # --- what must hold afterwards --------------------------------------------------------------------------------

    async def sound(self, task: TaskId) -> list[Stored]:
        """The log of a task that ended is whole, each thing in it was done once and by its owner alone."""
        async with self.bus() as bus:
            events = await bus.log.read(subjects.deliberation(task))
            state = deliberation.fold(events)
            for seat in state.seats:
                results = await bus.log.read(subjects.agent_result(task, seat.agent_id))
                assert len(results) <= 1, f"{seat.agent_id} published {len(results)} results"
        facts = [e.event.data for e in events]
        settled = Counter(_author(f) for f in facts if isinstance(f, ProposalAdmitted | ProposalRefused | AgentFailed))
        assert set(settled.values()) <= {1}, settled
        assert set(settled) <= {s.agent_id for s in state.seats}
        if state.end and state.end.result.state in ("decided", "abstained"):
            assert set(settled) == {s.agent_id for s in state.seats}
        assert [type(f) for f in facts].count(DeliberationEnded) == 1
        assert isinstance(facts[-1], DeliberationEnded)
        _one_owner(events)
        return events

    async def tidy(self, task: TaskId) -> None:
        """Nothing of the task is open any more."""
        info = self.info
        async with channel(info.runner) as opened, asyncio.timeout(TIDY_S):
            stub: workspace_rpc.WorkspaceServiceAsyncStub = workspace_rpc.WorkspaceServiceStub(opened)
            request = workspace_pb.ListWorkspacesRequest(task_id=task)
            while (await stub.ListWorkspaces(request, metadata=credentials(info.token))).workspaces:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def graph_is_the_log(self) -> None:
        """The graph is what a rebuild from the log makes: compared node by node."""
        async with channel(self.info.context) as opened:
            stub: context_rpc.ContextServiceAsyncStub = context_rpc.ContextServiceStub(opened)
            before = await self._settled_graph(stub)
            with mapped():
                await stub.Rebuild(context_pb.RebuildRequest(), metadata=credentials(self.info.token))
            assert await self._graph(stub) == before

    async def _settled_graph(self, stub: "context_rpc.ContextServiceAsyncStub") -> list[bytes]:
        """Once it does not change any more: the projection follows the log, it does not lead it."""
        graph: list[bytes] = []
        while (now := await self._graph(stub)) != graph:
            graph = now
            await asyncio.sleep(0.5)
        return graph

    async def _graph(self, stub: "context_rpc.ContextServiceAsyncStub") -> list[bytes]:
        parts = []
        tasks = [f"task:{task}" for task in await self.tasks()]
        for node in [*tasks, *(f"story:{story}" for story in await self.stories())]:
            request = context_pb.GetNeighbourhoodRequest(node_id=node, depth=4)
            with mapped():
                reply = await stub.GetNeighbourhood(request, metadata=credentials(self.info.token))
            parts.append(reply.SerializeToString(deterministic=True))
        return parts

    async def tasks(self) -> list[TaskId]:
        """All that are in the log."""
        async with self.bus() as bus:
            return [TaskId(s.event.subject.rpartition(".")[2]) for s in await bus.log.lasts(subjects.ALL_DELIBERATIONS)]

    async def stories(self) -> list[StoryId]:
        """The same of stories."""
        async with self.bus() as bus:
            return [StoryId(s.event.subject.rpartition(".")[2]) for s in await bus.log.lasts(subjects.ALL_STORIES)]


def _author(fact: object) -> AgentId:
    match fact:
        case ProposalAdmitted(admission=proposal):
            return proposal.agent_id
        case ProposalRefused(refusal=refusal):
            return refusal.agent_id
        case AgentFailed(agent_id=agent):
            return agent
    raise AssertionError(fact)


def _one_owner(events: list[Stored]) -> None:
    """Between two take-overs, everything was written by the one who took; requests and cancels are anybody's."""
    owner = ""
    for stored in events:
        fact = stored.event.data
        if isinstance(fact, OwnerTook):
            owner = fact.owner
        if not isinstance(fact, DeliberationRequested | CancelRequested):
            source = stored.event.source.removeprefix("/orchestrator/")
            assert source == owner.partition("/")[0], f"{stored.event.type} by {source}, owned by {owner}"


def owners(events: list[Stored]) -> list[str]:
    return [s.event.data.owner for s in events if isinstance(s.event.data, OwnerTook)]

"""What operators ask of the orchestrator, over gRPC, on the log in memory; and one council on a whole platform."""

from __future__ import annotations  # the generated stub types exist for the checker only

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest

from folkmoot.agents.roles import SHIPPED
from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import (
    AlreadyExists,
    BrokenChain,
    FailedPrecondition,
    FolkmootError,
    InvalidInput,
    NotFound,
    ResourceExhausted,
)
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import (
    CODEC,
    CancelRequested,
    Convened,
    CouncilCreated,
    DeliberationEnded,
    Seat,
    StoryCancelled,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.limits import Prices
from folkmoot.kernel.result import Result, State, Usage
from folkmoot.kernel.task import Budget
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import Gate, quota_of
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.orchestrator.operations import Operations
from folkmoot.orchestrator.parked import ParkedMessages
from folkmoot.orchestrator.service import OrchestratorServicer
from folkmoot.orchestrator.worker import Worker
from folkmoot.platform.demo.material import write_repository
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import GrpcSettings, OrchestratorSettings
from tests.fixtures.orchestrator import MODEL, parts
from tests.fixtures.platform import Moot
from tests.fixtures.rehearsal import repository

TOKEN = "a-service-token"
SETTINGS = OrchestratorSettings(queue=2, fleet_tokens_per_day=500)
TASK = pb.Task(title="Add it", text="Please add it.", repository="/repo")


class Caller:
    """Calls one orchestrator with the service token; raises kernel errors."""

    def __init__(self, stub: rpc.OrchestratorServiceAsyncStub, bus: MemoryBus) -> None:
        self._stub = stub
        self.bus = bus

    async def __call__(self, method: str, request: object) -> object:
        with mapped():
            return await getattr(self._stub, method)(request, metadata=credentials(TOKEN))

    async def events(self, request: pb.WatchDeliberationRequest) -> list[pb.WatchDeliberationResponse]:
        with mapped():
            return [reply async for reply in self._stub.WatchDeliberation(request, metadata=credentials(TOKEN))]


def servicer(bus: MemoryBus, ledger: Ledger) -> OrchestratorServicer:
    """As the process composes it, but for what carries deliberations."""
    clock, fleet = SystemClock(), Fleet(bus.log, SHIPPED)
    councils = Councils(fleet, MODEL)
    gate = Gate(bus.queues, ledger, clock, queue=SETTINGS.queue, quota=quota_of(SETTINGS))
    desk = Desk(bus.log, bus.queues, councils, gate)
    operations = Operations(
        fleet=fleet,
        parked=ParkedMessages(bus.log, bus.queues),
        gate=gate,
        ledger=ledger,
        worker=Worker("o-1", parts(bus, clock, councils, SETTINGS), desk, max_deliver=3),
        settings=SETTINGS,
    )
    return OrchestratorServicer(operations, desk, bus.log, bus.artifacts, clock)


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    bus = MemoryBus(SystemClock())
    ledger = Ledger(bus.log, SystemClock(), Prices())
    service = Service(
        name="folkmoot.api.orchestrator.v1.OrchestratorService",
        servicer=servicer(bus, ledger),
        add=rpc.add_OrchestratorServiceServicer_to_server,
    )
    async with (
        beside(ledger.follow(), name="ledger"),
        serving(GrpcSettings(token=TOKEN), [service]) as address,
        channel(address) as open_channel,
    ):
        yield Caller(rpc.OrchestratorServiceStub(open_channel), bus)


ANN = pb.Agent(
    name="ann",
    role="QA",
    persona="breaker",
    instructions="Be brief.",
    model_url="http://127.0.0.1:1/v1",
    model="own",
    temperature=0.0,
    tools=["read_file", "submit"],
    budget=pb.Budget(steps=5),
)
PAIR = pb.Council(name="pair", role="QA", agents=["ann", "qa-1"], default=True, description="Two.")


async def test_what_is_registered_is_answered_as_it_stands(call: Caller) -> None:
    """Every field, zero among them; what a profile does not name stays unnamed."""
    reply = await call("RegisterAgent", pb.RegisterAgentRequest(agent=ANN, actor="ann"))
    assert reply == pb.RegisterAgentResponse(agent=ANN)
    agents = await call("ListAgents", pb.ListAgentsRequest(role="QA"))
    assert isinstance(agents, pb.ListAgentsResponse)
    assert [(a.name, a.shipped) for a in agents.agents] == [
        ("ann", False),
        ("judge-1", True),
        ("qa-1", True),
        ("qa-2", True),
        ("qa-3", True),
        ("splitter-1", True),
        ("tester-1", True),
        ("tester-2", True),
    ]


async def test_a_council_is_made_shown_and_deleted(call: Caller) -> None:
    """Its default takes the place of the shipped one, and gives it back."""
    await call("RegisterAgent", pb.RegisterAgentRequest(agent=ANN))
    reply = await call("CreateCouncil", pb.CreateCouncilRequest(council=PAIR, actor="ann"))
    assert reply == pb.CreateCouncilResponse(council=PAIR)
    assert await call("GetCouncil", pb.GetCouncilRequest(name="pair")) == pb.GetCouncilResponse(council=PAIR)
    found = await call("ListCouncils", pb.ListCouncilsRequest(role="QA"))
    assert isinstance(found, pb.ListCouncilsResponse)
    assert [(c.name, c.default, c.shipped) for c in found.councils] == [("pair", True, False), ("qa", False, True)]
    await call("DeleteCouncil", pb.DeleteCouncilRequest(name="pair"))
    await call("UnregisterAgent", pb.UnregisterAgentRequest(name="ann"))
    with pytest.raises(NotFound):
        await call("GetCouncil", pb.GetCouncilRequest(name="pair"))
    back = await call("GetCouncil", pb.GetCouncilRequest(name="qa"))
    assert isinstance(back, pb.GetCouncilResponse)
    assert back.council.default


@pytest.mark.parametrize(
    ("method", "request_", "error", "words"),
    [
        ("RegisterAgent", pb.RegisterAgentRequest(agent=pb.Agent(name="a")), InvalidInput, "agent.role"),
        ("RegisterAgent", pb.RegisterAgentRequest(agent=ANN, actor="x" * 201), InvalidInput, "actor"),
        ("CreateCouncil", pb.CreateCouncilRequest(council=PAIR), InvalidInput, r"council.agents\[0\]: there is no"),
        ("UnregisterAgent", pb.UnregisterAgentRequest(name="dev-1"), FailedPrecondition, "shipped"),
        ("DeleteCouncil", pb.DeleteCouncilRequest(name="A"), InvalidInput, "name"),
        ("GetCouncil", pb.GetCouncilRequest(name="none"), NotFound, "no council none"),
        ("ListAgents", pb.ListAgentsRequest(role="CHIEF"), InvalidInput, "role"),
        ("ListParked", pb.ListParkedRequest(stream="NONE"), InvalidInput, "stream"),
        ("ReplayParked", pb.ReplayParkedRequest(sequence=9), NotFound, "no parked message 9"),
        (
            "DeliberateAsync",
            pb.DeliberateAsyncRequest(task=pb.Task(title="t", text="t", repository="/r", council="none")),
            InvalidInput,
            "council",
        ),
        (
            "DeliberateAsync",
            pb.DeliberateAsyncRequest(task=pb.Task(title="t", text="t", repository="/r", paths=["../x"])),
            InvalidInput,
            r"paths\[0\]",
        ),
    ],
)
async def test_refusals_name_field_or_guard(
    call: Caller, method: str, request_: object, error: type[FolkmootError], words: str
) -> None:
    """As the contract says: a field, a guard, or nothing there."""
    with pytest.raises(error, match=words):
        await call(method, request_)


async def test_replicas_see_each_others_councils(call: Caller) -> None:
    """Whoever wrote it, the next look has it; two who write at once both get through."""
    await call("RegisterAgent", pb.RegisterAgentRequest(agent=ANN))
    other = Fleet(call.bus.joined("/other").log, SHIPPED)
    council = (await other.registry()).councils["qa"]
    mine = msgspec.structs.replace(council, name="others", agents=("ann",))
    await other.record(CouncilCreated(actor="bob", council=mine))
    await call("CreateCouncil", pb.CreateCouncilRequest(council=PAIR))
    assert {"others", "pair"} <= set((await other.registry()).councils)
    assert len(await call.bus.log.read(subjects.COUNCILS)) == 3
    await call("CreateCouncil", pb.CreateCouncilRequest(council=PAIR))
    assert len(await call.bus.log.read(subjects.COUNCILS)) == 3


async def test_a_full_queue_answers_with_retry_info(call: Caller) -> None:
    """RESOURCE_EXHAUSTED, and when to come back; the status says how things stand."""
    used = Result(task_id=TaskId("t-9"), story_id=StoryId(""), state=State.FAILED, usage=Usage(prompt_tokens=99))
    await call.bus.log.append(subjects.deliberation(used.task_id), DeliberationEnded(result=used), after=START)
    for key in "ab":
        await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=TASK, idempotency_key=key))
    with pytest.raises(ResourceExhausted) as refused:
        await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=TASK, idempotency_key="c"))
    assert refused.value.retry_after_s == 5.0
    status = await call("GetStatus", pb.GetStatusRequest())
    assert status == pb.GetStatusResponse(
        waiting=2,
        capacity=SETTINGS.deliberations,
        tokens_today=99,
        tokens_per_day=500,
        refusing="the queue is full: 2 tasks wait or run, at most 2",
        retry_after_s=5,
    )


async def test_parked_messages_are_listed_and_counted(call: Caller) -> None:
    """The newest first, long bodies cut; one that was replayed counts no more."""
    await call.bus.log.append(subjects.story(StoryId("s-1")), StoryCancelled(actor="x" * 5_000), after=START)
    async with aclosing(call.bus.queues.deliveries("orchestrator-stories")) as deliveries:
        await (await anext(deliveries)).park("too much")
    listed = await call("ListParked", pb.ListParkedRequest())
    assert isinstance(listed, pb.ListParkedResponse)
    (message,) = listed.messages
    assert (message.stream, message.subject, message.reason) == ("AGILE", "agile.events.s-1", "too much")
    assert len(message.body) == 4_000
    assert not message.replayed
    before = await call("GetStatus", pb.GetStatusRequest())
    await call("ReplayParked", pb.ReplayParkedRequest(sequence=message.sequence))
    after = await call("GetStatus", pb.GetStatusRequest())
    assert isinstance(before, pb.GetStatusResponse)
    assert isinstance(after, pb.GetStatusResponse)
    assert (before.parked, after.parked) == (1, 0)


async def test_watching_once_ends_with_what_is_there(call: Caller) -> None:
    """Of a task that still waits: its request, and no waiting for more."""
    reply = await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=TASK, idempotency_key="a"))
    assert isinstance(reply, pb.DeliberateAsyncResponse)
    (event,) = await call.events(pb.WatchDeliberationRequest(task_id=reply.task_id, once=True, steps=True))
    assert event.sequence > 0
    later = pb.WatchDeliberationRequest(task_id=reply.task_id, once=True, after_sequence=event.sequence)
    assert await call.events(later) == []


async def test_a_task_that_cannot_be_read_hides_no_other(call: Caller) -> None:
    """It is listed with its id and the reason; asked for by its id it is refused as before."""
    for key in "ab":
        await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=TASK, idempotency_key=key))
    broken, sound = [stored.event.subject for stored in await call.bus.log.lasts(subjects.ALL_DELIBERATIONS)]
    first = await call.bus.log.last(broken)
    assert first is not None
    for number in (1, 2):
        fact = CancelRequested(actor="ann", reason=str(number))
        first = await call.bus.log.append(broken, fact, after=first.head)
    messages = call.bus.store.streams["DELIBERATIONS"].messages
    messages.remove([m for m in messages if m.subject == broken][1])
    reply = await call("ListDeliberations", pb.ListDeliberationsRequest())
    assert isinstance(reply, pb.ListDeliberationsResponse)
    unread, other = reply.results
    assert [unread.task_id, other.task_id] == [name.rpartition(".")[2] for name in (broken, sound)]
    assert (unread.state, other.state) == (pb.DELIBERATION_STATE_UNREADABLE, pb.DELIBERATION_STATE_REQUESTED)
    assert "was lost or changed" in unread.reasons[0]
    with pytest.raises(BrokenChain):
        await call("GetDeliberationResult", pb.GetDeliberationResultRequest(task_id=unread.task_id))


async def test_a_key_stands_for_role_and_council_too(call: Caller) -> None:
    """The same key with another council is another request."""
    await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=TASK, idempotency_key="a"))
    other = pb.Task(title="Add it", text="Please add it.", repository="/repo", role="QA")
    with pytest.raises(AlreadyExists):
        await call("DeliberateAsync", pb.DeliberateAsyncRequest(task=other, idempotency_key="a"))


async def test_a_council_sits_as_it_was_registered(moot: Moot) -> None:
    """On a whole platform: registered by gRPC, recorded in the log with all it says, and asked at its own model."""
    folder = moot.data / "operations"
    write_repository(folder, repository("csvline"))
    task = pb.Task(title="Add it", text="Please.", repository=str(folder), role="QA", council="ops-pair", agents=3)
    task.model_url, task.model = "http://127.0.0.1:9/v1", "the-tasks"
    agent = pb.Agent()
    agent.CopyFrom(ANN)
    agent.name = "ops-ann"
    async with channel(moot.info.orchestrator) as open_channel:
        stub: rpc.OrchestratorServiceAsyncStub = rpc.OrchestratorServiceStub(open_channel)
        shown = credentials(moot.info.token)
        await stub.RegisterAgent(pb.RegisterAgentRequest(agent=agent), metadata=shown)
        council = pb.Council(name="ops-pair", role="QA", agents=["ops-ann", "qa-1"])
        await stub.CreateCouncil(pb.CreateCouncilRequest(council=council), metadata=shown)
        reply = await stub.Deliberate(pb.DeliberateRequest(task=task), metadata=shown, timeout=120)
        watch = pb.WatchDeliberationRequest(task_id=reply.result.task_id, once=True)
        replies = [reply async for reply in stub.WatchDeliberation(watch, metadata=shown)]
        heard = pb.WatchDeliberationRequest(task_id=reply.result.task_id, after_sequence=replies[-1].sequence)
        again = [reply async for reply in stub.WatchDeliberation(heard, metadata=shown, timeout=30)]
    assert again == replies[-1:], "whoever has heard the end hears it again, and waits for nothing"
    events = [CODEC.decode(e.event).data for e in replies]
    (convened,) = [e for e in events if isinstance(e, Convened)]
    assert convened.council == "ops-pair"
    assert [s.agent_id for s in convened.seats] == ["ops-ann", "qa-1", "ops-ann-2"]
    _as_registered(convened.seats[0])
    assert (convened.seats[1].model.name, convened.seats[1].budget) == ("the-tasks", None)
    reasons = " ".join(reply.result.reasons)
    assert "http://127.0.0.1:1/v1 refuses" in reasons
    assert "http://127.0.0.1:9/v1 refuses" in reasons


def _as_registered(seat: Seat) -> None:
    assert (seat.role, seat.persona, seat.instructions) == ("QA", "breaker", "Be brief.")
    assert (seat.model.url, seat.model.name, seat.temperature) == (ANN.model_url, "own", 0.0)
    assert seat.tools == ("read_file", "submit")
    assert seat.budget is not None
    assert (seat.budget.steps, seat.budget.wall_s > Budget().wall_s) == (5, True)

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.context.decisions import Recorder
from folkmoot.context.request import from_wire
from folkmoot.context.service import FOLLOWED, Projector
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, InvalidInput, NotFound, Unauthenticated
from folkmoot.kernel.events import START, Fact, Head
from folkmoot.kernel.facts import CODEC
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.graph.memory import MemoryGraph
from folkmoot.runtime.graph.port import Graph, Part
from folkmoot.runtime.graph.sqlite import open_sqlite
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.log.port import Log
from folkmoot.runtime.settings import GrpcSettings, Settings, inherited, variables
from tests.fixtures.nats import NatsServer

GOLDEN = Path(__file__).parent.parent / "unit" / "golden"
TOKEN = "a-service-token"
TASK = TaskId("t-1")


def golden(version: str, *kinds: str) -> list[Fact]:
    return [CODEC.decode((GOLDEN / version / f"{kind}.v1.json").read_bytes()).data for kind in kinds]


OLD_STORY = golden(
    "v1", "story.submitted", "story.planned", "story.task-released", "story.task-decided", "story.accepted"
)
STORY = golden(
    "v2",
    "story.submitted",
    "story.assessed",
    "story.planned",
    "story.plan-rejected",
    "story.planned",
    "story.plan-approved",
    "story.task-released",
    "story.task-decided",
    "story.step-failed",
)
STORY += golden("v1", "story.sent-back") + golden("v2", "story.revised", "story.carried-over")
COUNCILS = golden(
    "v2", "fleet.agent-registered", "fleet.council-created", "fleet.council-deleted", "fleet.agent-unregistered"
)
COUNCILS += COUNCILS[:2]
DECISIONS = golden("v2", "fleet.decision-recorded")
DELIBERATION = golden(
    "v1",
    "deliberation.requested",
    "deliberation.convened",
    "deliberation.attempt-started",
    "deliberation.attempt-lost",
    "deliberation.proposal-admitted",
    "deliberation.proposal-refused",
    "deliberation.agent-failed",
    "deliberation.examined",
    "deliberation.ranked",
    "deliberation.cancel-requested",
    "deliberation.ended",
)


GOOD = {"actor": "ann", "title": "t", "text": "x"}


async def write(log: Log, subject: str, facts: Sequence[Fact], after: Head = START) -> Head:
    for fact in facts:
        after = (await log.append(subject, fact, after=after)).head
    return after


@asynccontextmanager
async def projecting(log: Log, graph: Graph) -> AsyncIterator[Projector]:
    projector = Projector(log, graph)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(projector.run())
        yield projector
        running.cancel()


@pytest.fixture(params=["memory", "sqlite"])
async def graph(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Graph]:
    store: Graph = MemoryGraph() if request.param == "memory" else await open_sqlite(tmp_path / "graph")
    yield store
    await store.close()


async def test_dropped_and_rebuilt_the_graph_is_the_same(graph: Graph) -> None:
    """The graph is a view of the log, whatever order the streams came in."""
    log = MemoryBus(VirtualClock()).log
    async with projecting(log, graph) as projector:
        head = await write(log, subjects.deliberation(TASK), DELIBERATION)
        await projector.reached(FOLLOWED[1], head.seq)
        await write(log, subjects.story(StoryId("s-2")), OLD_STORY)
        story = await write(log, subjects.story(StoryId("s-1")), STORY)
        await projector.reached(FOLLOWED[0], story.seq)
        await projector.reached(FOLLOWED[2], (await write(log, subjects.COUNCILS, COUNCILS)).seq)
        await projector.reached(FOLLOWED[3], (await write(log, subjects.DECISIONS, DECISIONS)).seq)
        before = await graph.dump()
        counts = await projector.rebuild()
        assert await graph.dump() == before
        assert counts == await graph.counts()
    kinds = {n.kind for n in before.nodes}
    assert kinds > {"Story", "Assessment", "Plan", "Reason", "Task", "Agent", "Proposal", "Test", "Verdict", "Decision"}
    assert kinds > {"File", "Folder", "Commit", "Repository", "Profile", "Council", "RecordedDecision"}
    ids = {n.id for n in before.nodes}
    assert {end for e in before.edges for end in (e.from_id, e.to_id)} <= ids


async def test_events_that_come_during_a_rebuild_are_kept(graph: Graph) -> None:
    """Nothing is lost, nothing is applied twice."""
    log = MemoryBus(VirtualClock()).log
    async with projecting(log, graph) as projector:
        head = await write(log, subjects.deliberation(TASK), DELIBERATION[:3])
        await projector.reached(FOLLOWED[1], head.seq)
        async with asyncio.TaskGroup() as group:
            rebuilds = [group.create_task(projector.rebuild()) for _ in range(3)]
            head = await write(log, subjects.deliberation(TASK), DELIBERATION[3:], head)
        assert all(r.result().nodes for r in rebuilds)
        await projector.reached(FOLLOWED[1], head.seq)
        dump = await graph.dump()
        await projector.rebuild()
        assert await graph.dump() == dump


async def test_a_projection_that_is_cut_off_anywhere_goes_on(tmp_path: Path) -> None:
    """Graph and place are one: after every event that it may have stopped at, the next one comes once."""
    log = MemoryBus(VirtualClock()).log
    heads = {
        FOLLOWED[0]: (await write(log, subjects.story(StoryId("s-1")), STORY)).seq,
        FOLLOWED[1]: (await write(log, subjects.deliberation(TASK), DELIBERATION)).seq,
        FOLLOWED[2]: (await write(log, subjects.COUNCILS, COUNCILS)).seq,
    }
    for place in range(1, max(heads.values()) + 1):
        graph = await open_sqlite(tmp_path / "graph")
        async with projecting(log, graph) as projector:
            for followed, head in heads.items():
                await projector.reached(followed, min(place, head))
        await graph.close()
    whole, graph = MemoryGraph(), await open_sqlite(tmp_path / "graph")
    async with projecting(log, whole) as projector:
        for followed, head in heads.items():
            await projector.reached(followed, head)
    assert await graph.dump() == await whole.dump()
    await graph.close()


async def test_two_projectors_share_a_store(graph: Graph) -> None:
    """Replicas do each event once between them."""
    log = MemoryBus(VirtualClock()).log
    async with projecting(log, graph) as one, projecting(log, graph) as other:
        head = await write(log, subjects.deliberation(TASK), DELIBERATION)
        await one.reached(FOLLOWED[1], head.seq)
        dump = await graph.dump()
        await other.rebuild()
        assert await graph.dump() == dump


async def test_a_file_is_the_same_node_in_all_tasks_of_its_repository() -> None:
    """What touched a file before is one step away."""
    log, graph = MemoryBus(VirtualClock()).log, MemoryGraph()
    async with projecting(log, graph) as projector:
        for task in (TASK, TaskId("t-2")):
            head = await write(log, subjects.deliberation(task), DELIBERATION)
            await projector.reached(FOLLOWED[1], head.seq)
    dump = await graph.dump()
    files = {n.id: n for n in dump.nodes if n.kind == "File"}
    changed = [e for e in dump.edges if e.kind == "CHANGES"]
    assert len(changed) == 2
    assert len({e.to_id for e in changed}) == 1
    assert files[changed[0].to_id].properties["repository_id"]
    assert {e.from_id for e in dump.edges if e.kind == "TOUCHED" and e.to_id in files} == {"task:t-1", "task:t-2"}


async def test_an_answer_waits_for_what_was_said_before_the_call() -> None:
    """The graph may lag behind the log; what is asked about may not."""
    log, graph = MemoryBus(VirtualClock()).log, MemoryGraph()
    async with projecting(log, graph) as projector:
        head = await write(log, subjects.deliberation(TASK), DELIBERATION)
        assert await graph.position(FOLLOWED[1]) < head.seq
        await projector.caught_up(subjects.deliberation(TASK), subjects.story(StoryId("s-none")))
        assert await graph.position(FOLLOWED[1]) == head.seq


async def test_replicas_record_a_decision_once() -> None:
    """Each with a graph of its own: what the other wrote is seen before anything is written."""
    log, request = MemoryBus(VirtualClock()).log, pb.RecordDecisionRequest(**GOOD, idempotency_key="k")
    one, two = MemoryGraph(), MemoryGraph()
    async with projecting(log, one) as first, projecting(log, two) as second:
        recorders = [Recorder(log, one, first.reached), Recorder(log, two, second.reached)]
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(recorder.record(request)) for recorder in recorders * 3]
        assert len({call.result() for call in calls}) == 1
        with pytest.raises(AlreadyExists):
            await recorders[0].record(pb.RecordDecisionRequest(**GOOD | {"text": "other"}, idempotency_key="k"))
    assert len(await log.read(subjects.DECISIONS)) == 1


# --- the process -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def process(server: NatsServer, data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    data.mkdir(exist_ok=True)
    settings = Settings(data=str(data), log=server.settings("context"), grpc=GrpcSettings(token=TOKEN))
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "folkmoot.context"),
        env=inherited("PATH", "HOME") | variables(settings),
        stdout=asyncio.subprocess.PIPE,
        cwd=data,
    )
    try:
        assert running.stdout is not None
        line = json.loads(await asyncio.wait_for(running.stdout.readline(), 30))
        assert line["service"] == "context"
        yield running, line["address"]
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_the_service_answers_from_the_real_log(nats_server: NatsServer, tmp_path: Path) -> None:
    """Follows, answers, rebuilds, ends on SIGTERM, and goes on where it was."""
    async with nats_server.connect("planning") as planning, nats_server.connect("orchestrator") as orchestrator:
        await write(planning.log, subjects.story(StoryId("s-1")), STORY)
        await write(orchestrator.log, subjects.deliberation(TASK), DELIBERATION)
        await write(orchestrator.log, subjects.COUNCILS, COUNCILS)
        async with process(nats_server, tmp_path) as (running, address), connected(address) as stub:
            rebuilt = await stub.Rebuild(pb.RebuildRequest(), metadata=credentials(TOKEN), timeout=20)
            near = await ask(stub, f"task:{TASK}", depth=2)
            running.terminate()
            assert await asyncio.wait_for(running.wait(), 20) == 0
        async with process(nats_server, tmp_path) as (_, address), connected(address) as stub:
            assert await ask(stub, f"task:{TASK}", depth=2) == near
    assert {"Task", "Agent", "Proposal", "Decision", "Story"} <= {n.kind for n in near.nodes}
    assert rebuilt.nodes > len(near.nodes)


async def test_bad_requests_are_refused_by_name(nats_server: NatsServer, tmp_path: Path) -> None:
    """Field, absence and token each have their own status."""
    async with process(nats_server, tmp_path) as (_, address), connected(address) as stub:
        with pytest.raises(InvalidInput, match="depth"):
            await ask(stub, "task:t-1", depth=9)
        with pytest.raises(InvalidInput, match="node_id"):
            await ask(stub, "")
        with pytest.raises(NotFound):
            await ask(stub, "task:nobody")
        explanation = pb.ExplainDecisionRequest(task_id="t-nobody")
        with pytest.raises(NotFound, match="t-nobody"), mapped():
            await stub.ExplainDecision(explanation, metadata=credentials(TOKEN), timeout=20)
        wanted = pb.HydrateContextRequest(task_id="t-1", role="BOSS")
        with pytest.raises(InvalidInput, match="role"), mapped():
            await stub.HydrateContext(wanted, metadata=credentials(TOKEN), timeout=20)
        with pytest.raises(Unauthenticated):
            await ask(stub, "task:t-1", token="wrong")


async def test_packs_and_explanations_come_from_the_log_as_it_is(nats_server: NatsServer, tmp_path: Path) -> None:
    """What was written before the call is in the answer; a rebuild changes no byte of it, nor of the graph."""
    request = pb.HydrateContextRequest(task_id="t-9", role="DEV", repository="r", paths=["a.py"], depends_on=[TASK])
    async with nats_server.connect("planning") as planning, nats_server.connect("orchestrator") as orchestrator:
        async with process(nats_server, tmp_path) as (_, address), connected(address) as stub:
            await write(planning.log, subjects.story(StoryId("s-1")), STORY)
            await write(orchestrator.log, subjects.deliberation(TASK), DELIBERATION)
            await write(orchestrator.log, subjects.COUNCILS, COUNCILS)
            pack = await stub.HydrateContext(request, metadata=credentials(TOKEN), timeout=20)
            assert ("dependency", f"task:{TASK}") in [(p.kind, p.node_id) for p in pack.parts if p.included]
            assert 0 < pack.tokens <= 4_000
            explanation = pb.ExplainDecisionRequest(task_id=TASK)
            told = await stub.ExplainDecision(explanation, metadata=credentials(TOKEN), timeout=20)
            assert f"# How task `{TASK}` was decided" in told.text
            await stub.Rebuild(pb.RebuildRequest(), metadata=credentials(TOKEN), timeout=20)
            again = await stub.HydrateContext(request, metadata=credentials(TOKEN), timeout=20)
            assert again == pack
        followed = await _dump(tmp_path / "graph.sqlite3")
        async with process(nats_server, tmp_path / "new") as (_, address), connected(address) as stub:
            await stub.Rebuild(pb.RebuildRequest(), metadata=credentials(TOKEN), timeout=20)
        assert await _dump(tmp_path / "new" / "graph.sqlite3") == followed


async def _dump(path: Path) -> Part:
    graph = await open_sqlite(path)
    try:
        return await graph.dump()
    finally:
        await graph.close()


async def test_a_decision_is_recorded_once_under_its_key(nats_server: NatsServer, tmp_path: Path) -> None:
    """Two replicas, and calls at once: one event; other content under the key is refused; no secret is written."""
    token = "ghp_" + "a1B2c3" * 6
    request = pb.RecordDecisionRequest(
        actor="ann", title="No globals", text=f"See {token}", repository="/r", paths=["src/"], idempotency_key="k"
    )
    async with (
        process(nats_server, tmp_path) as (_, one),
        process(nats_server, tmp_path / "other") as (_, two),
        connected(one) as first,
        connected(two) as second,
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(record(stub, request)) for stub in (first, second) * 3]
        await asyncio.wait(calls)
        (recorded,) = {call.result() for call in calls}
        other = pb.RecordDecisionRequest(actor="ann", title="Globals", text="x", idempotency_key="k")
        with pytest.raises(AlreadyExists, match="idempotency key"):
            await record(second, other)
        keyless = pb.RecordDecisionRequest(actor="ann", title="Globals", text="x")
        assert len({await record(first, keyless), await record(second, keyless), recorded}) == 3
        wanted = pb.HydrateContextRequest(task_id="t-9", repository="/r", paths=["src/a.py"])
        pack = await second.HydrateContext(wanted, metadata=credentials(TOKEN), timeout=20)
        assert "No globals" in pack.text
        assert "[redacted:github]" in pack.text
    async with nats_server.connect("orchestrator") as orchestrator:
        written = [e.event.data for e in await orchestrator.log.read(subjects.DECISIONS)]
    assert len(written) == 3
    assert token not in str(written)


async def record(stub: rpc.ContextServiceAsyncStub, request: pb.RecordDecisionRequest) -> str:
    with mapped():
        answer = await stub.RecordDecision(request, metadata=credentials(TOKEN), timeout=20)
    return answer.decision_id


HYDRATE = {
    "task_id": pb.HydrateContextRequest(task_id="T 1"),
    "story_id": pb.HydrateContextRequest(task_id="t-1", story_id="../x"),
    "role": pb.HydrateContextRequest(task_id="t-1", role="BOSS"),
    "budget_tokens": pb.HydrateContextRequest(task_id="t-1", budget_tokens=10**9),
    "repository": pb.HydrateContextRequest(task_id="t-1", repository="x" * 5_000),
    "paths[1]": pb.HydrateContextRequest(task_id="t-1", paths=["a", "../b"]),
    "paths": pb.HydrateContextRequest(task_id="t-1", paths=["a"] * 201),
    "depends_on[0]": pb.HydrateContextRequest(task_id="t-1", depends_on=["?"]),
    "depends_on": pb.HydrateContextRequest(task_id="t-1", depends_on=["t-1"] * 51),
}
RECORD = {
    "actor": pb.RecordDecisionRequest(**GOOD | {"actor": " "}),
    "title": pb.RecordDecisionRequest(**GOOD | {"title": "a\nb"}),
    "text": pb.RecordDecisionRequest(**GOOD | {"text": "x" * 8_001}),
    "paths[0]": pb.RecordDecisionRequest(**GOOD, paths=["/etc/passwd"]),
    "paths": pb.RecordDecisionRequest(**GOOD, paths=[f"{n:03}" + "x" * 900 for n in range(100)]),
    "story_id": pb.RecordDecisionRequest(**GOOD, story_id="S"),
    "task_id": pb.RecordDecisionRequest(**GOOD, task_id="T"),
    "idempotency_key": pb.RecordDecisionRequest(**GOOD, idempotency_key="k" * 201),
}


@pytest.mark.parametrize("field", HYDRATE)
async def test_a_bad_request_for_a_pack_is_refused_by_field(field: str) -> None:
    """The caller learns what to mend."""
    with pytest.raises(InvalidInput) as refusal:
        from_wire(HYDRATE[field])
    assert refusal.value.field == field


@pytest.mark.parametrize("field", RECORD)
async def test_a_bad_decision_is_refused_by_field(field: str) -> None:
    """And nothing of it is written."""
    log, graph = MemoryBus(VirtualClock()).log, MemoryGraph()
    recorder = Recorder(log, graph, Projector(log, graph).reached)
    with pytest.raises(InvalidInput) as refusal:
        await recorder.record(RECORD[field])
    assert refusal.value.field == field
    assert await log.last(subjects.DECISIONS) is None


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[rpc.ContextServiceAsyncStub]:
    async with channel(address) as open_:
        stub: rpc.ContextServiceAsyncStub = rpc.ContextServiceStub(open_)
        yield stub


async def ask(
    stub: rpc.ContextServiceAsyncStub, node: str, *, depth: int = 0, token: str = TOKEN
) -> pb.GetNeighbourhoodResponse:
    request = pb.GetNeighbourhoodRequest(node_id=node, depth=depth)
    with mapped():
        return await stub.GetNeighbourhood(request, metadata=credentials(token), timeout=20)

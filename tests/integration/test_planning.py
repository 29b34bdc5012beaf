"""Planning over a real log and a real model server: the rehearsal model plays coach and planner."""

from __future__ import annotations  # the stub types exist for the checker only

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from folkmoot.agents.model import model_client
from folkmoot.agents.roles import SHIPPED
from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.due import Limits
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import CouncilCreated, TaskReleased
from folkmoot.kernel.fleet import Council
from folkmoot.kernel.ids import AgentId, CommitId
from folkmoot.kernel.task import Role
from folkmoot.planning.basetests import Examined
from folkmoot.planning.councils import Councils
from folkmoot.planning.journal import Journal
from folkmoot.planning.maker import Maker
from folkmoot.planning.repository import Outline
from folkmoot.planning.service import PlanningServicer
from folkmoot.planning.stories import Stories
from folkmoot.rehearsal.script import bundled, compose
from folkmoot.rehearsal.server import serving as rehearsing
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.nats import NatsBus
from folkmoot.runtime.log.registry import Registered
from folkmoot.runtime.settings import GrpcSettings, ModelSettings
from tests.fixtures.nats import NatsServer, nats_server

__all__ = ["nats_server"]

TOKEN = "the service's token"
BASE = CommitId("b" * 40)
STATE = pb.StoryState.Name


class OneRepository:
    """What a runner would say of the script's repository."""

    async def outline(self, repository: str, base_ref: str) -> Outline:
        assert (repository, base_ref) == ("/shop", "HEAD")
        return Outline(commit=BASE, files=("shop/__init__.py", "shop/rates.py"))


class Desk:
    """A caller of planning, by gRPC."""

    def __init__(self, stub: rpc.PlanningServiceAsyncStub, bus: NatsBus, url: str) -> None:
        self.stub = stub
        self.bus = bus
        self._url = url
        self.metadata = credentials(TOKEN)

    async def create(self, approval: pb.Approval.ValueType = pb.APPROVAL_UNSPECIFIED) -> pb.Story:
        task = orchestrator.Task(
            title="Two rates", text="Add them.", repository="/shop", model="rehearsal", model_url=self._url
        )
        request = pb.CreateStoryRequest(task=task, actor="ann", planning=pb.PLANNING_MODEL, approval=approval)
        with mapped():
            return (await self.stub.CreateStory(request, metadata=self.metadata)).story

    async def until(self, story: pb.Story, event: str) -> pb.Story:
        """The story once an event of that type is there."""
        request = pb.WatchStoryRequest(story_id=story.story_id)
        async with asyncio.timeout(20):
            async for reply in self.stub.WatchStory(request, metadata=self.metadata):
                if f'"folkmoot.story.{event}.v1"'.encode() in reply.event:
                    break
        return await self.get(story)

    async def get(self, story: pb.Story) -> pb.Story:
        with mapped():
            request = pb.GetStoryRequest(story_id=story.story_id)
            return (await self.stub.GetStory(request, metadata=self.metadata)).story

    async def released(self, story: pb.Story) -> list[str]:
        events = await self.bus.log.read(f"agile.events.{story.story_id}")
        return [e.event.data.spec.title for e in events if isinstance(e.event.data, TaskReleased)]


@asynccontextmanager
async def planning(server: NatsServer, cast: Mapping[str, str]) -> AsyncIterator[Desk]:
    """The service, and a model in which `cast` gives out the parts of coach and planner anew."""
    script = compose(
        {AgentId(a): b for a, b in ({"coach": "coach", "planner": "planner"} | dict(cast)).items()}, bundled("story")
    )
    async with (
        rehearsing(script) as model_address,
        server.connect("planning") as bus,
        model_client(ModelSettings(attempts=1), asyncio.sleep) as model,
    ):
        tests = Examined(bus.log, bus.artifacts)
        maker = Maker(model, OneRepository(), tests, ModelSettings(), repairs=2)
        journal = Journal(bus.log, maker, Limits(tasks_in_flight=4))
        councils = Councils(Registered(bus.log, SHIPPED))
        stories = Stories(bus.log, bus.queues, journal, maker, councils, ModelSettings(), max_deliver=5)
        service = Service(
            name="folkmoot.api.planning.v1.PlanningService",
            servicer=PlanningServicer(stories, bus.log),
            add=rpc.add_PlanningServiceServicer_to_server,
        )
        async with (
            beside(stories.follow_stories(), name="stories"),
            serving(GrpcSettings(token=TOKEN), [service]) as address,
            channel(address) as open_channel,
        ):
            yield Desk(rpc.PlanningServiceStub(open_channel), bus, f"http://{model_address}/v1")


async def test_three_tasks_are_planned_approved_and_released(nats_server: NatsServer) -> None:
    """A person approves; the two that wait for nobody begin, pinned to what `HEAD` was."""
    async with planning(nats_server, {}) as desk:
        story = await desk.until(await desk.create(), "planned")
        assert (STATE(story.state), story.assessment.score, story.assessment.threshold) == (
            "STORY_STATE_PLANNED",
            90,
            75,
        )
        assert await desk.released(story) == []
        approve = pb.ApprovePlanRequest(story_id=story.story_id, actor="ann", reason="good")
        await desk.stub.ApprovePlan(approve, metadata=desk.metadata)
        assert await desk.released(story) == ["Add the reduced rate", "Add the rate of what is exempt"]
        listed = await desk.stub.ListTasks(pb.ListTasksRequest(story_id=story.story_id), metadata=desk.metadata)
        shown = [(t.task.name, pb.TaskState.Name(t.state).removeprefix("TASK_STATE_")) for t in listed.tasks]
        assert shown == [
            ("reduced", "RELEASED"),
            ("exempt", "RELEASED"),
            ("tests", "WAITING"),
            ("merge-1", "WAITING"),
        ]


@pytest.mark.parametrize(("part", "repairs"), [("hesitates", 2), ("circles", 1)])
async def test_answers_that_cannot_be_used_are_corrected(nats_server: NatsServer, part: str, repairs: int) -> None:
    """Twice no plan, then a good one; or a cycle, then none."""
    async with planning(nats_server, {"planner": part}) as desk:
        story = await desk.until(await desk.create(approval=pb.APPROVAL_AUTOPILOT), "task-released")
        assert STATE(story.state) == "STORY_STATE_RELEASED"
        planned = [e for e in await desk.bus.log.read(f"agile.events.{story.story_id}") if "planned" in e.event.type]
        assert [getattr(e.event.data, "repairs", None) for e in planned] == [repairs]


async def test_three_unusable_answers_stop_the_story_and_a_person_goes_on(nats_server: NatsServer) -> None:
    """The problem is told, and a plan of a person's own is taken."""
    async with planning(nats_server, {"planner": "babbles"}) as desk:
        story = await desk.until(await desk.create(), "step-failed")
        assert STATE(story.state) == "STORY_STATE_ASSESSED"
        assert story.problem.startswith("the model gave no usable plan in 3 answers; of the last: ")
        plan = pb.Plan(tasks=[pb.PlannedTask(name="all", title="All", text="All of it.", role="QAA")])
        request = pb.DerivePlanRequest(story_id=story.story_id, actor="ann", plan=plan)
        with pytest.raises(InvalidInput) as caught, mapped():
            await desk.stub.DerivePlan(request, metadata=desk.metadata)
        assert caught.value.field == "plan.tasks[0].role"
        request.plan.tasks[0].role = "QA"
        with mapped():
            derived = (await desk.stub.DerivePlan(request, metadata=desk.metadata)).story
        assert (STATE(derived.state), derived.problem) == ("STORY_STATE_PLANNED", "")


async def test_a_story_that_is_not_clear_enough_waits_for_its_author(nats_server: NatsServer) -> None:
    """With the questions; a plan is refused by the guard's name."""
    async with planning(nats_server, {"coach": "doubts"}) as desk:
        story = await desk.until(await desk.create(), "assessed")
        assert list(story.assessment.questions) == ["Which rates, and in percent of what?"]
        with pytest.raises(FailedPrecondition) as caught, mapped():
            await desk.stub.DerivePlan(pb.DerivePlanRequest(story_id=story.story_id), metadata=desk.metadata)
        assert caught.value.guard == "assessed"


async def test_a_council_that_is_not_there_is_refused_at_once(nats_server: NatsServer) -> None:
    """With planning's own rights on the bus, and after somebody has made it, the same call is taken."""
    task = orchestrator.Task(title="t", text="x", repository="/shop", role="QA", council="night-watch")
    request = pb.CreateStoryRequest(task=task, actor="ann", idempotency_key="k")
    async with planning(nats_server, {}) as desk, nats_server.connect("orchestrator") as bus:
        with pytest.raises(InvalidInput, match="there is no council 'night-watch'") as caught, mapped():
            await desk.stub.CreateStory(request, metadata=desk.metadata)
        assert caught.value.field == "council"
        council = Council(name="night-watch", role=Role.QA, agents=("qa-1",))
        await bus.log.append(subjects.COUNCILS, CouncilCreated(actor="ann", council=council), after=START)
        with mapped():
            reply = await desk.stub.CreateStory(request, metadata=desk.metadata)
        assert STATE(reply.story.state) == "STORY_STATE_RELEASED"

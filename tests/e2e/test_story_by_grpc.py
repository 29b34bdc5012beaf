"""The same life of a story as in `test_story.py`, by gRPC alone: what a client of another language can do."""

from __future__ import annotations  # the stub types exist for the checker only

import asyncio
import json
from pathlib import Path

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.rehearsal.script import bundled
from folkmoot.rehearsal.server import serving
from folkmoot.runtime.grpc.client import channel, credentials
from tests.fixtures.platform import Moot
from tests.repositories import Repo

RATES = '"""Tax rates, in percent."""\n\nRATES = {\n    "standard": 20,\n}\n'
CHECK = "python3 -c \"from shop.rates import RATES; assert (RATES['reduced'], RATES['exempt']) == (7, 0)\""
BOTH = pb.Plan(tasks=[pb.PlannedTask(name="both", title="Both rates", text="Add both rates.", paths=["shop/rates.py"])])
PATIENCE_S = 200


class Client:
    """One caller, on one story."""

    def __init__(self, stub: rpc.PlanningServiceAsyncStub, token: str) -> None:
        self.stub = stub
        self._metadata = credentials(token)
        self._seen = 0
        self.story = ""
        self.events: list[str] = []
        """Types, in the order in which they came."""

    async def submit(self, task: orchestrator.Task) -> pb.Story:
        request = pb.CreateStoryRequest(task=task, actor="ann", planning=pb.PLANNING_MODEL)
        story = (await self.stub.CreateStory(request, metadata=self._metadata)).story
        self.story = story.story_id
        return story

    async def until(self, state: pb.StoryState.ValueType) -> pb.Story:
        """Watch, with all tasks, until the story is in `state`."""
        request = pb.WatchStoryRequest(story_id=self.story, after_sequence=self._seen, tasks=True)
        async with asyncio.timeout(PATIENCE_S):
            async for reply in self.stub.WatchStory(request, metadata=self._metadata):
                self.events.append(json.loads(reply.event)["type"])
                self._seen = max(self._seen, reply.sequence)
                if reply.sequence and (story := await self.now()).state == state:
                    return story
        raise AssertionError("the story ended otherwise")

    async def now(self) -> pb.Story:
        return (await self.stub.GetStory(pb.GetStoryRequest(story_id=self.story), metadata=self._metadata)).story

    async def tasks(self) -> dict[str, pb.StoryTask]:
        reply = await self.stub.ListTasks(pb.ListTasksRequest(story_id=self.story), metadata=self._metadata)
        return {task.task.name: task for task in reply.tasks}

    async def approve(self) -> None:
        request = pb.ApprovePlanRequest(story_id=self.story, actor="ann")
        await self.stub.ApprovePlan(request, metadata=self._metadata)

    async def say(self, transition: pb.StoryTransition.ValueType, reason: str = "") -> pb.Story:
        request = pb.TransitionStoryRequest(story_id=self.story, transition=transition, actor="ann", reason=reason)
        return (await self.stub.TransitionStory(request, metadata=self._metadata)).story

    async def derive(self, plan: pb.Plan) -> None:
        request = pb.DerivePlanRequest(story_id=self.story, actor="ann", plan=plan)
        await self.stub.DerivePlan(request, metadata=self._metadata)


async def test_a_story_goes_from_its_text_to_an_accepted_commit_by_grpc(moot: Moot, tmp_path: Path) -> None:
    """Planned by a model, approved, merged over a conflict, sent back, planned anew by a person, accepted."""
    repo = Repo(tmp_path / "shop")
    repo.commit({"shop/__init__.py": "", "shop/rates.py": RATES})
    async with serving(bundled("story")) as model, channel(moot.info.planning) as open_channel:
        client = Client(rpc.PlanningServiceStub(open_channel), moot.info.token)
        await client.submit(
            orchestrator.Task(
                title="Two rates",
                text="Add the reduced rate and the one of what is exempt.",
                repository=str(repo.folder),
                checks=[CHECK],
                rigor="L0",
                model="rehearsal",
                model_url=f"http://{model}/v1",
            )
        )
        await client.until(pb.STORY_STATE_PLANNED)
        await client.approve()
        first = await client.until(pb.STORY_STATE_DECIDED)
        tasks = await client.tasks()
        assert first.result_commit == tasks["merge-1"].commit != ""
        assert client.events.count("folkmoot.deliberation.ended.v1") == len(tasks) == 4
        await client.say(pb.STORY_TRANSITION_SEND_BACK, "One task is enough.")
        await client.derive(BOTH)
        await client.approve()
        await client.until(pb.STORY_STATE_DECIDED)
        accepted = await client.say(pb.STORY_TRANSITION_ACCEPT, "Good.")
    assert (accepted.state, accepted.round, accepted.reason) == (pb.STORY_STATE_ACCEPTED, 2, "Good.")
    assert accepted.result_commit not in ("", first.result_commit)
    assert accepted.usage.model_calls > first.usage.model_calls > 0

"""A story of three tasks, one behind another and two in conflict, from its text to an accepted commit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.message import Message

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator_pb
from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.platform.demo.material import Material, write_repository
from folkmoot.rehearsal.script import bundled
from folkmoot.rehearsal.server import serving
from folkmoot.runtime.grpc.client import channel, credentials
from tests.fixtures.cli_tasks import git
from tests.fixtures.platform import Done, Moot

SHOP = Material(
    name="shop",
    title="Two rates",
    text='Add the rates "reduced", 7 percent, and "exempt", 0 percent, with a test of the first.',
    checks=("python3 -c \"from shop.rates import RATES; assert (RATES['reduced'], RATES['exempt']) == (7, 0)\"",),
    files={
        "shop/__init__.py": "",
        "shop/rates.py": '"""Tax rates, in percent."""\n\nRATES = {\n    "standard": 20,\n}\n',
    },
)
"""What the rehearsal script `story` was written for."""
ONE_TASK = """\
summary: One task will do.
tasks:
  - name: both
    title: Add both rates
    text: Add "reduced", 7 percent, and "exempt", 0 percent, to RATES in shop/rates.py.
    paths: [shop/rates.py]
"""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`moot` at work on one story, in its repository."""

    moot: Moot
    repository: Path
    story: str = ""

    def __call__(self, *arguments: str) -> Done:
        return self.moot(*arguments, cwd=self.repository)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self("story", "show", self.story, "--json").json
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["name"]: task for task in self.shown()["tasks"]}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(bundled("story")) as address:
        yield f"http://{address}/v1"


# --- through the command line ------------------------------------------------------------------------------------


async def test_a_story_goes_from_its_text_to_an_accepted_commit(moot: Moot, url: str, tmp_path: Path) -> None:
    """Planned by a model, approved, merged over a conflict, sent back, planned anew by a person, accepted."""
    await asyncio.to_thread(whole_life, moot, url, tmp_path)


def whole_life(moot: Moot, url: str, folder: Path) -> None:
    write_repository(folder / "shop", SHOP)
    told = submitted(moot, url, folder)
    planned_and_approved(told)
    decided_over_a_conflict(told)
    sent_back_and_planned_anew(told)
    accepted(told)


def submitted(moot: Moot, url: str, folder: Path) -> Told:
    file = folder / "story.json"
    about = {"title": SHOP.title, "text": SHOP.text, "checks": SHOP.checks, "repository": "shop", "plan": "model"}
    file.write_bytes(msgspec.json.encode(about | {"rigor": "L0", "model_url": url, "model": "rehearsal"}))
    done = moot("story", "submit", str(file), "--wait", "--json")
    assert (done.code, done.json["state"]) == (0, "planned"), done.err
    assert done.json["assessment"]["score"] == 90
    return Told(moot=moot, repository=folder / "shop", story=done.json["story_id"])


def planned_and_approved(told: Told) -> None:
    """The merge of everything is in no plan, and among the tasks all the same."""
    assert list(told.tasks()) == ["reduced", "exempt", "tests", "merge-1"]
    assert {task["state"] for task in told.tasks().values()} == {"waiting"}
    assert told("plan", "approve", told.story, "--reason", "as it should be").code == 0


def decided_over_a_conflict(told: Told) -> None:
    watched = told("story", "watch", told.story)
    assert (watched.code, told.shown()["state"]) == (0, "decided"), watched.err
    tasks = told.tasks()
    assert all(task["commit"] for task in tasks.values())
    assert told.shown()["result_task_id"] == tasks["merge-1"]["task_id"]
    assert told("evidence", told.story, "--json").json["base"]["conflicts"] == ["shop/rates.py"]
    joined = taken(told)
    for task in tasks.values():
        git(told.repository, "merge-base", "--is-ancestor", task["commit"], joined)
    assert git(told.repository, "ls-tree", "-r", "--name-only", joined).splitlines() == [
        "shop/__init__.py",
        "shop/rates.py",
        "tests/test_rates.py",
    ]


def taken(told: Told) -> str:
    """The story's result, fetched, with what it was asked for in it."""
    commit: str = told("apply", told.story, "--json").json["commit"]
    rates = git(told.repository, "show", f"{commit}:shop/rates.py")
    assert '"reduced": 7' in rates
    assert '"exempt": 0' in rates
    return commit


def sent_back_and_planned_anew(told: Told) -> None:
    """Nothing can be planned while a result waits; once it is sent back, a person's own plan will do."""
    plan = told.repository.parent / "plan.yaml"
    plan.write_text(ONE_TASK)
    early = told("plan", "edit", told.story, "--file", str(plan))
    assert (early.code, "life_cycle" in early.err) == (2, True)
    assert told("story", "send-back", told.story, "--reason", "too many steps").code == 0
    assert told.shown()["state"] == "sent_back"
    assert told("plan", "edit", told.story, "--file", str(plan)).code == 0
    assert told("plan", "approve", told.story).code == 0


def accepted(told: Told) -> None:
    watched = told("story", "watch", told.story)
    assert watched.code == 0, watched.err
    done = told("story", "approve", told.story, "--json")
    assert (done.json["state"], done.json["round"]) == ("accepted", 2)
    taken(told)
    log = told("log", told.story).out
    steps = ("submitted", "assessed", "planned", "plan-approved", "sent-back", "planned", "plan-approved", "accepted")
    places: list[int] = []
    for step in steps:
        places.append(log.index(f"story.{step} ", places[-1] + 1 if places else 0))
    assert "too many steps" in log


# --- through gRPC ------------------------------------------------------------------------------------------------


class Calls:
    """Planning, as a program of the user's calls it."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._metadata = credentials(token)

    async def __call__(self, method: str, request: Message) -> pb.Story:
        reply = await getattr(self._stub, method)(request, metadata=self._metadata, timeout=60)
        story: pb.Story = reply.story
        return story

    async def until(self, story_id: str, state: pb.StoryState.ValueType) -> pb.Story:
        """Follows its events until it is in `state`."""
        watch = self._stub.WatchStory(pb.WatchStoryRequest(story_id=story_id), metadata=self._metadata, timeout=240)
        async for _ in watch:
            story = await self("GetStory", pb.GetStoryRequest(story_id=story_id))
            if story.state == state:
                watch.cancel()
                return story
        raise AssertionError(f"the story ended before it was {pb.StoryState.Name(state)}")


async def test_a_program_can_do_the_same(moot: Moot, url: str, tmp_path: Path) -> None:
    """Submitted, planned, approved, merged, sent back, planned by its caller, accepted: all by PlanningService."""
    write_repository(tmp_path / "shop", SHOP)
    async with channel(moot.info.planning) as opened:
        call = Calls(rpc.PlanningServiceStub(opened), moot.info.token)
        story_id = (await call("CreateStory", asked(url, tmp_path / "shop"))).story_id
        story = await call.until(story_id, pb.STORY_STATE_PLANNED)
        assert [task.name for task in story.plan.tasks] == ["reduced", "exempt", "tests"]
        await call("ApprovePlan", pb.ApprovePlanRequest(story_id=story_id, actor="marie"))
        first = await call.until(story_id, pb.STORY_STATE_DECIDED)
        assert (first.result_task_id, len(first.task_ids)) == (first.task_ids[-1], 4)
        send_back = pb.STORY_TRANSITION_SEND_BACK
        sent = pb.TransitionStoryRequest(story_id=story_id, transition=send_back, actor="marie", reason="one commit")
        await call("TransitionStory", sent)
        await call("DerivePlan", pb.DerivePlanRequest(story_id=story_id, actor="marie", plan=one_task()))
        await call("ApprovePlan", pb.ApprovePlanRequest(story_id=story_id, actor="marie"))
        second = await call.until(story_id, pb.STORY_STATE_DECIDED)
        assert second.result_commit not in ("", first.result_commit)
        accept = pb.STORY_TRANSITION_ACCEPT
        done = pb.TransitionStoryRequest(story_id=story_id, transition=accept, actor="marie")
        assert (await call("TransitionStory", done)).state == pb.STORY_STATE_ACCEPTED


def asked(url: str, repository: Path) -> pb.CreateStoryRequest:
    task = orchestrator_pb.Task(
        title=SHOP.title,
        text=SHOP.text,
        repository=str(repository),
        checks=SHOP.checks,
        rigor="L0",
        model_url=url,
        model="rehearsal",
    )
    return pb.CreateStoryRequest(task=task, actor="marie", planning=pb.PLANNING_MODEL, idempotency_key=str(repository))


def one_task() -> pb.Plan:
    return pb.Plan(tasks=[pb.PlannedTask(name="both", title="Add both rates", text="Add both.", paths=["shop/"])])

"""The two shapes of story that faults are put on: one task, and a plan of three with a merge that conflicts."""

import asyncio
import random
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path

import msgspec

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli.solve import Wish, to_task
from folkmoot.kernel import story, subjects
from folkmoot.kernel.facts import DeliberationEnded
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.platform.demo.material import Material, demo, write_repository
from folkmoot.rehearsal.script import Call, Script, Turn, bundled
from folkmoot.runtime.log.nats import NatsBus
from tests.chaos.arena import CAST, LATENCY_S, Arena, Outcome

EACH = 5
"""Of so many stories one is a plan."""
END_S = 300.0
"""Longest time in which a story ends that nothing disturbs."""
ROLE = "ARCHITECT"
"""Of the agents of a single task: the tasks of the plan have all others."""
RATES = "shop/rates.py"
SHOP = Material(
    name="shop",
    title="Two rates",
    text='Add the rates "reduced", 7 percent, and "exempt", 0 percent, with a test of the first.',
    checks=("python3 -c \"from shop.rates import RATES; assert (RATES['reduced'], RATES['exempt']) == (7, 0)\"",),
    files={"shop/__init__.py": "", RATES: '"""Tax rates, in percent."""\n\nRATES = {\n    "standard": 20,\n}\n'},
)
"""What the bundled script `story` was written for: two tasks change the same line, and a third builds on one."""
PARTS = {"coach": "coach", "planner": "planner", "data-1": "reduced", "devops-1": "exempt", "qa-1": "tests"}
MERGER = {"dev-1": "resolves"}
CARELESS = (
    Turn(calls=(Call(tool="write_file", arguments={"path": RATES, "content": "RATES = {}\n"}),)),
    Turn(calls=(Call(tool="submit", arguments={"summary": "done"}),)),
)
"""The second seat of each council of the plan: every check says no to it."""


class Shape(StrEnum):
    TASK = "one task"
    PLAN = "a plan"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What must not depend on faults, of a whole story."""

    state: StoryState
    tasks: dict[str, Outcome]
    """By name in the plan, merges included."""


def shapes(seed: str) -> Iterator[Shape]:
    """For ever; among each `EACH` one plan, at a place that is drawn."""
    chance = random.Random(f"{seed}, stories")
    while True:
        place = chance.randrange(EACH)
        yield from (Shape.PLAN if n == place else Shape.TASK for n in range(EACH))


def script() -> Script:
    """What the model plays in both shapes."""
    single = {agent.replace("dev", ROLE.lower()): behaviour for agent, behaviour in CAST.items()}
    plan, task = bundled("story"), bundled()
    return Script(
        behaviours={**plan.behaviours, **task.behaviours, "careless": {"propose": CARELESS}},
        agents=single | PARTS | MERGER | {"*-2": "careless"},
        latency_s=LATENCY_S,
    )


def write_repositories(folder: Path) -> None:
    write_repository(folder / Shape.TASK.name, demo())
    write_repository(folder / Shape.PLAN.name, SHOP)


async def submit(arena: Arena, shape: Shape, folder: Path, key: str) -> StoryId:
    """Of a repository in `folder`; once, whatever number of calls have the same `key`. Raises as the client does."""
    async with arena.client() as client:
        return StoryId((await client.stories.create(_asked(arena, shape, folder, key))).story_id)


def _asked(arena: Arena, shape: Shape, folder: Path, key: str) -> pb.CreateStoryRequest:
    whole = shape is Shape.PLAN
    material = SHOP if whole else demo()
    wish = Wish(
        text=material.text,
        title=material.title,
        repo=str(folder / shape.name),
        checks=material.checks,
        agents=2 if whole else len(CAST),
        rigor="L0" if whole else "",
        model_url=arena.model_url,
        model="rehearsal",
    )
    task = to_task(wish)
    task.role = "" if whole else ROLE
    planning = pb.PLANNING_MODEL if whole else pb.PLANNING_SINGLE
    return pb.CreateStoryRequest(
        task=task, idempotency_key=key, actor="chaos", planning=planning, approval=pb.APPROVAL_AUTOPILOT
    )


async def undisturbed(arena: Arena, shape: Shape, folder: Path) -> Ending:
    """What comes of a story when nothing fails. Raises TimeoutError."""
    story_id = await submit(arena, shape, folder, uuid.uuid4().hex)
    subject = subjects.story(story_id)
    async with arena.bus() as bus, asyncio.timeout(END_S):
        async with aclosing(bus.log.follow(subject)) as events:
            async for _ in events:
                told = story.fold(await bus.log.read(subject))
                if told.state is StoryState.DECIDED or told.failed:
                    break
        return await ending(bus, told)


async def ending(bus: NatsBus, told: Story) -> Ending:
    """Of a story that has ended; tasks without an end are left out."""
    ends = {step.task.name: await end_of(bus, step.task_id) for step in told.steps}
    return Ending(state=told.state, tasks={name: Outcome.of(end.result) for name, end in ends.items() if end})


async def end_of(bus: NatsBus, task: TaskId) -> DeliberationEnded | None:
    last = await bus.log.last(subjects.deliberation(task))
    return last.event.data if last and isinstance(last.event.data, DeliberationEnded) else None

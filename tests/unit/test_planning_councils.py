"""A council that is not there is said when a story or a plan names it, not when its task begins."""

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import CouncilCreated, CouncilDeleted
from folkmoot.kernel.fleet import Council
from folkmoot.kernel.lifecycle import StoryState
from folkmoot.kernel.plan import Plan, PlannedTask, Planning
from folkmoot.kernel.task import Role
from tests.fixtures.planning import DIAMOND, READY, World

MINE = Council(name="mine", role=Role.QA, agents=("qa-1",))


def wish(**fields: str) -> orchestrator.Task:
    return orchestrator.Task(title="t", text="x", repository="/repo", model="m", model_url="http://m/v1", **fields)  # type: ignore[arg-type]


def given(council: str, role: Role = Role.DEV) -> Plan:
    tasks = (PlannedTask(name="a", title="A", text="a"),)
    return Plan(tasks=(*tasks, PlannedTask(name="b", title="B", text="b", role=role, council=council)))


async def made(world: World) -> None:
    await world.bus.log.append(subjects.COUNCILS, CouncilCreated(actor="ann", council=MINE), after=START)


@pytest.mark.parametrize(
    ("role", "says"), [("QA", "there is no council 'mine'"), ("DEV", "sits for QA, and the task wants DEV")]
)
async def test_a_story_for_a_council_that_cannot_sit_is_refused(role: str, says: str) -> None:
    """Unknown, or for another role; nothing is written."""
    world = World()
    if role == "DEV":
        await made(world)
    with pytest.raises(InvalidInput, match=says) as caught:
        await world.create(wish(council="mine", role=role))
    assert caught.value.field == "council"
    assert await world.released() == []
    assert (await world.stories.newest(before=None, size=1))[0] == []


async def test_a_plan_for_a_council_that_cannot_sit_names_the_task() -> None:
    """Submitted with the story, or given later: refused with the field."""
    world = World(READY, DIAMOND)
    with pytest.raises(InvalidInput) as caught:
        await world.create(planning=Planning.GIVEN, given=given("nobody"))
    assert caught.value.field == "plan.tasks[1].council"
    story = await world.modelled(autopilot=False)
    with pytest.raises(InvalidInput) as caught:
        await world.stories.derive(story.story_id, actor="ann", plan=given("nobody"))
    assert caught.value.field == "plan.tasks[1].council"
    await made(world)
    edited = await world.stories.derive(story.story_id, actor="ann", plan=given("mine", Role.QA))
    assert (edited.state, edited.revision) == (StoryState.PLANNED, 2)


async def test_a_repeated_submission_does_not_ask_for_the_council_again() -> None:
    """The story is there and is answered, though its council was deleted since."""
    world = World()
    await made(world)
    story = await world.create(wish(council="mine", role="QA"), key="k")
    (head,) = await world.bus.log.read(subjects.COUNCILS)
    await world.bus.log.append(subjects.COUNCILS, CouncilDeleted(actor="ann", name="mine"), after=head.head)
    assert await world.create(wish(council="mine", role="QA"), key="k") == story
    with pytest.raises(InvalidInput, match="there is no council"):
        await world.create(wish(council="mine", role="QA"), key="another")

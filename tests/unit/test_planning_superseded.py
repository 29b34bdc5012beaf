"""Tests of base that a story makes wrong: the coach proposes them, a person confirms them, no task is held to them."""

import msgspec
import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import subjects
from folkmoot.kernel.deliberation import BASE, TESTS
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import CommandEnd, Examination, Outcome, SuiteKind
from folkmoot.kernel.facts import DeliberationEnded, DeliberationRequested, Examined
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.plan import Planning
from folkmoot.kernel.result import State
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.kernel.wishes import Wish
from folkmoot.planning import wire
from folkmoot.planning.basetests import Examined as Known
from tests.fixtures.planning import DIAMOND, READY, TASK, VAGUE, World, plan, result, task

OLD, OTHER = "tests.test_cart::test_total", "tests.test_cart::test_names"
PROPOSES = READY | {"superseded": [{"test": OLD, "why": "It says that shares are cut, and they are to be rounded."}]}


async def examined(world: World, spec: TaskSpec, *tests: str) -> None:
    """What an orchestrator writes of a task that is decided, with base's own tests."""
    run = Examination(
        subject=BASE, kind=SuiteKind.TESTS, name=TESTS, tests=dict.fromkeys(tests, Outcome.PASSED),
        end=CommandEnd(exit_code=0),
    )  # fmt: skip
    body = await world.bus.artifacts.put(msgspec.json.encode(run))
    fact = Examined(
        subject=BASE, kind=SuiteKind.TESTS, name=TESTS, run=1, end=run.end, passed=len(tests), failed=0, skipped=0,
        examination=body,
    )  # fmt: skip
    subject = subjects.deliberation(spec.task_id)
    first = await world.bus.log.append(subject, DeliberationRequested(spec=spec, digest=digest(spec)), after=START)
    second = await world.bus.log.append(subject, fact, after=first.head)
    end = DeliberationEnded(result=result(spec, State.DECIDED, 10))
    await world.bus.log.append(subject, end, after=second.head)


async def known(world: World, *tests: str) -> None:
    """An earlier story of the same repository, decided: what base's tests are stands in its task's log."""
    story = await world.create(key="earlier")
    (spec,) = [s for s in await world.released() if s.story_id == story.story_id]
    await examined(world, spec, *tests)
    await world.hear()


async def proposed(world: World, *, autopilot: bool = False) -> Story:
    story = await world.create(key="later", planning=Planning.MODEL, autopilot=autopilot)
    return await world.carry(story)


async def test_the_coach_proposes_and_a_person_confirms() -> None:
    """Until then they gate; afterwards they gate none of the story's tasks, merges included."""
    world = World(PROPOSES, DIAMOND)
    story = await proposed(world)
    assert story.assessed is not None
    assert [s.test for s in story.assessed.assessment.superseded] == [OLD]
    assert story.superseded == ()
    shown = wire.story_to_wire(story).assessment.superseded[0]
    assert (shown.test, shown.why[:7]) == (OLD, "It says")
    approved = await world.stories.approve(story.story_id, actor="ann", reason="", superseded=(OLD,))
    assert approved.superseded == tuple(wire.story_to_wire(approved).superseded) == (OLD,)
    for n in range(5):
        await world.end((await world.released())[n].task_id)
    assert [spec.superseded for spec in await world.released()] == [(OLD,)] * 5


async def test_what_nobody_confirms_goes_on_gating() -> None:
    """Neither the autopilot nor an approval without them takes a test out."""
    world = World(PROPOSES, plan(task("only")))
    story = await proposed(world, autopilot=True)
    assert (story.superseded, (await world.released())[0].superseded) == ((), ())
    world = World(PROPOSES, plan(task("only")))
    story = await proposed(world)
    await world.stories.approve(story.story_id, actor="ann", reason="")
    assert (await world.released())[0].superseded == ()


async def test_they_join_what_the_story_named_before() -> None:
    """On submitting, on revising, on approving; and the story that goes on with it has them all."""
    wish = orchestrator.Task(superseded=["a"])
    wish.MergeFrom(TASK)
    world = World(VAGUE, READY, plan(task("only")))
    story = await world.carry(await world.create(wish, planning=Planning.MODEL, autopilot=False))
    revised = await world.stories.revise(
        story.story_id, actor="ann", reason="", title="", text="", checks=(), superseded=("b", "a")
    )
    assert revised.superseded == ("a", "b")
    await world.carry(story)
    approved = await world.stories.approve(story.story_id, actor="ann", reason="", superseded=("c",))
    assert approved.superseded == ("a", "b", "c")
    await world.end((await world.released())[0].task_id)
    over = await world.stories.transition(story.story_id, Wish.CARRY_OVER, actor="ann", reason="")
    assert over.word is not None
    assert (await world.stories.find(wire.story_to_wire(over).carried_into)).superseded == ("a", "b", "c")


async def test_a_test_that_base_does_not_have_is_corrected() -> None:
    """Where the log knows base's tests, the coach is shown them, and held to them."""
    world = World(PROPOSES | {"superseded": [{"test": "test_total", "why": "x"}]}, PROPOSES, plan(task("only")))
    await known(world, OLD, OTHER)
    story = await proposed(world)
    assert story.assessed is not None
    assert (story.assessed.repairs, story.assessed.assessment.superseded[0].test) == (1, OLD)
    first, second = (request.messages for _, request in world.model.asked[:2])
    assert f"# Tests of base\n\n```\n{OTHER}\n{OLD}\n```" in str(first[1]["content"])
    assert "assessment.superseded[0].test: 'test_total' is none of base's tests" in str(second[-1]["content"])


async def test_tests_of_other_repositories_are_not_base_s() -> None:
    """Nothing is known of a repository of which nothing was decided."""
    world = World()
    await known(world, OLD)
    tests = Known(world.bus.log, world.bus.artifacts)
    assert await tests.known("/repo") == {OLD}
    assert await tests.known("/other") == frozenset()
    world.bus.store.bodies.clear()
    assert await tests.known("/repo") == frozenset()


async def test_an_answer_without_the_field_names_none() -> None:
    """The schema asks for it; models that leave it out are understood."""
    world = World(READY, plan(task("only")))
    story = await proposed(world)
    assert story.assessed is not None
    assert story.assessed.assessment.superseded == ()
    form = world.model.asked[0][1].form
    assert form is not None
    assert set(form.schema["required"]) == set(form.schema["properties"]) >= {"superseded"}


async def test_what_was_confirmed_by_mistake_gates_again() -> None:
    """On revising, before as after a plan was approved; only what is superseded, and not in the same breath."""
    wish = orchestrator.Task(superseded=["a", "b"])
    wish.MergeFrom(TASK)
    world = World(READY, plan(task("only")), READY, plan(task("only")))
    story = await world.carry(await world.create(wish, planning=Planning.MODEL, autopilot=False))
    await world.stories.approve(story.story_id, actor="ann", reason="")
    await world.end((await world.released())[0].task_id)
    await world.stories.transition(story.story_id, Wish.SEND_BACK, actor="ann", reason="no")

    async def revised_by(superseded: tuple[str, ...], gating: tuple[str, ...]) -> Story:
        return await world.stories.revise(
            story.story_id, actor="ann", reason="", title="", text="", checks=(), superseded=superseded, gating=gating
        )

    revised = await revised_by(("c",), ("a",))
    assert revised.superseded == ("b", "c")
    for tests, gating in (((), ("x",)), (("b",), ("b",))):
        with pytest.raises(InvalidInput, match=r"gating\[0\]"):
            await revised_by(tests, gating)
    await world.carry(story)
    await world.stories.approve(story.story_id, actor="ann", reason="")
    assert [spec.superseded for spec in await world.released()] == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize(("tests", "field"), [(("",), r"superseded\[0\]"), (("t", "x" * 501), r"superseded\[1\]")])
async def test_what_cannot_be_a_test_is_refused(tests: tuple[str, ...], field: str) -> None:
    """By its place, when it is confirmed."""
    world = World(READY, plan(task("only")))
    story = await proposed(world)
    with pytest.raises(InvalidInput, match=field):
        await world.stories.approve(story.story_id, actor="ann", reason="", superseded=tests)

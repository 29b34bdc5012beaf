"""Planning over a log in memory: stories of one task, and what holds when somebody dies."""

import asyncio

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import (
    PlanApproved,
    StepFailed,
    StoryAssessed,
    StoryPlanned,
    StorySubmitted,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Planning
from folkmoot.kernel.result import State, Usage
from folkmoot.kernel.task import digest
from folkmoot.kernel.wishes import Wish
from folkmoot.planning import wire
from folkmoot.planning.stories import Stories
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.memory import MemoryBus
from tests.fixtures.planning import DIAMOND, READY, TASK, Hangs, World


async def test_a_story_is_released_as_one_task_by_its_submission_alone() -> None:
    """Planned and approved by the platform, which says so; no model is asked."""
    world = World()
    story = await world.create()
    (spec,) = await world.released()
    assert story.state is StoryState.RELEASED
    assert (spec.task_id, spec.text, spec.agents, spec.base_ref) == (story.tasks[0], TASK.text, 3, "HEAD")
    kinds = [type(fact) for fact in await world.facts(story)]
    assert kinds == [StorySubmitted, StoryPlanned, PlanApproved, TaskReleased]
    assert story.approved == PlanApproved(actor="autopilot", automatic=True)


async def test_the_same_key_is_the_same_story() -> None:
    """A client may repeat its call for ever, and another one is told that the key is taken."""
    world = World()
    first = await world.create(key="k")
    assert (await world.create(key="k")).head == first.head
    other = orchestrator.Task()
    other.CopyFrom(TASK)
    other.text = "Something else."
    with pytest.raises(AlreadyExists, match="another idempotency key"):
        await world.create(other, key="k")
    with pytest.raises(AlreadyExists):
        await world.create(key="k", autopilot=False)
    with pytest.raises(AlreadyExists):
        await world.create(key="k", planning=Planning.MODEL)


async def test_a_repeated_submission_is_answered_with_the_story_as_it_stands() -> None:
    """Not as it was when it was new: planned by a model meanwhile, or decided."""
    world = World(READY, DIAMOND)
    planned = await world.carry(await world.create(key="m", planning=Planning.MODEL, autopilot=False))
    assert planned.state is StoryState.PLANNED
    assert await world.create(key="m", planning=Planning.MODEL, autopilot=False) == planned
    single = await world.create(key="s")
    await world.end(single.tasks[0])
    assert (await world.create(key="s")).state is StoryState.DECIDED


async def test_an_old_key_keeps_its_digest() -> None:
    """A call that began before the platform was updated may be repeated after it."""
    world = World()
    story = await world.create(key="k")
    assert story.submitted.digest == digest(wire.spec_of(TASK, story.story_id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("text", " "),
        ("text", "x" * 40_000),
        ("text", "\n" * 31_999 + "x"),
        ("text", "\u8bf7" * 20_000),
        ("repository", ""),
        ("rigor", "high"),
        ("paths", ["src/"]),
    ],
)
async def test_a_wrong_field_is_named(field: str, value: str | list[str]) -> None:
    """And nothing is written."""
    wish, world = orchestrator.Task(), World()
    wish.CopyFrom(TASK)
    if isinstance(value, list):
        wish.paths.extend(value)
    else:
        setattr(wish, field, value)
    with pytest.raises(InvalidInput) as caught:
        await world.create(wish)
    assert caught.value.field == field
    assert (await world.stories.newest(before=None, size=10))[0] == []


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, 0.0])
async def test_a_budget_that_is_no_limit_is_refused(value: float) -> None:
    """An infinite number could not be read again from the log, and would block it for everybody."""
    wish = orchestrator.Task()
    wish.CopyFrom(TASK)
    wish.budget.wall_s = value
    with pytest.raises(InvalidInput) as caught:
        await World().create(wish)
    assert caught.value.field == "budget.wall_s"


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_what_a_dead_predecessor_began_goes_on(count: int) -> None:
    """Whichever append was its last, another process brings the story to its release, once."""
    whole = World()
    facts = await whole.facts(await whole.create(key="k"))
    half, head = World(), START
    story_id = Stories.new_id("k")
    for fact in facts[:count]:
        head = (await half.bus.log.append(subjects.story(story_id), fact, after=head)).head
    story = await half.carry(await half.stories.find(story_id))
    assert story.state is StoryState.RELEASED
    assert [type(fact) for fact in await half.facts(story)] == [type(fact) for fact in facts]


async def test_a_decision_is_folded_once() -> None:
    """However often the deliberation's end is delivered."""
    world = World()
    story = await world.create()
    await world.end(story.tasks[0], State.ABSTAINED)
    world.bus.store.leases["planning-decisions"].clear()
    await world.hear()
    after = await world.stories.find(story.story_id)
    assert (after.state, list(after.decided)) == (StoryState.DECIDED, [story.tasks[0]])
    assert after.decided[story.tasks[0]] == TaskDecided(
        task_id=story.tasks[0], state="abstained", reason="because", usage=Usage(prompt_tokens=10)
    )


async def test_a_guard_says_which_it_is() -> None:
    """A story cannot be accepted before its tasks are decided, nor planned while they run."""
    world = World()
    story = await world.create()
    with pytest.raises(FailedPrecondition):
        await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="")
    with pytest.raises(FailedPrecondition, match="the story is released"):
        await world.stories.derive(story.story_id, actor="ann", plan=None)
    with pytest.raises(FailedPrecondition, match="the story is released"):
        await world.stories.assess(story.story_id, actor="ann")


async def test_an_unknown_story_is_not_found() -> None:
    """Not an empty one."""
    stories = World().stories
    with pytest.raises(NotFound):
        await stories.find("s-none")
    with pytest.raises(InvalidInput):
        await stories.find("../etc")


async def test_what_is_sent_back_waits_for_a_person_and_comes_with_the_reasons() -> None:
    """The next round is another task, and its agents read why."""
    world = World()
    story = await world.create()
    await world.end(story.tasks[0])
    stories = world.stories
    await stories.transition(story.story_id, Wish.SEND_BACK, actor="ann", reason="It is slow.")
    waiting = await world.carry(story)
    assert (waiting.state, waiting.round) == (StoryState.SENT_BACK, 1)
    again = await stories.derive(story.story_id, actor="ann", plan=None)
    first, second = await world.released()
    assert (again.state, again.round) == (StoryState.RELEASED, 2)
    assert first.task_id != second.task_id
    assert second.text.startswith(TASK.text)
    assert "The result of round 1 was sent back: It is slow." in second.text


async def test_a_revised_story_starts_its_next_round_by_itself() -> None:
    """Revising is asking again."""
    world = World()
    story = await world.create()
    await world.end(story.tasks[0], State.ABSTAINED)
    await world.stories.transition(story.story_id, Wish.SEND_BACK, actor="ann", reason="no")
    again = await world.stories.revise(
        story.story_id, actor="ann", reason="", title="", text="Add it well.", checks=("make test",)
    )
    spec = (await world.released())[-1]
    assert (again.state, spec.checks) == (StoryState.RELEASED, ("make test",))
    assert spec.text.startswith("Add it well.\n")


async def test_carrying_over_makes_one_story_that_goes_on() -> None:
    """Also when the process dies between the word and the deed."""
    world = World()
    story = await world.create()
    await world.end(story.tasks[0], State.ABSTAINED)
    over = await world.stories.transition(story.story_id, Wish.CARRY_OVER, actor="ann", reason="next week")
    word = over.word
    assert over.state is StoryState.CARRIED_OVER
    await world.carry(story)
    listed, _ = await world.stories.newest(before=None, size=9)
    (following,) = [s for s in listed if s.story_id != story.story_id]
    assert word is not None
    assert isinstance(following, Story)
    assert following.story_id == getattr(word, "into", "")
    assert (following.submitted.carried_from, following.state) == (story.story_id, StoryState.RELEASED)
    half, head = World(), START
    for fact in await world.facts(story):
        head = (await half.bus.log.append(subjects.story(story.story_id), fact, after=head)).head
    await half.carry(story)
    assert (await half.stories.find(following.story_id)).state is StoryState.RELEASED


# --- whoever dies ----------------------------------------------------------------------------------------------------


async def test_nobody_asks_a_model_twice_for_the_same() -> None:
    """A person who asks while a reader is at it gets what the reader got."""
    world = World(READY, DIAMOND)
    story = await world.create(planning=Planning.MODEL, autopilot=False)
    async with asyncio.TaskGroup() as group:
        carried = group.create_task(world.carry(story), name="reader")
        asked = group.create_task(world.stories.assess(story.story_id, actor="ann"), name="person")
    assert carried.result().state is StoryState.PLANNED
    assessed = asked.result()
    assert assessed.assessed is not None
    assert [r.phase for _, r in world.model.asked] == ["assess", "plan"]
    assert len([f for f in await world.facts(story) if isinstance(f, StoryAssessed)]) == 1


async def test_a_server_that_never_comes_to_an_end_holds_nobody_up() -> None:
    """One that sends a byte now and then is never silent: the story's own wall time ends the step."""
    world = World()
    world.model = Hangs()  # type: ignore[assignment]
    wish = orchestrator.Task()
    wish.CopyFrom(TASK)
    wish.budget.wall_s = 0.05
    story = await world.carry(await world.create(wish, planning=Planning.MODEL))
    assert story.failed == StepFailed(step="assess", reason="wall time limit: 0.05 s are over")


async def test_a_step_whose_process_is_gone_is_done_by_another() -> None:
    """The story's event comes again, to whoever is there."""
    first = World(bus=MemoryBus(VirtualClock()))
    first.model = hanging = Hangs()  # type: ignore[assignment]
    story = await first.create(planning=Planning.MODEL)
    async with beside(first.stories.follow_stories(), name="gone"):
        await hanging.asked.wait()
    second = World(READY, DIAMOND, bus=first.bus.joined("/planning/two"))
    assert (await second.carry(story)).state is StoryState.RELEASED


async def test_two_replicas_do_nothing_twice() -> None:
    """Both carry the same stories on; the fence lets one of them say each thing."""
    one = World(READY, DIAMOND)
    two = World(READY, DIAMOND, bus=one.bus.joined("/planning/two"))
    story = await one.create(planning=Planning.MODEL)
    facts = await one.facts(story)
    assert [type(f) for f in facts] == [StorySubmitted]
    found = await one.stories.find(story.story_id)
    async with asyncio.TaskGroup() as group:
        for world in (one, two):
            group.create_task(world.stories._journal.carried_on(found, asking=True), name="replica")
    kinds = [type(fact) for fact in await one.facts(story)]
    assert kinds == [StorySubmitted, StoryAssessed, StoryPlanned, PlanApproved, TaskReleased]

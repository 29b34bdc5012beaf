"""Which task of a plan starts when, from what, and who may see it."""

import asyncio

import msgspec
import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import subjects
from folkmoot.kernel.due import Limits
from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import DeliberationEnded, DeliberationRequested
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Planning
from folkmoot.kernel.result import State
from folkmoot.kernel.task import TaskKind, digest
from folkmoot.kernel.wishes import Wish
from folkmoot.planning.watch import Watch
from folkmoot.runtime.telemetry.context import derived, within
from tests.fixtures.planning import DIAMOND, READY, TASK, World, commit_of, names, plan, result, task


async def test_tasks_start_when_and_from_what_they_build_on() -> None:
    """The two sides of a diamond are merged before its end starts."""
    world = World(READY, DIAMOND)
    story = await world.modelled()
    for n in range(5):
        await world.end((await world.released())[n].task_id)
    specs = await world.released()
    assert names(specs) == ["TOP", "LEFT", "RIGHT", "Merge left, right", "END"]
    top, left, right, merge, end = specs
    assert [s.merge for s in specs] == [
        (),
        (commit_of("TOP"),),
        (commit_of("TOP"),),
        (commit_of("LEFT"), commit_of("RIGHT")),
        (commit_of("Merge left, right"),),
    ]
    assert merge.kind is TaskKind.MERGE
    assert merge.depends_on == (left.task_id, right.task_id)
    assert end.depends_on == (left.task_id, right.task_id, merge.task_id)
    assert left.depends_on == right.depends_on == (top.task_id,)
    done = await world.stories.find(story.story_id)
    assert (done.state, done.result) == (StoryState.DECIDED, end.task_id)
    accepted = await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="good")
    assert accepted.state is StoryState.ACCEPTED


async def test_several_ends_are_joined_and_pass_the_storys_checks() -> None:
    """The result has everything, and the story's own checks are asked of it alone."""
    wish = orchestrator.Task(checks=["make story"])
    wish.MergeFrom(TASK)
    world = World(READY, plan(task("a", checks=["make a"]), task("b", checks=["make b"])))
    story = await world.carry(await world.create(wish, planning=Planning.MODEL))
    for spec in await world.released():
        await world.end(spec.task_id)
    a, b, merge = await world.released()
    assert (a.checks, b.checks, merge.checks) == (("make a",), ("make b",), ("make a", "make b", "make story"))
    await world.end(merge.task_id)
    assert (await world.stories.find(story.story_id)).result == merge.task_id


async def test_what_builds_on_a_failure_is_never_released() -> None:
    """The rest runs to its end, then the story is decided, with nothing to accept."""
    world = World(READY, DIAMOND)
    story = await world.modelled()
    await world.end((await world.released())[0].task_id)
    _, left, right = await world.released()
    await world.end(left.task_id, State.ABSTAINED)
    assert (await world.stories.find(story.story_id)).state is StoryState.RELEASED
    await world.end(right.task_id)
    after = await world.stories.find(story.story_id)
    assert (after.state, len(await world.released())) == (StoryState.DECIDED, 3)
    with pytest.raises(FailedPrecondition, match="nothing_to_accept"):
        await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="")


async def test_a_story_leaves_room_for_others() -> None:
    """No more than the limit are released and undecided."""
    world = World(READY, plan(*(task(f"t{n}") for n in range(5))))
    world.limits = Limits(tasks_in_flight=2)
    await world.modelled()
    assert names(await world.released()) == ["T0", "T1"]
    await world.end((await world.released())[1].task_id)
    assert names(await world.released()) == ["T0", "T1", "T2"]


async def test_a_storys_budget_stops_its_releases_and_says_so() -> None:
    """Coach and planner count along. What runs may end; then the story is decided."""
    world = World(READY, plan(task("a"), task("b", "a")))
    world.limits = Limits(tasks_in_flight=4, story_tokens=300)
    story = await world.modelled()
    await world.end((await world.released())[0].task_id, tokens=100)
    after = await world.stories.find(story.story_id)
    assert after.failed is not None
    assert (after.state, after.failed.step) == (StoryState.DECIDED, "release")
    assert "320 tokens of 300" in after.failed.reason


# --- watching --------------------------------------------------------------------------------------------------------


async def watched(world: World, story: Story, **how: bool) -> list[str]:
    watch = Watch(world.bus.log, story.story_id, tasks=how.get("tasks", False), once=how.get("once", False))
    async with asyncio.timeout(5):
        return [s.event.type.removeprefix("folkmoot.").removesuffix(".v1") async for s in watch.events(after_seq=0)]


async def test_a_watch_tells_of_tasks_before_their_decisions_and_ends_with_the_story() -> None:
    """From the start, whenever it begins."""
    world = World()
    story = await world.create()
    await world.end(story.tasks[0])
    once = await watched(world, story, tasks=True, once=True)
    assert once[-3:] == ["deliberation.requested", "deliberation.ended", "story.task-decided"]
    await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="")
    assert await watched(world, story, tasks=True) == [*once, "story.accepted"]
    assert "deliberation.ended" not in await watched(world, story)


async def test_a_watch_follows_the_task_that_takes_anothers_place() -> None:
    """From its beginning to its end, which is told before the story's word of it."""
    world = World()
    story = await world.create()
    (old,) = await world.released()
    await world.end(old.task_id, State.ABSTAINED)
    new = msgspec.structs.replace(old, task_id=TaskId("t-new"), continues=old.task_id)
    subject = subjects.deliberation(new.task_id)
    first = await world.bus.log.append(subject, DeliberationRequested(spec=new, digest=digest(new)), after=START)
    await world.bus.log.append(subject, DeliberationEnded(result=result(new, State.DECIDED, 1)), after=first.head)
    await world.hear()
    told = await watched(world, story, tasks=True, once=True)
    assert told[-4:] == ["story.task-continued", "deliberation.requested", "deliberation.ended", "story.task-decided"]


async def test_a_watch_once_does_not_wait_for_what_still_runs() -> None:
    """It tells what is there."""
    world = World()
    story = await world.create()
    (spec,) = await world.released()
    fact = DeliberationRequested(spec=spec, digest=digest(spec))
    await world.bus.log.append(subjects.deliberation(spec.task_id), fact, after=START)
    assert (await watched(world, story, tasks=True, once=True))[-1] == "deliberation.requested"


async def test_a_watch_sees_what_comes() -> None:
    """Live, until the last word."""
    world = World()
    story = await world.create()
    async with asyncio.TaskGroup() as group:
        seen = group.create_task(watched(world, story, tasks=True), name="watch")
        await asyncio.sleep(0)
        await world.stories.transition(story.story_id, Wish.CANCEL, actor="ann", reason="")
    assert seen.result()[-1] == "story.cancelled"


async def test_all_events_of_a_story_carry_the_trace_of_its_submission() -> None:
    """Whoever says the next word, in whichever trace of their own."""
    world = World()
    with within(derived("submitted")):
        story = await world.create()
    with within(derived("cancelled")):
        await world.stories.transition(story.story_id, Wish.CANCEL, actor="bob", reason="no")
    events = await world.bus.log.read(subjects.story(story.story_id))
    assert {e.event.traceparent for e in events} == {derived("submitted")}

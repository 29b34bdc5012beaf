"""A task that is gone on with stays in its story, and the plan follows it."""

import msgspec
import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.events import START, Stored
from folkmoot.kernel.facts import DeliberationEnded, DeliberationRequested, TaskContinued
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.result import State
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.kernel.wishes import Wish
from folkmoot.planning import wire
from tests.fixtures.planning import DIAMOND, READY, World, commit_of, names, plan, result, task

NEW = TaskId("t-new")


async def began(world: World, spec: TaskSpec) -> Stored:
    """What an orchestrator writes first of a task."""
    fact = DeliberationRequested(spec=spec, digest=digest(spec))
    return await world.bus.log.append(subjects.deliberation(spec.task_id), fact, after=START)


async def ended(world: World, spec: TaskSpec, state: State = State.DECIDED) -> None:
    last = await world.bus.log.last(subjects.deliberation(spec.task_id))
    assert last is not None
    fact = DeliberationEnded(result=result(spec, state, 10))
    await world.bus.log.append(subjects.deliberation(spec.task_id), fact, after=last.head)


def continuing(old: TaskSpec, task_id: TaskId = NEW) -> TaskSpec:
    return msgspec.structs.replace(old, task_id=task_id, continues=old.task_id, title=f"{old.title} anew")


async def stuck(world: World) -> tuple[Story, TaskSpec]:
    """A diamond whose left side abstained; everything else that could run has run."""
    story = await world.modelled()
    await world.end((await world.released())[0].task_id)
    _, left, right = await world.released()
    await world.end(left.task_id, State.ABSTAINED)
    await world.end(right.task_id)
    return await world.stories.find(story.story_id), left


async def test_what_waited_for_a_task_waits_for_its_continuation() -> None:
    """The merge is released with the new commit, and the story can be accepted with what comes of it."""
    world = World(READY, DIAMOND)
    story, left = await stuck(world)
    new = continuing(left)
    await began(world, new)
    await world.hear()
    going = await world.stories.find(story.story_id)
    assert (going.state, going.continued, going.blocked()) == (StoryState.RELEASED, {NEW: left.task_id}, frozenset())
    assert (left.task_id in going.tasks, NEW in going.tasks) == (False, True)
    await ended(world, new)
    await world.hear()
    merge = (await world.released())[-1]
    assert merge.merge == (commit_of("LEFT anew"), commit_of("RIGHT"))
    assert NEW in merge.depends_on
    for n in (3, 4):
        await world.end((await world.released())[n].task_id)
    done = await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="")
    assert (done.state, names(await world.released())[-1]) == (StoryState.ACCEPTED, "END")


async def test_it_is_told_which_task_it_goes_on_with() -> None:
    """In the list of the story's tasks, in the place and by the name of the earlier one."""
    world = World(READY, DIAMOND)
    story, left = await stuck(world)
    await began(world, continuing(left))
    await world.hear()
    (row,) = [t for t in wire.tasks_to_wire(await world.stories.find(story.story_id)) if t.task_id == NEW]
    assert (row.task.name, row.continues, row.outcome) == ("left", left.task_id, "")
    assert TaskContinued(task_id=NEW, continues=left.task_id) in await world.facts(story)


async def test_one_that_abstains_too_is_gone_on_with_in_turn() -> None:
    """The story rests between them, and its usage has them all."""
    world = World(READY, plan(task("only")))
    story = await world.modelled()
    old = (await world.released())[0]
    await world.end(old.task_id, State.ABSTAINED)
    for n in (1, 2):
        old = continuing(old, TaskId(f"t-{n}"))
        await began(world, old)
        await ended(world, old, State.ABSTAINED if n == 1 else State.DECIDED)
        await world.hear()
    done = await world.stories.find(story.story_id)
    assert (done.state, done.result, done.usage.prompt_tokens) == (StoryState.DECIDED, "t-2", 230)
    assert done.continued == {"t-1": done.steps[0].task_id and (await world.released())[0].task_id, "t-2": "t-1"}


async def test_its_end_may_be_delivered_before_its_beginning() -> None:
    """Replicas take events side by side: the beginning is then looked up, and counts once."""
    world = World(READY, plan(task("only")))
    story = await world.modelled()
    old = (await world.released())[0]
    await world.end(old.task_id, State.ABSTAINED)
    new = continuing(old)
    first = await began(world, new)
    await ended(world, new)
    last = await world.bus.log.last(subjects.deliberation(NEW))
    assert last is not None
    for stored in (last, first, last):
        await world.stories._decide_by(stored)
    done = await world.stories.find(story.story_id)
    assert (done.state, done.result, done.commit(NEW)) == (StoryState.DECIDED, NEW, commit_of("ONLY anew"))
    assert sum(isinstance(fact, TaskContinued) for fact in await world.facts(story)) == 1


async def test_only_what_ended_without_a_commit_is_replaced() -> None:
    """What others have started from stands, whoever looks at its candidates again; and nothing follows a last word."""
    world = World(READY, DIAMOND)
    story = await world.modelled()
    top = (await world.released())[0]
    await world.end(top.task_id)
    before = await world.stories.find(story.story_id)
    assert not before.may_continue(top.task_id)
    await began(world, continuing(top))
    await world.hear()
    assert await world.stories.find(story.story_id) == before


@pytest.mark.parametrize("wish", [Wish.SEND_BACK, Wish.CANCEL, Wish.CARRY_OVER])
async def test_a_story_that_is_over_does_not_go_on(wish: Wish) -> None:
    """A continuation belongs to the round in which its task was decided."""
    world = World(READY, plan(task("only")))
    story = await world.modelled()
    old = (await world.released())[0]
    await world.end(old.task_id, State.ABSTAINED)
    after = await world.stories.transition(story.story_id, wish, actor="ann", reason="no")
    assert not after.may_continue(old.task_id)
    await began(world, continuing(old))
    await world.hear()
    assert await world.stories.find(story.story_id) == after


async def test_a_second_continuation_of_the_same_task_is_no_part_of_the_plan() -> None:
    """The first one has its place."""
    world = World(READY, plan(task("only")))
    story = await world.modelled()
    old = (await world.released())[0]
    await world.end(old.task_id, State.ABSTAINED)
    for task_id in (NEW, TaskId("t-late")):
        await began(world, continuing(old, task_id))
    await world.hear()
    assert (await world.stories.find(story.story_id)).tasks == (NEW,)


async def test_what_is_sent_back_begins_anew() -> None:
    """The next round's tasks are its own; continuations stay behind with the last one's."""
    world = World(READY, plan(task("only")), plan(task("only")))
    story = await world.modelled()
    old = (await world.released())[0]
    await world.end(old.task_id, State.ABSTAINED)
    await began(world, continuing(old))
    await world.hear()
    with pytest.raises(FailedPrecondition, match="life_cycle"):
        await world.stories.transition(story.story_id, Wish.SEND_BACK, actor="ann", reason="no")
    await ended(world, continuing(old))
    await world.hear()
    await world.stories.transition(story.story_id, Wish.SEND_BACK, actor="ann", reason="no")
    again = await world.stories.derive(story.story_id, actor="ann", plan=None)
    assert (again.continued, NEW in again.tasks) == ({}, False)

"""A person's word counts for what the person saw; and a list shows what can be read."""

import pytest

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, PlannedTask
from folkmoot.kernel.wishes import Wish
from folkmoot.planning import wire
from folkmoot.planning.listing import Unreadable
from folkmoot.planning.service import PlanningServicer
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.settings import GrpcSettings
from tests.fixtures.planning import DIAMOND, READY, World, plan, task

OTHER = Plan(tasks=(PlannedTask(name="a", title="A", text="a"),))


async def planned_twice() -> tuple[World, Story]:
    """A plan was shown to somebody; then somebody else had it rejected, and another one was made."""
    world = World(READY, DIAMOND, plan(task("all")), plan(task("third")))
    story = await world.modelled(autopilot=False)
    assert story.revision == 1
    await world.stories.reject(story.story_id, actor="bob", reason="Too many tasks.")
    return world, await world.carry(story)


async def test_a_plan_that_was_replaced_is_not_approved_by_accident() -> None:
    """Approving, rejecting and editing name the plan that was seen; both numbers are said, and nothing is written."""
    world, story = await planned_twice()
    stories, ident = world.stories, story.story_id
    assert (story.state, story.revision) == (StoryState.PLANNED, 2)
    for call in (
        stories.approve(ident, actor="ann", reason="", seen_revision=1),
        stories.reject(ident, actor="ann", reason="no", seen_revision=1),
        stories.derive(ident, actor="ann", plan=OTHER, seen_revision=1),
        stories.derive(ident, actor="ann", plan=None, seen_revision=3),
    ):
        with pytest.raises(FailedPrecondition, match=r"revision [13] .* at revision 2") as caught:
            await call
        assert caught.value.guard == "plan_changed"
    assert (await stories.find(ident)).head == story.head
    edited = await stories.derive(ident, actor="ann", plan=OTHER, seen_revision=2)
    assert (edited.state, edited.revision) == (StoryState.PLANNED, 3)
    assert (await stories.approve(ident, actor="ann", reason="", seen_revision=3)).state is StoryState.RELEASED


async def test_a_plan_that_is_gone_cannot_be_approved_by_its_number() -> None:
    """It was rejected, and no other stands there yet: the life cycle says no."""
    world = World(READY, DIAMOND)
    story = await world.modelled(autopilot=False)
    await world.stories.reject(story.story_id, actor="bob", reason="no")
    with pytest.raises(FailedPrecondition) as caught:
        await world.stories.approve(story.story_id, actor="ann", reason="", seen_revision=1)
    assert caught.value.guard == "life_cycle"


async def test_a_result_of_an_earlier_round_is_not_accepted_by_accident() -> None:
    """Nor sent back; revisions are counted over all rounds."""
    world = World()
    story = await world.create()
    for round_ in (1, 2):
        await world.end((await world.released())[-1].task_id)
        if round_ == 1:
            await world.stories.transition(story.story_id, Wish.SEND_BACK, actor="bob", reason="slow", seen_round=1)
            await world.stories.derive(story.story_id, actor="bob", plan=None)
    for wish in (Wish.ACCEPT, Wish.SEND_BACK):
        with pytest.raises(FailedPrecondition, match=r"round 1 .* in round 2") as caught:
            await world.stories.transition(story.story_id, wish, actor="ann", reason="x", seen_round=1)
        assert caught.value.guard == "round_changed"
    accepted = await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="", seen_round=2)
    assert (accepted.state, accepted.revision) == (StoryState.ACCEPTED, 2)


async def test_who_does_not_say_what_was_seen_speaks_of_what_stands_there() -> None:
    """As clients from before revisions do; over the wire the two are told apart."""
    world, story = await planned_twice()
    service = Service(
        name="folkmoot.api.planning.v1.PlanningService",
        servicer=PlanningServicer(world.stories, world.bus.log),
        add=rpc.add_PlanningServiceServicer_to_server,
    )
    settings = GrpcSettings(listen="127.0.0.1:0", token="secret")
    async with serving(settings, [service]) as address, channel(address) as open_channel:
        call, metadata = rpc.PlanningServiceStub(open_channel).ApprovePlan, credentials("secret")
        with pytest.raises(FailedPrecondition, match="plan_changed"), mapped():
            await call(pb.ApprovePlanRequest(story_id=story.story_id, expected_revision=1), metadata=metadata)
        reply = await call(pb.ApprovePlanRequest(story_id=story.story_id), metadata=metadata)
    assert (reply.story.state, reply.story.plan_revision) == (pb.STORY_STATE_RELEASED, 2)


# --- lists -------------------------------------------------------------------------------------------------------


def lose(world: World, story: Story) -> None:
    """The second event of the story disappears from the log."""
    messages = world.bus.store.streams["AGILE"].messages
    messages.remove([m for m in messages if m.subject == subjects.story(story.story_id)][1])


async def test_a_story_that_cannot_be_read_hides_no_other() -> None:
    """It stands in the list with its id and the reason; asked for by its id it fails as it did."""
    world = World()
    first, broken, last = [await world.create(key=key) for key in "abc"]
    lose(world, broken)
    listed, _ = await world.stories.newest(before=None, size=10)
    assert [entry.story_id for entry in listed] == [last.story_id, broken.story_id, first.story_id]
    told = [wire.listed_to_wire(entry) for entry in listed]
    assert [t.state for t in told] == [pb.STORY_STATE_RELEASED, pb.STORY_STATE_UNREADABLE, pb.STORY_STATE_RELEASED]
    assert "something between them was lost or changed" in told[1].problem
    with pytest.raises(BrokenChain):
        await world.stories.find(broken.story_id)


@pytest.mark.parametrize("place", [1, -1])
async def test_a_storys_event_of_another_version_hides_no_other(place: int) -> None:
    """In the middle of a story, or as its last: its type is named."""
    world = World()
    foreign, other = await world.create(key="a"), await world.create(key="b")
    messages = world.bus.store.streams["AGILE"].messages
    message = [m for m in messages if m.subject == subjects.story(foreign.story_id)][place]
    message.body = message.body.replace(b'"type":"folkmoot.story.', b'"type":"folkmoot.dream.')
    listed, following = await world.stories.newest(before=None, size=10)
    assert [entry.story_id for entry in listed] == [other.story_id, foreign.story_id]
    assert isinstance(listed[1], Unreadable)
    assert "'folkmoot.dream." in listed[1].reason
    assert following is None
    with pytest.raises(InvalidInput):
        await world.stories.find(foreign.story_id)

"""An analysis as callers ask for it, and as a story: from the wire to the document that ends it."""

from typing import Any

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, PlannedTask, Planning
from folkmoot.kernel.result import Result, State, Winner
from folkmoot.kernel.task import TaskKind
from folkmoot.kernel.wishes import Wish
from folkmoot.runtime.grpc.results import result_from_wire, result_to_wire, spec_from_wire
from tests.fixtures.planning import TASK, World


def asked(**fields: Any) -> pb.Task:
    task = pb.Task(kind="analysis", **fields)
    task.MergeFrom(TASK)
    return task


def test_a_caller_asks_by_kind() -> None:
    """All its agents begin at once, whatever the rigor; merges are the platform's own to ask for."""
    spec = spec_from_wire(asked(rigor="L2"), TaskId("t-1"))
    assert (spec.kind, spec.agents, spec.max_agents) == (TaskKind.ANALYSIS, 3, 0)
    assert spec_from_wire(TASK, TaskId("t-1")).kind is TaskKind.CHANGE
    for kind in ("merge", "essay"):
        wrong = asked()
        wrong.kind = kind
        with pytest.raises(InvalidInput, match="kind"):
            spec_from_wire(wrong, TaskId("t-1"))


def test_a_result_keeps_its_document_on_the_wire() -> None:
    """Digest and size; the winner has neither commit nor branch."""
    winner = Winner(proposal_id=ProposalId("dev-1-r1"), agent_id=AgentId("dev-1"), commit=CommitId(""), branch="")
    document = ArtifactRef(sha256="a" * 64, size=7)
    result = Result(
        task_id=TaskId("t-1"),
        story_id=StoryId(""),
        state=State.DECIDED,
        winner=winner,
        created_at="2026-01-02T03:04:05.000Z",
        decided_at="2026-01-02T03:05:05.000Z",
        document=document,
    )
    assert result_from_wire(result_to_wire(result)) == result


async def ended(state: State = State.DECIDED) -> tuple[World, Story]:
    world = World()
    story = await world.carry(await world.create(asked()))
    [spec] = await world.released()
    assert spec.kind is TaskKind.ANALYSIS
    await world.end(spec.task_id, state)
    return world, await world.stories.find(story.story_id)


async def test_a_story_ends_in_the_document_of_its_task() -> None:
    """Without a commit it has a result all the same, and a person can accept it."""
    world, story = await ended()
    task = story.steps[0].task_id
    assert (story.state, story.result, story.commit(task)) == (StoryState.DECIDED, task, None)
    accepted = await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="good")
    assert accepted.state is StoryState.ACCEPTED


async def test_without_a_document_there_is_nothing_to_accept() -> None:
    """An abstention is no result; what goes on with it is of the same kind."""
    world, story = await ended(State.ABSTAINED)
    assert story.result is None
    with pytest.raises(FailedPrecondition, match="nothing_to_accept"):
        await world.stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="good")
    await world.stories.transition(story.story_id, Wish.CARRY_OVER, actor="ann", reason="again")
    await world.carry(story)
    assert [spec.kind for spec in await world.released()] == [TaskKind.ANALYSIS] * 2


async def test_it_is_one_task() -> None:
    """None of its tasks would have a commit that another could build on: neither a model nor a person plans it."""
    given = Plan(tasks=(PlannedTask(name="a", title="a", text="a"), PlannedTask(name="b", title="b", text="b")))
    for planning, plan in ((Planning.MODEL, None), (Planning.GIVEN, given)):
        with pytest.raises(InvalidInput, match="one task"):
            await World().create(asked(), planning=planning, given=plan)
    world = World()
    story = await world.create(asked(), autopilot=False)
    with pytest.raises(InvalidInput, match="one task"):
        await world.stories.derive(story.story_id, actor="ann", plan=given)

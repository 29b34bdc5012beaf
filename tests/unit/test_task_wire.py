"""A task as callers write it, and what is filled in."""

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import MAX_BUDGET, TaskSpec
from folkmoot.kernel.wishes import as_one, submission
from folkmoot.planning.wire import spec_of
from folkmoot.runtime.grpc.results import spec_from_wire


def task(**fields: object) -> pb.Task:
    return pb.Task(**({"title": "t", "text": "x", "repository": "/r"} | fields))  # type: ignore[arg-type]


def spec(**fields: object) -> TaskSpec:
    return spec_from_wire(task(**fields), TaskId("t-1"))


def test_whoever_says_nothing_gets_the_rigors_number() -> None:
    """And, where tests tell candidates apart, a few more while evidence is short."""
    told = [spec(rigor=rigor) for rigor in ("L0", "L1", "L2", "L3")]
    assert [(s.agents, s.max_agents) for s in told] == [(1, 0), (3, 0), (3, 5), (3, 5)]


def test_a_number_of_agents_is_that_number() -> None:
    """More join only if that is said too."""
    assert [
        (s.agents, s.max_agents) for s in (spec(rigor="L2", agents=2), spec(rigor="L2", agents=2, max_agents=4))
    ] == [(2, 0), (2, 4)]


@pytest.mark.parametrize("most", [1, 17])
def test_at_most_is_not_less_than_at_first(most: int) -> None:
    """Nor more than there are seats."""
    with pytest.raises(InvalidInput, match="max_agents"):
        spec(rigor="L2", agents=2, max_agents=most)


@pytest.mark.parametrize("rigor", ["", "L0", "L1"])
def test_nobody_joins_where_nothing_is_weighed(rigor: str) -> None:
    """Below L2 all are asked at once: a larger number for later is refused, and not one that asks for nobody more."""
    with pytest.raises(InvalidInput, match="max_agents: more join at L2 and L3 only"):
        spec(rigor=rigor, agents=2, max_agents=4)
    assert spec(rigor=rigor, agents=2, max_agents=2).max_agents == 2


def test_workspaces_are_where_the_platform_has_them() -> None:
    """Whoever asks for others is told which there are, and how to have them; whoever says nothing gets those."""
    assert spec_from_wire(task(), TaskId("t-1"), backend="kubernetes").workspace == "kubernetes"
    assert spec(workspace="local").workspace == "local"
    with pytest.raises(InvalidInput, match=r"workspace: .* `local`, not `kubernetes`.*FOLKMOOT_RUNNER_BACKEND"):
        spec(workspace="kubernetes")
    with pytest.raises(InvalidInput, match="workspace: 'docker' is neither"):
        spec(workspace="docker")


def test_limits_of_the_task_hold_as_far_as_they_are_given() -> None:
    """None at all where nothing is said; what an agent may use is another matter."""
    assert spec().total is None
    total = spec(total=pb.Budget(cost_usd=2.5)).total
    assert total is not None
    assert (total.cost_usd, total.tokens, total.steps) == (2.5, MAX_BUDGET, MAX_BUDGET)
    with pytest.raises(InvalidInput, match=r"total\.wall_s"):
        spec(total=pb.Budget(wall_s=0))


def test_superseded_tests_are_named_once() -> None:
    """Blank ones and too many are refused."""
    assert spec(superseded=["t::a", "t::b", "t::a"]).superseded == ("t::a", "t::b")
    with pytest.raises(InvalidInput, match=r"superseded\[1\]"):
        spec(superseded=["t::a", " "])
    with pytest.raises(InvalidInput, match="201 tests"):
        spec(superseded=[f"t::{n}" for n in range(201)])


def test_a_story_hands_them_on_to_its_tasks() -> None:
    """What was submitted is what is asked."""
    story = StoryId("s-1")
    asked = spec_of(task(rigor="L2", agents=2, max_agents=4, superseded=["t::a"], total=pb.Budget(tokens=9)), story)
    told = submission(asked, actor="ann")
    assert (told.max_agents, told.superseded, told.total) == (4, ("t::a",), asked.total)
    assert asked.task_id == as_one(story)


def test_a_story_does_not_go_on_with_a_task() -> None:
    """A task of its own does; a story is revised."""
    with pytest.raises(InvalidInput, match="continues"):
        spec_of(task(continues="t-0"), StoryId("s-1"))

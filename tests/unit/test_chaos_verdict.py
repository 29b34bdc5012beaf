"""What the harness of faults says of a story that is not as it should be, and what it keeps of a campaign."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel import story, subjects
from folkmoot.kernel.course import identified
from folkmoot.kernel.due import Limits, due
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import (
    PlanApproved,
    StepFailed,
    StoryPlanned,
    StorySubmitted,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import CommitId, StoryId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, PlannedTask, Planning
from folkmoot.kernel.task import Rigor
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus
from tests.chaos.faults import drawn
from tests.chaos.record import FILE, Finding, Row, Run, append, read, summary
from tests.chaos.tales import EACH, Shape, script, shapes
from tests.chaos.verdict import done_once, started

S1 = StoryId("s-1")
PLAN = Plan(
    tasks=(
        PlannedTask(name="one", title="One", text="1"),
        PlannedTask(name="two", title="Two", text="2"),
        PlannedTask(name="three", title="Three", text="3", after=("one",)),
    )
)
SUBMITTED = StorySubmitted(
    actor="ann", title="t", text="x", repository="/r", agents=1, rigor=Rigor.L0, digest="d", planning=Planning.GIVEN
)


@pytest.fixture
async def whole() -> tuple[list[Fact], Story]:
    """The facts of a story with a dependency and a merge that went well, and their fold."""
    plan = identified(PLAN, S1, 1)
    log, subject = MemoryBus(VirtualClock()).log, subjects.story(S1)
    told = story.begin(await log.append(subject, SUBMITTED, after=START))
    facts: list[Fact] = [StoryPlanned(tasks=tuple(plan.ids.values()), how="given", plan=plan)]
    while told.state is not StoryState.DECIDED:
        fact = facts.pop() if told.planned is None else _next(told)
        told = story.apply(told, await log.append(subject, fact, after=told.head))
    assert len(told.tasks) == 4
    return [stored.event.data for stored in await log.read(subject)], told


def _next(told: Story) -> Fact:
    for task in told.released:
        if task not in told.decided:
            return TaskDecided(task_id=task, state="decided", commit=CommitId(f"{len(told.decided):040}"))
    fact = due(told, Limits(tasks_in_flight=1))
    assert isinstance(fact, Fact)
    return fact


def said(facts: list[Fact], told: Story) -> list[str]:
    return [*done_once(facts, told), *started(facts, told)]


async def test_a_story_that_went_well_gives_no_cause(whole: tuple[list[Fact], Story]) -> None:
    """Planned and approved once, each task released and decided once, merges from the commits that they join."""
    facts, told = whole
    assert said(facts, told) == []


async def test_whatever_is_there_twice_or_missing_is_told(whole: tuple[list[Fact], Story]) -> None:
    """A plan, an approval, a release, a decision."""
    facts, told = whole
    for kind in (StoryPlanned, PlanApproved, TaskReleased, TaskDecided):
        one = next(fact for fact in facts if isinstance(fact, kind))
        assert said([*facts, one], told), kind
        assert said([fact for fact in facts if fact is not one], told), kind


async def test_a_step_that_failed_is_told(whole: tuple[list[Fact], Story]) -> None:
    """With its reason, although the story went on."""
    facts, told = whole
    assert said([*facts, StepFailed(step="plan", reason="no model")], told) == ["plan failed: no model"]


async def test_a_task_that_starts_from_something_else_is_told(whole: tuple[list[Fact], Story]) -> None:
    """Of the merge too: it lacks the work of one side."""
    facts, told = whole
    merge = next(fact for fact in facts if isinstance(fact, TaskReleased) and len(fact.spec.merge) == 2)
    spec = msgspec.structs.replace(merge.spec, merge=merge.spec.merge[:1])
    (problem,) = said([TaskReleased(spec=spec) if fact is merge else fact for fact in facts], told)
    assert problem.startswith("merge-1 started from")


def test_one_story_in_five_is_a_plan() -> None:
    """At a place that the seed says; the same again with the same seed."""
    dealt = shapes("7.3")
    fifties = [next(dealt) for _ in range(10 * EACH)]
    assert all(fifties[at : at + EACH].count(Shape.PLAN) == 1 for at in range(0, len(fifties), EACH))
    again = shapes("7.3")
    assert [next(again) for _ in fifties] == fifties
    assert len({next(shapes(f"7.{n}")) for n in range(20)}) == 2


def test_the_model_has_a_part_for_every_seat() -> None:
    """Of the single task, the plan's tasks, their merge, coach and planner: roles never mix."""
    played = script()
    seats = ("coach", "planner", "architect-3", "data-1", "devops-2", "qa-2", "dev-1", "dev-2")
    assert [played.behaviour(seat) for seat in seats] == [
        "coach",
        "planner",
        "right",
        "reduced",
        "careless",
        "careless",
        "resolves",
        "careless",
    ]


def test_what_was_done_is_read_back_when_a_campaign_is_cut_off(tmp_path: Path) -> None:
    """A line each, at once; half a line at the end is left out, and the run that has no end is named."""
    fault, other = drawn("7.1", 2)
    well = Row(seed="7.1", fault=fault, at_s=1.0, recovered_s=2.5)
    ill = Row(seed="7.2", fault=other, at_s=1.0)
    finding = Finding(seed="7.1", subject="log", faults=(0, 2), problem="torn")
    for entry in (well, ill, Run(seed="7.1", findings=(finding,), stories=3)):
        append(tmp_path, entry)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"type": "fault", "seed')
    rows, runs = read(tmp_path)
    assert (rows, [run.stories for run in runs]) == ([well, ill], [3])
    words = list(summary(rows, runs))
    assert f"| {fault.kind} | {fault.victim} | 1 | 0 | 1 | 0 | 2.5 | 2.5 |" in words
    assert f"| {other.kind} | {other.victim} | 1 | 0 | 0 | 1 | - | - |" in words
    assert "cut off: seed 7.2" in words
    assert any("torn" in line for line in words)

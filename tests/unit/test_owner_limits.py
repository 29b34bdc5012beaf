"""Tasks that are stopped in one of their stages, or whose agents die in it, on the log in memory."""

import asyncio

import msgspec
import pytest

from folkmoot.kernel import subjects
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import Conflict
from folkmoot.kernel.evidence import Examination, PreparedBase, TestSuite
from folkmoot.kernel.facts import CancelRequested, Stage
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.kernel.jury.evidence import UNRELIABLE
from folkmoot.kernel.replay import EARLY, MORE_TIME
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Budget, Rigor
from tests.fixtures.stages import Bench, MadeUpExaminer, MadeUpJudge

WORLD = {
    "dev-1 propose": "right",
    "dev-2 propose": "wrong",
    "tester-1 test": "right",
    "tester-2 test": "wrong",
    "dev-1 review": "right",
    "dev-2 review": "wrong",
    "dev-2 revise": "wrong still",
    "splitter-1 test": "other",
}
"""Two camps, so that all stages are needed."""
WORKS = ("dev-1 propose", "tester-1 test", "dev-1 review", "dev-2 revise", "splitter-1 test")


def with_work(work: str, how: str) -> Bench:
    return Bench(WORLD | {work: how}, Rigor.L3, agents=2, judge=MadeUpJudge(b"right"))


async def cancelled(task: Bench) -> Deliberation:
    """Its end, when somebody cancels it as soon as an agent hangs."""
    async with asyncio.TaskGroup() as group:
        carrying = group.create_task(task.carry(), name="owner")
        await task.pool.hanging.wait()
        await ask_to_cancel(task)
    return carrying.result()


async def ask_to_cancel(task: Bench) -> None:
    subject = subjects.deliberation(task.spec.task_id)
    while True:
        last = await task.bus.log.last(subject)
        assert last is not None
        try:
            await task.bus.log.append(subject, CancelRequested(actor="ann", reason="enough"), after=last.head)
        except Conflict:
            continue
        return


@pytest.mark.parametrize("work", WORKS)
async def test_a_task_is_cancelled_in_any_of_its_stages(work: str) -> None:
    """At once, with the name of who wished it, and without a winner."""
    state = await cancelled(with_work(work, "hang"))
    assert state.end is not None
    assert (state.state, state.end.result.reasons) == (State.CANCELLED, ("cancelled by ann: enough",))
    assert state.end.result.winner is None


@pytest.mark.parametrize("work", ["dev-1 review", "dev-2 revise"])
async def test_a_task_whose_time_is_over_in_a_stage_is_decided_by_what_there_is(work: str) -> None:
    """Its candidates stand; only the stage is not finished."""
    task = with_work(work, "hang")
    task.spec = msgspec.structs.replace(task.spec, total=Budget(wall_s=1.0))
    state = await task.carry()
    assert state.end is not None
    assert state.state in (State.DECIDED, State.ABSTAINED)
    assert any("wall time limit" in reason for reason in state.end.result.reasons)
    assert {r.proposal_id for r in state.end.result.ranking} >= {"dev-1-r1", "dev-2-r1"}


class Stuck(MadeUpExaminer):
    """Base's own tests never come to an end."""

    async def tests(
        self,
        task_id: TaskId,
        base: PreparedBase,
        suite: TestSuite,
        *,
        subject: str,
        commit: CommitId,
        run: int,
        attempt: int,
        name: str = "tests",
    ) -> Examination:
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")


async def test_a_task_whose_time_is_over_before_its_tests_ran_says_so() -> None:
    """And not that a check or another model would settle it, nor that base's tests are unreliable."""
    task = Bench({"dev-1 propose": "right"}, Rigor.L1, agents=1)
    task.examiner = Stuck(task.bus)
    state = await task.carry(msgspec.structs.replace(task.spec, checks=(), total=Budget(wall_s=0.3)))
    assert state.end is not None
    said = " / ".join(state.end.result.reasons)
    assert "base's tests had not run to their end" in said
    assert "1 of 1 proposal had not been examined to the end" in said
    assert UNRELIABLE not in said
    assert state.end.result.settle == (() if state.state is State.DECIDED else (MORE_TIME,))


@pytest.mark.parametrize("calls", [1, 5, 7, 9])
async def test_a_task_whose_calls_are_used_up_ends_after_the_stage(calls: int) -> None:
    """The limit is looked at between stages: the one that reaches it is the last, and the answer says so."""
    task = with_work("", "")
    task.spec = msgspec.structs.replace(task.spec, total=Budget(steps=calls))
    state = await task.carry()
    assert state.staged[-1].stage is Stage.RANK
    assert state.staged[-1].reasons[0].startswith(f"the task's limit of {calls} model calls is reached")
    assert state.end is not None
    assert state.state in (State.DECIDED, State.ABSTAINED)
    assert state.end.result.reasons[-1].startswith(f"the task's limit of {calls} model calls is reached")


async def test_a_limit_that_ends_the_only_stage_is_told_too() -> None:
    """Where nothing is staged: what agents handed in by then is decided on, and the answer says so."""
    task = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L1, agents=2)
    state = await task.carry(msgspec.structs.replace(task.spec, total=Budget(steps=2)))
    assert state.end is not None
    assert state.end.result.reasons[-1] == f"the task's limit of 2 model calls is reached: {EARLY}"


@pytest.mark.parametrize("phase", ["review", "revise", "test"])
async def test_a_stage_in_which_all_agents_die_does_not_end_the_task(phase: str) -> None:
    """What came before it is decided by; each death is written down with its reason."""
    world = WORLD | {work: "fail" for work in WORLD if work.endswith(phase)} | {f"dev-1 {phase}": "fail"}
    state = await Bench(world, Rigor.L3, agents=2, judge=MadeUpJudge(b"right")).carry()
    assert state.state in (State.DECIDED, State.ABSTAINED)
    assert [why for work, why in state.idle.items() if phase in work]
    assert all("its process died" in why for work, why in state.idle.items() if phase in work)


async def test_a_task_all_of_whose_agents_die_fails_and_says_why() -> None:
    """More seats are tried first; sealed tests alone are no answer."""
    world = WORLD | {f"dev-{n} propose": "fail" for n in (1, 2, 3, 4)}
    task = Bench(world, Rigor.L3, agents=2)
    task.spec = msgspec.structs.replace(task.spec, max_agents=4)
    state = await task.carry()
    assert state.end is not None
    assert state.state is State.FAILED
    assert len(state.failures) == 4
    assert len(state.end.result.reasons) == 4

"""Merge tasks, from their request to what builds on their result: owner and runner as they are, agents that are played.

The log is in memory; repositories, workspaces, the border and examinations are real.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from folkmoot.agents.assignment import Assignment
from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.deliberation import NO_MARKERS, Deliberation
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import AgentFinished
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.kernel.jury import POLICY
from folkmoot.kernel.result import DecidedBy, State
from folkmoot.kernel.task import TaskKind, TaskSpec
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.earlier import Nothing
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.orchestrator.owner import Owner
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.runner import Runner
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.opener import Opener
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import OrchestratorSettings
from tests.fixtures.orchestrator import MODEL, NoModel
from tests.fixtures.workspace import TOKEN, Bench, bench, toolchains
from tests.repositories import File, Repo

__all__ = ["toolchains"]

FILES: dict[str, File] = {"README.md": "numbers\n", "number.py": "def number():\n    return 1\n"}
TWO: Mapping[str, File] = {"number.py": "def number():\n    return 2\n"}
HEADING = '"""Numbers\n=======\n"""\n\n\n'
"""Looks like a marker, and was there before the merge."""
THREE: Mapping[str, File] = {"number.py": f"{HEADING}def number():\n    return 3\n"}
FIVE: Mapping[str, File] = {"number.py": f"{HEADING}def number():\n    return 2 + 3\n"}
Work = Mapping[str, Mapping[str, File]]
"""What each agent of a task writes."""


class Players:
    """A pool whose agents write files into their real workspaces, and hand them in."""

    def __init__(self, runner: Bench, bus: MemoryBus) -> None:
        self._runner = runner
        self._bus = bus
        self.work: Work = {}
        self.told: list[Assignment] = []

    async def run(self, assignment: Assignment) -> AgentFinished:
        self.told.append(assignment)
        workspace = self._runner.holding_grant(assignment.workspace)
        for path, content in self.work[assignment.agent_id].items():
            await workspace.write(path, content if isinstance(content, bytes) else content.encode())
        commit = "git add -A && git -c user.name=a -c user.email=a@b commit -qm work"
        done = await workspace.run(["sh", "-c", commit])
        assert done.end.ok, done
        bundle = await self._runner.artifacts.put(await workspace.export_bundle(assignment.base_commit))
        fact = AgentFinished(agent_id=assignment.agent_id, attempt=1, submitted=True, reason="submitted", bundle=bundle)
        await self._bus.log.append(subjects.agent_result(assignment.task_id, fact.agent_id), fact, after=START)
        return fact


class Stage:
    """Tasks that are carried one after the other."""

    def __init__(self, runner: Bench) -> None:
        self.runner = runner
        self.bus = MemoryBus(SystemClock())
        self.players = Players(runner, self.bus)

    async def carried(self, task: str, work: Work, *merge: CommitId, checks: tuple[str, ...] = ()) -> Deliberation:
        """The task's end; of kind merge when it starts from several commits."""
        self.players.work = work
        spec = TaskSpec(
            task_id=TaskId(task),
            title=f"Task {task}",
            text="Please do it.",
            repository=str(self.runner.repo.folder),
            base_ref=self.runner.commit,
            checks=checks,
            agents=max(1, len(work)),
            kind=TaskKind.MERGE if len(merge) > 1 else TaskKind.CHANGE,
            merge=merge,
        )
        await request(self.bus.log, spec)
        journal = await Journal.take(self.bus.log, subjects.deliberation(spec.task_id), "o-1")
        await Owner(self._parts(), journal).carry()
        return deliberation.fold(await self.bus.log.read(subjects.deliberation(spec.task_id)))

    async def decided(self, task: str, files: Mapping[str, File], *merge: CommitId) -> CommitId:
        return won(await self.carried(task, {"dev-1": files}, *merge))

    def _parts(self) -> Parts:
        runner = Runner(self.runner.address, TOKEN, self.runner.channel)
        return Parts(
            log=self.bus.log,
            queues=self.bus.queues,
            artifacts=self.runner.artifacts,
            runner=runner,
            pool=self.players,
            examiner=Examiner(runner, self.runner.artifacts, parallel=2, check_timeout_s=30),
            councils=Councils(Fleet(self.bus.log, SHIPPED), MODEL),
            earlier=Nothing(),
            clock=SystemClock(),
            settings=OrchestratorSettings(),
            model=MODEL,
            policy=POLICY,
            judge=NoModel(),
        )


def won(state: Deliberation) -> CommitId:
    assert state.result is not None
    assert state.result.winner is not None, state.result
    return state.result.winner.commit


@pytest.fixture
async def stage(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Stage]:
    async with bench(tmp_path, toolchains, files=FILES) as runner, asyncio.TaskGroup() as group:
        stage = Stage(runner)
        opener = Opener(runner.registry, stage.bus.log, runner.address, spare=0)
        requests = stage.bus.queues.deliveries("runner-requests")
        opening = group.create_task(consume(requests, opener.answer, max_deliver=3), name="opener")
        with contextlib.ExitStack() as leaving:
            leaving.callback(opening.cancel)
            yield stage


async def test_a_conflict_is_given_to_a_council(stage: Stage) -> None:
    """Two decided tasks conflict: agents begin with the markers and are told of them; who leaves one loses by the
    check; the next task starts from what they made, and a person who has base alone can take everything."""
    one, two = await stage.decided("t-1", TWO), await stage.decided("t-2", THREE)
    hidden: Mapping[str, File] = {".gitattributes": "* -diff\n"}
    work = {"dev-1": {"notes.txt": "left the markers\n"}, "dev-2": FIVE, "dev-3": hidden}
    joined = await stage.carried("t-3", work, one, two)
    assert joined.result is not None
    assert (joined.result.state, joined.result.decided_by) == (State.DECIDED, DecidedBy.ACCEPTANCE)
    assert {(e.subject, e.end.exit_code) for e in joined.examined if e.name == NO_MARKERS} == {
        ("dev-1-r1", 1),
        ("dev-2-r1", 0),
        ("dev-3-r1", 1),
    }
    told = stage.players.told[-1].text
    assert f">>>>>>> {two}" in told
    assert "Please do it." in told
    last = await stage.carried("t-4", {"dev-1": {"number.py": "def number():\n    return 5\n"}}, won(joined))
    seen = await _taken(stage, last)
    assert seen.line("log", "--format=%s", won(last)).split("\n")[0] == "Task t-4"
    assert {one, two} <= set(seen.line("rev-list", won(last)).split("\n"))


async def _taken(stage: Stage, state: Deliberation) -> Repo:
    """A clone of what the person has, with the result's bundle in it."""
    seen = Repo(stage.runner.repo.folder.parent / "person")
    seen.git("fetch", "-q", str(stage.runner.repo.folder), stage.runner.commit)
    assert state.end is not None
    assert state.end.bundle is not None
    place = seen.folder / "b.bundle"
    place.write_bytes(await stage.runner.artifacts.get(state.end.bundle))
    seen.git("fetch", "-q", str(place), "refs/moot/*:refs/got/*")
    return seen


async def test_what_does_not_conflict_asks_no_agent(stage: Stage) -> None:
    """The platform's own merge is the one proposal, and is examined."""
    one, two = await stage.decided("t-1", TWO), await stage.decided("t-2", {"other.py": "OTHER = 7\n"})
    asked = len(stage.players.told)
    check = "python3 -c 'import number, other' 2>/dev/null || python3 -c 'import other; assert other.OTHER == 7'"
    joined = await stage.carried("t-3", {}, one, two, checks=(check,))
    assert len(stage.players.told) == asked
    assert [(s.agent_id, s.persona) for s in joined.seats] == [("merger", "")]
    assert [e.name for e in joined.examined if e.subject == "merger-r1"] == [check]
    assert joined.admissions[0].files == ("other.py",)
    assert (await _taken(stage, joined)).line("show", "-s", "--format=%P", won(joined)) == f"{one} {two}"


async def test_two_that_are_right_alone_may_be_wrong_together(stage: Stage) -> None:
    """A merge without a conflict that fails a check is no answer."""
    one = await stage.decided("t-1", {"one.py": "A = 1\n"})
    two = await stage.decided("t-2", {"two.py": "B = 2\n"})
    check = "test ! -e one.py || test ! -e two.py"
    joined = await stage.carried("t-3", {}, one, two, checks=(check,))
    assert joined.result is not None
    assert joined.result.state is State.ABSTAINED
    assert any(f"merger fails the check `{check}`" in reason for reason in joined.result.reasons)


async def test_what_either_side_tests_guards_their_merge(stage: Stage) -> None:
    """A test that only the second side has, in a file that both have, passes there and fails in the merge: no answer.
    When it passes in the merge, it is told."""
    test = "from number import number\n\n\ndef test_number():\n    assert number() > 0\n"
    more = "\n\ndef test_small():\n    assert number() < 3\n"
    base = await stage.decided("t-1", {"tests/test_number.py": test})
    three = await stage.decided("t-2", {"number.py": "def number():\n    return 3\n"}, base)
    small = await stage.decided("t-3", {"tests/test_number.py": test + more}, base)
    other = await stage.decided("t-4", {"other.py": "x = 1\n"}, base)
    wrong = await stage.carried("t-5", {}, three, small)
    assert wrong.result is not None
    assert wrong.result.state is State.ABSTAINED
    assert any("merger breaks 1 test of base" in reason and "test_small" in reason for reason in wrong.result.reasons)
    right = await stage.carried("t-6", {}, other, small)
    assert right.result is not None
    assert right.result.state is State.DECIDED
    assert "keeps 2 tests of base" in right.result.ranking[0].reasons


async def test_what_cannot_be_merged_fails_with_the_reason(stage: Stage) -> None:
    """An ordinary task that starts from two commits, and a commit that nobody decided, name the field."""
    one, two = await stage.decided("t-1", TWO), await stage.decided("t-2", {"other.py": "x = 1\n"})
    spec = (await stage.carried("t-3", {}, one, two)).spec
    await request(stage.bus.log, msgspec.structs.replace(spec, task_id=TaskId("t-4"), kind=TaskKind.CHANGE))
    journal = await Journal.take(stage.bus.log, subjects.deliberation(TaskId("t-4")), "o-1")
    await Owner(stage._parts(), journal).carry()
    unknown = await stage.carried("t-5", {"dev-1": TWO}, CommitId("1" * 40))
    for state in (journal.state, unknown):
        assert state.result is not None
        assert state.result.state is State.FAILED
        assert state.result.reasons[0].startswith("merge: ")

"""How the owner carries a task of rigor L2 or L3 through its stages, on the log in memory.

Everything around it is made up: a candidate is the words of its bundle, and a table says which test passes on which.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import msgspec

from folkmoot.agents.assignment import Assignment, WorkspaceGrant
from folkmoot.agents.results import publish
from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel import deliberation, ids, subjects
from folkmoot.kernel.deliberation.state import LINT, Deliberation
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Examination,
    Exhibit,
    Finding,
    Outcome,
    PackedFile,
    PreparedBase,
    Refusal,
    SuiteKind,
    TestPack,
)
from folkmoot.kernel.evidence import Runner as Kind
from folkmoot.kernel.evidence import TestSuite as Suite
from folkmoot.kernel.facts import AgentFinished, Stage, WorkspaceReady, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId, WorkspaceId
from folkmoot.kernel.jury import POLICY
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Rigor, TaskSpec
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.earlier import Nothing
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.orchestrator.owner import Owner
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.runner import Extracted, Runner
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import OrchestratorSettings
from tests.fixtures.orchestrator import MODEL, NoModel

BASE = PreparedBase(
    repository_id=RepositoryId("r-1"),
    commit=CommitId("a" * 40),
    suite=Suite(runner=Kind.PYTEST, command="pytest", report="junit"),
    protected=(),
    max_files=10,
    max_diff_lines=100,
)

World = Mapping[str, str]
"""Which behaviour each piece of work has: `right`, `wrong`, …; tests pass on what behaves as their author does."""


class Told(msgspec.Struct, frozen=True):
    """What an agent was told, without what no test looks at."""

    agent: str
    phase: str
    round: int
    shown: int
    evidence: str


class MadeUpRunner(Runner):
    """A commit is what its bundle says, in hexadecimal; all candidates bring tests."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def prepare(self, repository: str, base_ref: str, merge: Sequence[CommitId] = ()) -> PreparedBase:
        return BASE

    async def admit(
        self,
        *,
        task_id: TaskId,
        agent_id: AgentId,
        base: PreparedBase,
        bundle: ArtifactRef | None,
        message: str,
        round_: int = 1,
    ) -> Admission | Refusal:
        assert bundle is not None
        words = await self._bus.artifacts.get(bundle)
        return Admission(
            proposal_id=ids.proposal_id(agent_id, round_),
            agent_id=agent_id,
            commit=CommitId(words.hex().ljust(40, "0")[:40]),
            tree=f"{words.decode()} {agent_id}",
            diff=await self._bus.artifacts.put(b"+" + words),
            bundle=bundle,
            files=("shop.py",),
            lines_added=1,
            lines_removed=0,
        )

    async def extract_tests(
        self,
        task_id: TaskId,
        base: PreparedBase,
        *,
        commit: CommitId | None = None,
        files: ArtifactRef | None = None,
    ) -> Extracted:
        words = bytes.fromhex(commit).rstrip(b"\0") if commit else await self._reproducer(files)
        body = msgspec.json.encode([PackedFile(path="test_new.py", content=words)])
        suite = Suite(runner=Kind.PYTEST, command="pytest test_new.py", report="junit")
        return Extracted(
            packs=(TestPack(files=await self._bus.artifacts.put(body), paths=("test_new.py",), suite=suite),)
        )

    async def _reproducer(self, files: ArtifactRef | None) -> bytes:
        assert files is not None
        [file] = msgspec.json.decode(await self._bus.artifacts.get(files), type=list[PackedFile])
        return file.content

    async def claim(
        self,
        *,
        task_id: TaskId,
        holder: str,
        attempt: int,
        base: PreparedBase,
        ttl_s: float,
        commit: CommitId | None = None,
    ) -> WorkspaceGrant:
        return WorkspaceGrant(workspace_id=WorkspaceId(f"ws-{holder}-{attempt}"), endpoint="", token="t")

    async def publish(
        self, task_id: TaskId, base: PreparedBase, commit: CommitId, *, inherited: bool = False
    ) -> ArtifactRef | None:
        return None

    async def leave(self, workspace_id: WorkspaceId) -> None:
        """Nothing is open."""

    async def close_all(self, task_id: TaskId) -> None:
        """Nothing is open."""


class MadeUpExaminer(Examiner):
    """Base's tests pass everywhere. A test passes on what behaves as it expects, and not on base."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.runs: list[tuple[str, str, int]] = []

    async def tests(
        self,
        task_id: TaskId,
        base: PreparedBase,
        suite: Suite,
        *,
        subject: str,
        commit: CommitId,
        run: int,
        attempt: int,
        name: str = "tests",
    ) -> Examination:
        return _examination(subject, SuiteKind.TESTS, name, run, {"old": Outcome.PASSED})

    async def exhibit(
        self,
        task_id: TaskId,
        base: PreparedBase,
        exhibit: Exhibit,
        *,
        subject: str,
        commit: CommitId,
        run: int,
        attempt: int,
    ) -> Examination:
        self.runs.append((exhibit.exhibit_id, subject, run))
        [file] = msgspec.json.decode(await self._bus.artifacts.get(exhibit.pack.files), type=list[PackedFile])
        behaviour = bytes.fromhex(commit).rstrip(b"\0")
        outcome = Outcome.PASSED if behaviour == file.content else Outcome.FAILED
        return _examination(subject, SuiteKind.EXHIBIT, exhibit.exhibit_id, run, {"test_new": outcome})

    async def lint(
        self,
        task_id: TaskId,
        base: PreparedBase,
        *,
        subject: str,
        commit: CommitId,
        files: Sequence[str],
        attempt: int,
    ) -> Examination:
        return _examination(subject, SuiteKind.LINT, LINT, 1, {})


def _examination(subject: str, kind: SuiteKind, name: str, run: int, tests: dict[str, Outcome]) -> Examination:
    good = Outcome.FAILED not in tests.values()
    return Examination(
        subject=subject, kind=kind, name=name, run=run, tests=tests, end=CommandEnd(exit_code=0 if good else 1)
    )


class MadeUpPool:
    """Agents do at once what the world says of them, and publish it."""

    def __init__(self, bus: MemoryBus, world: World) -> None:
        self.told: list[Told] = []
        self._bus = bus
        self._world = world

    @property
    def pids(self) -> list[int]:
        return []

    async def start(self) -> None:
        """Nobody needs a process."""

    async def run(self, given: Assignment) -> AgentFinished:
        told = Told(given.agent_id, given.phase, given.round, len(given.shown), given.evidence)
        self.told.append(told)
        does = self._world.get(f"{given.agent_id} {given.phase}", "")
        fact = AgentFinished(
            agent_id=given.agent_id,
            attempt=given.attempt,
            round=given.round,
            phase=given.phase,
            submitted=True,
            reason="submitted",
            bundle=await self._bus.artifacts.put(does.encode()) if does and given.phase != "review" else None,
            findings=(await self._finding(given, does),) if does and given.phase == "review" else (),
        )
        return await publish(given, fact, self._bus.log)

    async def _finding(self, given: Assignment, behaviour: str) -> Finding:
        return Finding(
            proposal_id=given.shown[0].proposal_id,
            claim="it is wrong",
            severity="high",
            path="test_found.py",
            reproducer=await self._bus.artifacts.put(behaviour.encode()),
        )

    async def close(self) -> None:
        """Nobody waits."""


class Bench:
    def __init__(self, world: World, rigor: Rigor, *, agents: int) -> None:
        self.bus = MemoryBus(VirtualClock())
        self.pool = MadeUpPool(self.bus, world)
        self.examiner = MadeUpExaminer(self.bus)
        self.spec = TaskSpec(
            task_id=TaskId("t-1"), title="Add it", text="Please.", repository="/repo", agents=agents, rigor=rigor
        )

    async def carry(self, spec: TaskSpec | None = None) -> Deliberation:
        spec = spec or self.spec
        subject = subjects.deliberation(spec.task_id)
        await request(self.bus.log, spec)
        async with self._opening():
            await Owner(self._parts(), await Journal.take(self.bus.log, subject, "o-1")).carry()
        return deliberation.fold(await self.bus.log.read(subject))

    def _parts(self) -> Parts:
        return Parts(
            log=self.bus.log,
            queues=self.bus.queues,
            artifacts=self.bus.artifacts,
            runner=MadeUpRunner(self.bus),
            pool=self.pool,
            examiner=self.examiner,
            councils=Councils(Fleet(self.bus.log, SHIPPED), MODEL),
            earlier=Nothing(),
            clock=VirtualClock(),
            settings=OrchestratorSettings(),
            model=MODEL,
            policy=POLICY,
            judge=NoModel(),
        )

    @asynccontextmanager
    async def _opening(self) -> AsyncIterator[None]:
        """The runner's side of the log: every request for a workspace is answered."""
        async with asyncio.TaskGroup() as group:
            opener = group.create_task(self._open(), name="opener")
            try:
                yield
            finally:
                opener.cancel()

    async def _open(self) -> None:
        async with aclosing(self.bus.queues.deliveries("runner-requests")) as deliveries:
            async for delivery in deliveries:
                wanted = delivery.stored.event.data
                assert isinstance(wanted, WorkspaceRequested)
                subject = subjects.agent_response(wanted.task_id, wanted.agent_id)
                last = await self.bus.log.last(subject)
                ready = WorkspaceReady(attempt=wanted.attempt, workspace_id=WorkspaceId("ws"), endpoint="")
                await self.bus.log.append(subject, ready, after=last.head if last else START)
                await delivery.ack()


async def test_every_test_of_every_author_is_run_on_base_and_on_every_candidate() -> None:
    """Three authors with tests of their own: twelve cells, whoever came first; what is equal is run once."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "right", "dev-3 propose": "wrong"}, Rigor.L2, agents=3)
    state = await bench.carry()
    seen = {(e.name, e.subject) for e in state.examined if e.kind is SuiteKind.EXHIBIT and e.run == 1}
    subjects_ = ["base", "dev-1-r1", "dev-2-r1", "dev-3-r1"]
    assert {(f"own-dev-{n}-r1", s) for n in (1, 2, 3) for s in subjects_} == seen
    assert len(bench.examiner.runs) == len(set(bench.examiner.runs))
    assert state.ranked is not None
    assert state.ranked.chosen in ("dev-1-r1", "dev-2-r1")
    assert state.state is State.DECIDED


async def test_authors_mend_what_a_reproducer_shows() -> None:
    """The reviewer's test fails on the wrong one; its author sees that, and mends it: a further candidate, and the
    earlier one stays."""
    world = {
        "dev-1 propose": "right",
        "dev-2 propose": "wrong",
        "dev-1 review": "right",
        "dev-2 revise": "right",
    }
    bench = Bench(world, Rigor.L2, agents=2)
    state = await bench.carry()
    assert [s.stage for s in state.staged][:3] == [Stage.PROPOSE, Stage.CRITIQUE, Stage.REVISE]
    assert sorted(a.proposal_id for a in state.admissions) == ["dev-1-r1", "dev-2-r1", "dev-2-r2"]
    [finding] = [f for review in state.reviews for f in review.findings]
    assert (finding.exhibit_id, finding.proposal_id) == ("finding-dev-1-r1-1", "dev-2-r1")
    [revision] = [t for t in bench.pool.told if t.phase == "revise" and t.agent == "dev-2"]
    assert "it is wrong" in revision.evidence
    assert "dev-1" not in revision.evidence
    assert [t.shown for t in bench.pool.told if t.phase == "review"] == [1, 1]
    assert state.ranked is not None
    assert state.ranked.chosen in ("dev-1-r1", "dev-2-r2")


async def test_a_revision_without_a_change_is_no_candidate() -> None:
    """It is written down as that, and the task goes on."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    state = await bench.carry()
    assert [a.proposal_id for a in state.admissions] == ["dev-1-r1", "dev-2-r1"]
    assert set(state.idle.values()) <= {"nothing changed"}
    assert state.ranked is not None


async def test_writers_who_saw_no_candidate_decide_between_camps() -> None:
    """Two camps of one author each contradict each other; sealed tests settle it."""
    world = {
        "dev-1 propose": "right",
        "dev-2 propose": "wrong",
        "tester-1 test": "right",
        "tester-2 test": "right",
        "splitter-1 test": "right",
    }
    bench = Bench(world, Rigor.L3, agents=2)
    state = await bench.carry()
    sealed = [t for t in bench.pool.told if t.agent.startswith("tester")]
    assert [(t.phase, t.shown, t.evidence) for t in sealed] == [("test", 0, "")] * 2
    assert state.ranked is not None
    assert state.ranked.chosen == "dev-1-r1"


async def test_a_task_goes_on_with_the_candidates_of_an_ended_one() -> None:
    """Nobody proposes again: the candidates and the tests of the first task are judged anew."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    first = await bench.carry()
    again = msgspec.structs.replace(bench.spec, task_id=TaskId("t-2"), continues=first.task_id)
    second = await bench.carry(again)
    assert [a.proposal_id for a in second.admissions][:2] == [a.proposal_id for a in first.admissions]
    assert {e.exhibit_id for e in first.exhibits} <= {e.exhibit_id for e in second.exhibits}
    assert len([t for t in bench.pool.told if t.phase == "propose"]) == 2
    assert second.ranked is not None

"""How a deliberation is carried over broken attempts and dead owners, on the log in memory.

The runner admits nothing and the pool runs nobody: what is asked here is what is written down, and how often.
"""

import msgspec
import pytest

from folkmoot.agents.assignment import Assignment
from folkmoot.agents.errors import AttemptLost as HostDied
from folkmoot.agents.roles import SHIPPED
from folkmoot.kernel import subjects
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AgentRegistered,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    Convened,
    DeliberationEnded,
    ProposalRefused,
)
from folkmoot.kernel.fleet import AgentProfile
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.kernel.jury import POLICY
from folkmoot.kernel.registry import fold
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Budget, ModelChoice, Role, TaskSpec
from folkmoot.orchestrator.councils import Councils, seated
from folkmoot.orchestrator.earlier import Earlier, Nothing
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.orchestrator.owner import Owner
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import OrchestratorSettings
from tests.fixtures.made_up import BASE as WITH_TESTS
from tests.fixtures.made_up import MadeUpRunner, opening
from tests.fixtures.orchestrator import MODEL, NoModel

AGENT = AgentId("dev-1")
TASK = TaskId("t-1")
SPEC = TaskSpec(task_id=TASK, title="Add it", text="Please add it.", repository="/repo", agents=1)
SUBJECT = subjects.deliberation(TASK)
BASE = msgspec.structs.replace(WITH_TESTS, suite=None)


class Pool:
    """Publishes a result or not, and dies or not."""

    def __init__(self, bus: MemoryBus, *, publishes: bool = True, dies: bool = False) -> None:
        self.runs: list[int] = []
        self.assigned: list[Assignment] = []
        self._bus = bus
        self._publishes = publishes
        self._dies = dies

    async def run(self, assignment: Assignment) -> AgentFinished:
        self.runs.append(assignment.attempt)
        self.assigned.append(assignment)
        finished = await published(self._bus, assignment.attempt) if self._publishes else None
        if self._dies or finished is None:
            raise HostDied("killed")
        return finished


async def published(bus: MemoryBus, attempt: int) -> AgentFinished:
    fact = AgentFinished(
        agent_id=AGENT, attempt=attempt, submitted=True, reason="submitted", bundle=await bus.artifacts.put(b"bundle")
    )
    await bus.log.append(subjects.agent_result(TASK, AGENT), fact, after=START)
    return fact


class Bench:
    """A task that was asked for, its runner, and its owners one after the other."""

    def __init__(self) -> None:
        self.bus = MemoryBus(VirtualClock())
        self.runner = MadeUpRunner(self.bus, BASE, refuses="touches .git")
        self.earlier: Earlier = Nothing()

    async def owner(self, pool: Pool, name: str = "o-1") -> Owner:
        await request(self.bus.log, SPEC)
        parts = Parts(
            log=self.bus.log,
            queues=self.bus.queues,
            artifacts=self.bus.artifacts,
            runner=self.runner,
            pool=pool,
            examiner=Examiner(self.runner, self.bus.artifacts, parallel=1, check_timeout_s=1),
            councils=Councils(Fleet(self.bus.log, SHIPPED), MODEL),
            earlier=self.earlier,
            clock=VirtualClock(),
            settings=OrchestratorSettings(),
            model=MODEL,
            policy=POLICY,
            judge=NoModel(),
        )
        return Owner(parts, await Journal.take(self.bus.log, SUBJECT, name))

    async def dead_owner(self, *, attempt: int) -> None:
        """One that convened if nobody had, began an attempt, and died."""
        await request(self.bus.log, SPEC)
        journal = await Journal.take(self.bus.log, SUBJECT, f"dead-{attempt}")
        if journal.state.base is None:
            await journal.record(Convened(base=BASE, seats=seated(SPEC, fold(SHIPPED), MODEL).seats))
        elif attempt > 1:
            await journal.record(AttemptLost(agent_id=AGENT, attempt=attempt - 1, reason="its orchestrator died"))
        await journal.record(AttemptStarted(agent_id=AGENT, attempt=attempt))

    async def facts(self, kind: type[Fact]) -> list[Fact]:
        return [e.event.data for e in await self.bus.log.read(SUBJECT) if isinstance(e.event.data, kind)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_result_counts_though_its_host_died_afterwards(bench: Bench) -> None:
    """It was published: the attempt is not lost, and nobody runs again."""
    pool = Pool(bench.bus, dies=True)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    assert pool.runs == [1]
    assert await bench.facts(AttemptLost) == []
    assert len(await bench.facts(ProposalRefused)) == 1


async def test_a_result_counts_though_its_owner_died_before_reading_it(bench: Bench) -> None:
    """The next owner settles it, and runs nobody."""
    await bench.dead_owner(attempt=1)
    await published(bench.bus, 1)
    pool = Pool(bench.bus)
    await (await bench.owner(pool)).carry()
    assert pool.runs == []
    assert len(await bench.facts(ProposalRefused)) == 1


async def test_a_result_counts_though_the_last_attempt_was_lost(bench: Bench) -> None:
    """A predecessor may have written the loss down just before the result came."""
    limit = OrchestratorSettings().max_attempts
    await bench.dead_owner(attempt=1)
    journal = await Journal.take(bench.bus.log, SUBJECT, "dead too")
    for attempt in range(1, limit + 3):
        await journal.record(AttemptLost(agent_id=AGENT, attempt=attempt, reason="killed"))
        await journal.record(AttemptStarted(agent_id=AGENT, attempt=attempt + 1))
    await journal.record(AttemptLost(agent_id=AGENT, attempt=limit + 3, reason="killed"))
    await published(bench.bus, limit + 3)
    await (await bench.owner(Pool(bench.bus))).carry()
    assert await bench.facts(AgentFailed) == []


async def test_dead_owners_do_not_use_up_an_agents_attempts(bench: Bench) -> None:
    """The agent did nothing wrong: after as many dead owners as it has attempts, it runs all the same."""
    limit = OrchestratorSettings().max_attempts
    for attempt in range(1, limit + 1):
        await bench.dead_owner(attempt=attempt)
    pool = Pool(bench.bus)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    assert pool.runs == [limit + 1]
    assert await bench.facts(AgentFailed) == []


async def test_hosts_that_die_use_them_up(bench: Bench) -> None:
    """The agent fails with the reason of the last, and the task with it."""
    pool = Pool(bench.bus, publishes=False)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    assert pool.runs == [1, 2, 3]
    (failed,) = await bench.facts(AgentFailed)
    assert "killed" in str(failed)


async def test_what_an_owner_left_open_at_the_end_is_closed_by_the_next(bench: Bench) -> None:
    """It died between the last event and cleaning up; nothing is written any more."""
    async with opening(bench.bus):
        await (await bench.owner(Pool(bench.bus))).carry()
    before = await bench.bus.log.read(SUBJECT)
    await (await bench.owner(Pool(bench.bus), "o-2")).carry()
    assert bench.runner.cleaned == 2
    assert await bench.bus.log.read(SUBJECT) == before


async def test_what_a_dead_owners_attempts_held_is_closed_before_others_begin(bench: Bench) -> None:
    """Attempts that died with their owners leave room for those that follow; nobody waits for a lease to end."""
    cleaned: list[int] = []

    class Watched(Pool):
        async def run(self, assignment: Assignment) -> AgentFinished:
            cleaned.append(bench.runner.cleaned)
            return await super().run(assignment)

    await bench.dead_owner(attempt=1)
    async with opening(bench.bus):
        await (await bench.owner(Watched(bench.bus))).carry()
    assert cleaned == [1]


async def test_a_wish_to_cancel_outlives_the_owner_who_heard_it(bench: Bench) -> None:
    """The next one obeys it at once."""
    await bench.dead_owner(attempt=1)
    head = (await bench.bus.log.read(SUBJECT))[-1].head
    await bench.bus.log.append(SUBJECT, CancelRequested(actor="me", reason="enough"), after=head)
    pool = Pool(bench.bus)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    (end,) = await bench.facts(DeliberationEnded)
    assert isinstance(end, DeliberationEnded)
    assert end.result.state is State.CANCELLED


class Remembers:
    """A context service that knows something, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def told(self, spec: TaskSpec) -> str:
        self.asked += 1
        return f"{spec.task_id} was tried before"


async def test_agents_get_what_their_seats_say(bench: Bench) -> None:
    """Words, tools, temperature and the lower limits; a key only for the configured URL."""
    own = ModelChoice(url="http://127.0.0.1:9/v1", name="own")
    profile = AgentProfile(
        name="dev-1",
        role=Role.DEV,
        instructions="Be brief.",
        model=own,
        temperature=0.1,
        tools=("run", "submit"),
        budget=Budget(steps=5, wall_s=9_999.0),
    )
    await bench.bus.log.append(subjects.COUNCILS, AgentRegistered(actor="ann", agent=profile), after=START)
    pool = Pool(bench.bus)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    (given,) = pool.assigned
    assert (given.instructions, given.tools, given.temperature) == ("Be brief.", ("run", "submit"), 0.1)
    assert (given.budget.steps, given.budget.wall_s) == (5, SPEC.budget.wall_s)
    assert (given.model.url, given.model.name, given.model.api_key) == (own.url, own.name, "")
    assert given.context == ""


async def test_agents_are_told_of_earlier_work(bench: Bench) -> None:
    """Asked once, kept, named in the log; every attempt has the same words."""
    bench.earlier = remembers = Remembers()
    pool = Pool(bench.bus, publishes=False)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    (convened,) = await bench.facts(Convened)
    assert isinstance(convened, Convened)
    assert convened.council == "dev"
    assert convened.context is not None
    assert await bench.bus.artifacts.get(convened.context) == b"t-1 was tried before"
    assert [a.context for a in pool.assigned] == ["t-1 was tried before"] * 3
    assert remembers.asked == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_the_next_owner_tells_what_the_first_was_told(bench: Bench, *, lost: bool) -> None:
    """Not what the context service would say by now; if it is lost, agents work without it."""
    bench.earlier = remembers = Remembers()
    await request(bench.bus.log, SPEC)
    journal = await Journal.take(bench.bus.log, SUBJECT, "dead")
    kept = await bench.bus.artifacts.put(b"as it was then")
    await journal.record(Convened(base=BASE, seats=seated(SPEC, fold(SHIPPED), MODEL).seats, context=kept))
    if lost:
        bench.bus.store.bodies.clear()
    pool = Pool(bench.bus)
    async with opening(bench.bus):
        await (await bench.owner(pool)).carry()
    assert [a.context for a in pool.assigned] == ["" if lost else "as it was then"]
    assert remembers.asked == 0

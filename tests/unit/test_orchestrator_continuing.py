"""Going on with the candidates of a task that has ended."""

import pytest

from folkmoot.agents.roles import SHIPPED
from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import DeliberationRequested, StoryCancelled, StoryPlanned, TaskDecided, TaskReleased
from folkmoot.kernel.ids import CommitId
from folkmoot.kernel.limits import Prices, Quota
from folkmoot.kernel.replay import EARLY
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Budget, TaskSpec
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import Gate
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.settings import ModelSettings
from tests.fixtures.history import base, commit, deliberation, spec, submitted

MODEL = ModelSettings(url="http://127.0.0.1:1/v1", name="m")
OLD = spec("t-old", "s-1", checks=("make check",), superseded=("t::old",), agents=3, paths=("a.py",))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(VirtualClock())


@pytest.fixture
def desk(bus: MemoryBus) -> Desk:
    clock = VirtualClock()
    gate = Gate(bus.queues, Ledger(bus.log, clock, Prices()), clock, queue=100, quota=Quota())
    return Desk(bus.log, bus.queues, Councils(Fleet(bus.log, SHIPPED), MODEL), gate)


def life(of: TaskSpec = OLD) -> tuple[Fact, ...]:
    """Of a task that abstained."""
    return deliberation(of, ("a.py",), State.ABSTAINED, "", ("none is right",))


async def told(bus: MemoryBus, *facts: Fact) -> None:
    """The log of a task that begins with its request."""
    assert isinstance(facts[0], DeliberationRequested)
    head = START
    for fact in facts:
        head = (await bus.log.append(subjects.deliberation(facts[0].spec.task_id), fact, after=head)).head


async def requested(bus: MemoryBus, task_id: str) -> TaskSpec:
    first = (await bus.log.read(f"deliberation.events.{task_id}"))[0].event.data
    assert isinstance(first, DeliberationRequested)
    return first.spec


async def test_it_takes_over_the_task_from_the_same_commit(bus: MemoryBus, desk: Desk) -> None:
    """What its branch is called now may be another commit; checks and superseded tests join those that were there."""
    await told(bus, *life())
    asked = pb.Task(continues="t-old", checks=["true", "make check"], superseded=["t::b"], rigor="L0", model="other")
    new = await requested(bus, await desk.submit(asked, ""))
    assert (new.continues, new.base_ref, new.title, new.text) == ("t-old", base().commit, OLD.title, OLD.text)
    assert (new.checks, new.superseded) == (("make check", "true"), ("t::old", "t::b"))
    assert (new.rigor, new.model.name, new.agents, new.max_agents, new.paths) == ("L0", "other", 3, 0, ("a.py",))
    assert new.story_id == ""


async def in_its_story(bus: MemoryBus, *facts: Fact, commit_: str = "") -> None:
    """A story of which t-old is the one task, decided."""
    told_ = submitted(title="t", text="x")
    ended = TaskDecided(
        task_id=OLD.task_id, state="decided" if commit_ else "abstained", commit=CommitId(commit_) or None
    )
    head = START
    for fact in (told_, StoryPlanned(tasks=(OLD.task_id,), how="single"), TaskReleased(spec=OLD), ended, *facts):
        head = (await bus.log.append("agile.events.s-1", fact, after=head)).head


async def test_it_stays_in_its_story(bus: MemoryBus, desk: Desk) -> None:
    """As long as that waits for it; the same call again is the same task, also when the story has gone on."""
    await told(bus, *life())
    await in_its_story(bus)
    asked = pb.Task(continues="t-old", checks=["true"])
    first = await desk.submit(asked, "k")
    assert (await requested(bus, first)).story_id == "s-1"
    last = await bus.log.last("agile.events.s-1")
    assert last is not None
    await bus.log.append("agile.events.s-1", StoryCancelled(actor="ann"), after=last.head)
    assert await desk.submit(asked, "k") == first
    assert (await requested(bus, await desk.submit(asked, "later"))).story_id == ""


async def test_it_leaves_a_story_that_has_what_it_needs(bus: MemoryBus, desk: Desk) -> None:
    """A task that was decided keeps its place, whatever comes of looking at its candidates again."""
    await told(bus, *deliberation(OLD, ("a.py",), State.DECIDED, "c", ("it passes",)))
    await in_its_story(bus, commit_=commit("c"))
    assert (await requested(bus, await desk.submit(pb.Task(continues="t-old", checks=["true"]), ""))).story_id == ""


async def test_its_limits_are_the_earlier_ones_unless_said(bus: MemoryBus, desk: Desk) -> None:
    """Limit by limit for the agents; as a whole for the task, where what is absent does not hold."""
    await told(bus, *life())
    asked = pb.Task(continues="t-old", budget=pb.Budget(steps=3), total=pb.Budget(tokens=5))
    new = await requested(bus, await desk.submit(asked, ""))
    assert new.budget == Budget(steps=3)
    assert new.total is not None
    assert (new.total.tokens, new.total.wall_s) == (5, 1e9)


async def test_the_same_key_is_the_same_task(bus: MemoryBus, desk: Desk) -> None:
    """With the same checks; with others it is refused."""
    await told(bus, *life())
    first = await desk.submit(pb.Task(continues="t-old", checks=["true"]), "k")
    assert await desk.submit(pb.Task(continues="t-old", checks=["true"]), "k") == first
    with pytest.raises(AlreadyExists):
        await desk.submit(pb.Task(continues="t-old", checks=["false"]), "k")


async def test_it_may_be_continued_again(bus: MemoryBus, desk: Desk) -> None:
    """A task that itself went on with another's candidates is a task like others."""
    await told(bus, *life())
    await told(bus, *life(spec("t-second", continues="t-old", base_ref=commit("base"))))
    assert (
        await requested(bus, await desk.submit(pb.Task(continues="t-second", checks=["true"]), ""))
    ).continues == "t-second"


@pytest.mark.parametrize(
    ("facts", "guard"),
    [
        (life()[:-1], "running"),
        ((*life()[:2], life()[-1]), "no_candidates"),
        ((life()[0], life()[-1]), "no_candidates"),
    ],
    ids=["running", "no candidate", "no council"],
)
async def test_what_cannot_be_continued_is_refused(
    bus: MemoryBus, desk: Desk, facts: tuple[Fact, ...], guard: str
) -> None:
    """One that runs, one without a candidate; nothing is written."""
    await told(bus, *facts)
    with pytest.raises(FailedPrecondition) as refused:
        await desk.submit(pb.Task(continues="t-old"), "k")
    assert refused.value.guard == guard
    assert len(await bus.log.lasts(subjects.ALL_DELIBERATIONS)) == 1


async def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    """As everywhere."""
    with pytest.raises(NotFound):
        await desk.submit(pb.Task(continues="t-none"), "")


@pytest.mark.parametrize(
    ("task", "field"),
    [
        (pb.Task(text="Something else."), "text"),
        (pb.Task(repository="/other"), "repository"),
        (pb.Task(base_ref="main"), "base_ref"),
        (pb.Task(agents=5), "agents"),
        (pb.Task(max_agents=5), "max_agents"),
        (pb.Task(paths=["b.py"]), "paths"),
        (pb.Task(rigor="L9"), "rigor"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
async def test_another_task_is_not_asked_for(bus: MemoryBus, desk: Desk, task: pb.Task, field: str) -> None:
    """Candidates answer what they were asked: what would make it another question is refused by name."""
    await told(bus, *life())
    task.continues = "t-old"
    with pytest.raises(InvalidInput) as refused:
        await desk.submit(task, "")
    assert refused.value.field == field


async def test_what_was_said_may_be_said_again(bus: MemoryBus, desk: Desk) -> None:
    """A client that sends the whole task is understood."""
    await told(bus, *life())
    same = pb.Task(continues="t-old", title=OLD.title, text=OLD.text, repository=OLD.repository, base_ref=base().commit)
    same.checks.append("true")
    assert (await requested(bus, await desk.submit(same, ""))).title == OLD.title


@pytest.mark.parametrize(
    ("task", "field"),
    [
        (pb.Task(), "checks"),
        (pb.Task(checks=["make check"], superseded=["t::old"]), "checks"),
        (pb.Task(rigor="L1"), "checks"),
        (pb.Task(rigor="L0"), "rigor"),
    ],
    ids=["nothing", "said before", "the same rigor", "less rigor"],
)
async def test_what_would_change_nothing_is_refused(bus: MemoryBus, desk: Desk, task: pb.Task, field: str) -> None:
    """The same evidence gives the same answer; what would be new is named."""
    await told(bus, *life())
    task.continues = "t-old"
    with pytest.raises(InvalidInput, match="give a further check, a superseded test, more rigor") as refused:
        await desk.submit(task, "")
    assert refused.value.field == field


@pytest.mark.parametrize(
    "task",
    [
        pb.Task(checks=["true"], rigor="L0"),
        pb.Task(rigor="L2"),
        pb.Task(model="other"),
        pb.Task(total=pb.Budget(wall_s=5)),
        pb.Task(budget=pb.Budget(steps=5)),
    ],
    ids=["a check", "more rigor", "a model", "limits of the task", "limits of agents"],
)
async def test_anything_new_will_do(bus: MemoryBus, desk: Desk, task: pb.Task) -> None:
    """A check even where less rigor is asked for beside it."""
    await told(bus, *life())
    task.continues = "t-old"
    assert (await requested(bus, await desk.submit(task, ""))).continues == "t-old"


@pytest.mark.parametrize("why", ["a limit", "a wish"])
async def test_what_was_stopped_early_may_just_go_on(bus: MemoryBus, desk: Desk, why: str) -> None:
    """It never had all its evidence."""
    limited = deliberation(OLD, ("a.py",), State.ABSTAINED, "", (f"60 s are over: {EARLY}",))
    await told(bus, *(limited if why == "a limit" else deliberation(OLD, ("a.py",), State.CANCELLED, "", ("enough",))))
    assert (await requested(bus, await desk.submit(pb.Task(continues="t-old"), ""))).continues == "t-old"

import pytest

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as orchestrator
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import DeliberationEnded, DeliberationRequested, StorySubmitted, TaskReleased
from folkmoot.kernel.result import Result, State
from folkmoot.kernel.story import StoryState, Wish
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.planning.stories import Stories
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.memory import MemoryBus

TASK = orchestrator.Task(title="Add it", text="Please add it.", repository="/repo", model="m", model_url="http://m/v1")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(VirtualClock())


@pytest.fixture
def stories(bus: MemoryBus) -> Stories:
    return Stories(bus.log, bus.queues, max_deliver=5)


async def released_spec(bus: MemoryBus, story_id: str) -> TaskSpec:
    events = [s.event.data for s in await bus.log.read(f"agile.events.{story_id}")]
    return next(e.spec for e in events if isinstance(e, TaskReleased))


async def end(bus: MemoryBus, spec: TaskSpec) -> None:
    """What an orchestrator would write, in short."""
    subject = subjects.deliberation(spec.task_id)
    first = await bus.log.append(subject, DeliberationRequested(spec=spec, digest=digest(spec)), after=START)
    result = Result(task_id=spec.task_id, story_id=spec.story_id, state=State.ABSTAINED)
    await bus.log.append(subject, DeliberationEnded(result=result), after=first.head)


async def test_a_story_is_released_as_one_task(bus: MemoryBus, stories: Stories) -> None:
    """Submitting is all that a person does."""
    story = await stories.create(TASK, idempotency_key="", actor="ann")
    spec = await released_spec(bus, story.story_id)
    assert story.state is StoryState.RELEASED
    assert (spec.task_id, spec.text, spec.agents) == (story.tasks[0], TASK.text, 3)


async def test_the_same_key_is_the_same_story(stories: Stories) -> None:
    """A client may repeat its call for ever."""
    first = await stories.create(TASK, idempotency_key="k", actor="ann")
    assert (await stories.create(TASK, idempotency_key="k", actor="ann")).story_id == first.story_id


async def test_the_same_key_with_other_content_is_refused(stories: Stories) -> None:
    """Nobody gets an answer to a question that he did not ask."""
    await stories.create(TASK, idempotency_key="k", actor="ann")
    other = orchestrator.Task()
    other.CopyFrom(TASK)
    other.text = "Something else."
    with pytest.raises(AlreadyExists, match="another idempotency key"):
        await stories.create(other, idempotency_key="k", actor="ann")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("text", " "),
        ("text", "x" * 40_000),
        ("text", "\n" * 31_999 + "x"),
        ("text", "\u8bf7" * 20_000),
        ("repository", ""),
        ("rigor", "L2"),
        ("rigor", "high"),
    ],
)
async def test_a_wrong_field_is_named(stories: Stories, field: str, value: str) -> None:
    """And nothing is written."""
    task = orchestrator.Task()
    task.CopyFrom(TASK)
    setattr(task, field, value)
    with pytest.raises(InvalidInput) as caught:
        await stories.create(task, idempotency_key="", actor="ann")
    assert caught.value.field == field
    assert (await stories.newest(before=None, size=10))[0] == []


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, 0.0])
async def test_a_budget_that_is_no_limit_is_refused(stories: Stories, value: float) -> None:
    """An infinite number could not be read again from the log, and would block it for everybody."""
    task = orchestrator.Task()
    task.CopyFrom(TASK)
    task.budget.wall_s = value
    with pytest.raises(InvalidInput) as caught:
        await stories.create(task, idempotency_key="", actor="ann")
    assert caught.value.field == "budget.wall_s"


async def test_what_a_dead_predecessor_began_is_released(bus: MemoryBus, stories: Stories) -> None:
    """A story that was only submitted goes on after a restart."""
    finished = await stories.create(TASK, idempotency_key="k", actor="ann")
    half = MemoryBus(VirtualClock())
    submitted = (await bus.log.read(subjects.story(finished.story_id)))[0].event.data
    assert isinstance(submitted, StorySubmitted)
    await half.log.append(subjects.story(finished.story_id), submitted, after=START)
    successor = Stories(half.log, half.queues, max_deliver=5)
    await successor.resume()
    assert (await successor.find(finished.story_id)).state is StoryState.RELEASED


async def test_a_decision_is_folded_once(bus: MemoryBus, stories: Stories) -> None:
    """However often the deliberation's end is delivered."""
    story = await stories.create(TASK, idempotency_key="", actor="ann")
    await end(bus, await released_spec(bus, story.story_id))
    deliveries = bus.queues.deliveries("planning-decisions")
    for _ in range(2):
        delivery = await anext(deliveries)
        await stories._on_decision(delivery)
        await stories._on_decision(delivery)
        await delivery.ack()
    after = await stories.find(story.story_id)
    assert after.state is StoryState.DECIDED
    assert list(after.decided) == [story.tasks[0]]


async def test_a_guard_says_which_it_is(stories: Stories) -> None:
    """A story cannot be accepted before its tasks are decided."""
    story = await stories.create(TASK, idempotency_key="", actor="ann")
    with pytest.raises(FailedPrecondition):
        await stories.transition(story.story_id, Wish.ACCEPT, actor="ann", reason="")


async def test_an_unknown_story_is_not_found(stories: Stories) -> None:
    """Not an empty one."""
    with pytest.raises(NotFound):
        await stories.find("s-none")
    with pytest.raises(InvalidInput):
        await stories.find("../etc")

"""What must hold after any faults, checked from the log alone. Each check answers with sentences; none: it holds."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from folkmoot.kernel import deliberation, story, subjects
from folkmoot.kernel.errors import BrokenChain, FolkmootError
from folkmoot.kernel.events import Fact, Stored
from folkmoot.kernel.facts import (
    CandidatesRanked,
    DeliberationEnded,
    PlanApproved,
    StepFailed,
    StoryPlanned,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import Story
from folkmoot.runtime.log.nats import NatsBus
from tests.chaos.arena import Arena, Outcome
from tests.chaos.tales import Ending

BASELINE_RUNS = 2
CATCH_UP_S = 90.0
QUEUES = {"REQUESTS": "orchestrator-requests", "AGENT_REQUESTS": "runner-requests"}
"""With who takes from them."""


async def of_story(arena: Arena, story_id: StoryId, expected: Ending) -> list[str]:
    """Planned once, its tasks released and decided once each, from the commits that they build on; all as expected."""
    try:
        async with arena.bus() as bus:
            events = await bus.log.read(subjects.story(story_id))
        told = story.fold(events)
    except FolkmootError as error:
        return [f"{type(error).__name__}: {error}"]
    facts = [stored.event.data for stored in events]
    found = [*done_once(facts, told), *started(facts, told)]
    if told.state is not expected.state:
        found.append(f"it is {told.state}, not {expected.state}")
    names = {step.task.name: step.task_id for step in told.steps}
    if set(names) != set(expected.tasks):
        return [*found, f"its tasks are {sorted(names)}, not {sorted(expected.tasks)}"]
    for name, outcome in expected.tasks.items():
        found += [f"{name}: {problem}" for problem in await _of_task(arena, told, names[name], outcome)]
    return found


def done_once(facts: Sequence[Fact], told: Story) -> Iterator[str]:
    """`facts` are those of the story that `told` is the fold of. No step of planning failed on the way."""
    yield from (f"{f.step} failed: {f.reason}" for f in facts if isinstance(f, StepFailed))
    for kind in (StoryPlanned, PlanApproved):
        if (times := sum(isinstance(f, kind) for f in facts)) != 1:
            yield f"{kind.type_name} {times} times"
    released = Counter(f.spec.task_id for f in facts if isinstance(f, TaskReleased))
    decided = Counter(f.task_id for f in facts if isinstance(f, TaskDecided))
    for task in told.tasks:
        if (released[task], decided[task]) != (1, 1):
            yield f"{task} was released {released[task]} times, and decided {decided[task]} times"


def started(facts: Sequence[Fact], told: Story) -> Iterator[str]:
    """Each task was told the commits of what it builds on: those that were decided, and no others."""
    specs = {fact.spec.task_id: fact.spec for fact in facts if isinstance(fact, TaskReleased)}
    for step in told.steps:
        commits = tuple(told.commit(task) for task in step.starts_from)
        if step.task_id in specs and specs[step.task_id].merge != commits:
            yield f"{step.task.name} started from {specs[step.task_id].merge}, not from {commits}"


async def _of_task(arena: Arena, told: Story, task: TaskId, expected: Outcome) -> list[str]:
    """Ended once, as expected, everything in it done once and by its owner, nothing decided without its evidence; and
    its story knows."""
    try:
        events = await arena.sound(task)
        await arena.tidy(task)
    except (AssertionError, TimeoutError, FolkmootError) as error:
        return [f"{type(error).__name__}: {error}"]
    end = events[-1].event.data
    assert isinstance(end, DeliberationEnded)
    found = [] if Outcome.of(end.result) == expected else [f"decided otherwise: {Outcome.of(end.result)}"]
    heard = told.decided[task].state if task in told.decided else "nothing"
    if heard != end.result.state:
        found.append(f"its story was told {heard}, it is {end.result.state}")
    async with arena.bus() as bus:
        return found + await _evidence(bus, events)


async def _evidence(bus: NatsBus, events: Sequence[Stored]) -> list[str]:
    """When it was ranked nothing was missing, each candidate stood there once, and each artifact is what it says."""
    at = next((n for n, e in enumerate(events) if isinstance(e.event.data, CandidatesRanked)), None)
    if at is None:
        return []
    before, ranked = deliberation.fold(events[:at]), events[at].event.data
    assert isinstance(ranked, CandidatesRanked)
    found = [f"ranked without {w.name} on {w.subject}" for w in deliberation.missing(before, BASELINE_RUNS)]
    counted = Counter(line.proposal_id for line in ranked.ranking)
    found += [f"{proposal} stands {n} times in the ranking" for proposal, n in counted.items() if n > 1]
    for fact in before.examined:
        body = await bus.artifacts.get(fact.examination)
        if hashlib.sha256(body).hexdigest() != fact.examination.sha256:
            found.append(f"the evidence of {fact.name} on {fact.subject} is another one")
    return found


async def of_log(arena: Arena, accepted: Iterable[StoryId]) -> list[str]:
    """All chains are whole, no story is there that nobody asked for, nor a task of no plan, no queue holds anything,
    nothing is parked."""
    found: list[str] = []
    async with arena.bus() as bus:
        for pattern in (subjects.ALL_STORIES, subjects.ALL_DELIBERATIONS, "agent.results.*.*", "agent.steps.*.*"):
            for last in await bus.log.lasts(pattern):
                found += await _chain(bus, last.event.subject)
        planned = {task for s in await arena.stories() for task in await _planned(bus, s)}
    known = set(await arena.stories())
    found += [f"{each} was asked for by nobody" for each in sorted(known - set(accepted))]
    found += [f"{each} was accepted, and is not in the log" for each in sorted(set(accepted) - known)]
    found += [f"{task} is in no plan" for task in sorted(set(await arena.tasks()) - planned)]
    async with arena.bus("platform") as bus:
        for queue in QUEUES:
            found += await _unsettled(bus, queue)
        parked = await bus.log.lasts("parked.>")
    return found + [f"parked: {p.event.data}" for p in parked]


async def _planned(bus: NatsBus, story_id: StoryId) -> tuple[TaskId, ...]:
    """Broken chains are told elsewhere."""
    try:
        return story.fold(await bus.log.read(subjects.story(story_id))).tasks
    except BrokenChain:
        return ()


async def _chain(bus: NatsBus, subject: str) -> list[str]:
    try:
        await bus.log.read(subject)
    except BrokenChain as broken:
        return [str(broken)]
    return []


async def _unsettled(bus: NatsBus, queue: str) -> list[str]:
    """A lease that was lost behind the end runs out first."""
    for _ in range(round(CATCH_UP_S / 0.2)):
        if (left := await _work(bus, queue)) == 0:
            return []
        await asyncio.sleep(0.2)
    return [f"{left} messages are left in {queue}"]


async def _work(bus: NatsBus, queue: str) -> int:
    """Not delivered, or not settled. Not the stream's count: when its disk is full, nats-server may keep the empty
    shell of a message that was settled, which nobody is ever given."""
    info = await bus.wire.api(f"$JS.API.CONSUMER.INFO.{queue}.{QUEUES[queue]}", {})
    return int(info["num_pending"]) + int(info["num_ack_pending"])


async def of_graph(arena: Arena) -> list[str]:
    """The projection catches up, and is what a rebuild makes."""
    try:
        await arena.graph_is_the_log()
    except (AssertionError, FolkmootError) as error:
        return [f"the projection is not what a rebuild makes: {type(error).__name__}: {error}"[:2000]]
    return []

"""What must hold after any faults, checked from the log alone. Each check answers with sentences; none: it holds."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.errors import BrokenChain, FolkmootError
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import CandidatesRanked, DeliberationEnded, TaskDecided, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.runtime.log.nats import NatsBus
from tests.chaos.arena import Arena, Outcome

BASELINE_RUNS = 2
CATCH_UP_S = 30.0
QUEUES = {"REQUESTS": "orchestrator-requests", "AGENT_REQUESTS": "runner-requests"}
"""With who takes from them."""


async def of_task(arena: Arena, task: TaskId, expected: Outcome) -> list[str]:
    """Ended once, as expected, everything in it done once and by its owner, nothing decided without its evidence."""
    try:
        events = await arena.sound(task)
        await arena.tidy(task)
    except (AssertionError, TimeoutError, FolkmootError) as error:
        return [f"{type(error).__name__}: {error}"]
    end = events[-1].event.data
    assert isinstance(end, DeliberationEnded)
    found = [] if Outcome.of(end.result) == expected else [f"decided otherwise: {Outcome.of(end.result)}"]
    async with arena.bus() as bus:
        return found + await _evidence(bus, events) + await _story(bus, task, end, StoryId(end.result.story_id))


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


async def _story(bus: NatsBus, task: TaskId, end: DeliberationEnded, story: StoryId) -> list[str]:
    """It was released once, and its end is told once; planning may need a moment."""
    facts = [e.event.data async for e in _caught_up(bus, story, task)]
    released = sum(isinstance(f, TaskReleased) and f.spec.task_id == task for f in facts)
    decided = [f for f in facts if isinstance(f, TaskDecided) and f.task_id == task]
    found = [] if released == 1 else [f"released {released} times"]
    if [d.state for d in decided] != [end.result.state]:
        found.append(f"its story was told {[d.state for d in decided]}, it is {end.result.state}")
    return found


async def _caught_up(bus: NatsBus, story: StoryId, task: TaskId) -> AsyncIterator[Stored]:
    for _ in range(round(CATCH_UP_S / 0.2)):
        events = await bus.log.read(subjects.story(story))
        if any(isinstance(e.event.data, TaskDecided) and e.event.data.task_id == task for e in events):
            break
        await asyncio.sleep(0.2)
    for event in events:
        yield event


async def of_log(arena: Arena, accepted: Iterable[TaskId]) -> list[str]:
    """All chains are whole, no task is there that nobody asked for, no queue holds anything, nothing is parked."""
    found: list[str] = []
    async with arena.bus() as bus:
        for pattern in (subjects.ALL_STORIES, subjects.ALL_DELIBERATIONS, "agent.results.*.*", "agent.steps.*.*"):
            for last in await bus.log.lasts(pattern):
                found += await _chain(bus, last.event.subject)
        known = {s.event.subject.rpartition(".")[2] for s in await bus.log.lasts(subjects.ALL_DELIBERATIONS)}
    found += [f"{task} was asked for by nobody" for task in sorted(known - set(accepted))]
    found += [f"{task} was accepted, and is not in the log" for task in sorted(set(accepted) - known)]
    async with arena.bus("platform") as bus:
        for queue in QUEUES:
            found += await _unsettled(bus, queue)
        parked = await bus.log.lasts("parked.>")
    return found + [f"parked: {p.event.data}" for p in parked]


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

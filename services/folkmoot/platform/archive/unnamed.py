"""Artifacts that no event names any more: found by reading every log, and taken away when nobody can be about to name
them.

A writer first puts an artifact, then appends the event that names it, and putting what is there already renews its
date. So what nobody names may go when it is old enough, or when nothing runs that could name it.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import msgspec

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CODEC, MessageParked
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.platform.archive.record import examinations, named, within
from folkmoot.runtime.log import envelope, topology
from folkmoot.runtime.log.jetstream import Raw
from folkmoot.runtime.log.keeper import Keeper

_LOGS = (topology.AGILE, topology.DELIBERATIONS, topology.STEPS, topology.FLEET, topology.PARKED)


class Sweeping(msgspec.Struct, frozen=True, kw_only=True):
    removed: int
    waiting: int
    """Named by nobody, and too young while something runs: a later sweep takes them."""


async def sweep_artifacts(keeper: Keeper, *, now: datetime, grace_s: float) -> Sweeping:
    """Take away what no event names: at once while nothing runs, else what nobody put for `grace_s` seconds.

    Costs a reading of all logs and of all examinations.
    """
    there = await keeper.artifacts()
    quiet = await _quiet(keeper)
    wanted = await _named(keeper)
    removed = waiting = 0
    for sha256 in there:
        if sha256 in wanted:
            continue
        if (quiet and await _quiet(keeper)) or await _old(keeper, sha256, now - timedelta(seconds=grace_s)):
            await keeper.drop(sha256)
            removed += 1
        else:
            waiting += 1
    return Sweeping(removed=removed, waiting=waiting)


async def parked_copies(keeper: Keeper, of: str, tasks: Sequence[TaskId]) -> int:
    """How many parked messages are of the story or one of its tasks."""
    gone = {subjects.story(StoryId(of)), *map(subjects.deliberation, tasks), *map(subjects.request, tasks)}
    count = 0
    async for raw in keeper.messages(topology.PARKED.name):
        fact = _fact(raw)
        count += isinstance(fact, MessageParked) and fact.subject in gone
    return count


async def _quiet(keeper: Keeper) -> bool:
    """Nothing waits and nothing runs (a request stays in its queue until its task has ended): nobody can be about to
    name anything."""
    return await keeper.waiting(topology.REQUESTS.name) == 0


async def _old(keeper: Keeper, sha256: str, before: datetime) -> bool:
    at = await keeper.wanted_at(sha256)
    return at is None or at < before


async def _named(keeper: Keeper) -> set[str]:
    """Digests of all that any event names, and of what their examinations name."""
    wanted: set[str] = set()
    looked_into: set[str] = set()
    async for fact in _facts(keeper):
        wanted.update(ref.sha256 for ref in named(fact))
        for ref in examinations(fact):
            if ref.sha256 not in looked_into:
                looked_into.add(ref.sha256)
                wanted.update([r.sha256 for r in await _within(keeper, ref)])
    return wanted


async def _within(keeper: Keeper, ref: ArtifactRef) -> tuple[ArtifactRef, ...]:
    """Nothing when it is gone."""
    try:
        return within(ref, await keeper.bus.artifacts.get(ref))
    except NotFound:
        return ()


async def _facts(keeper: Keeper) -> AsyncIterator[Fact]:
    """Of all logs, and of the messages that were parked."""
    for stream in _LOGS:
        async for raw in keeper.messages(stream.name):
            fact = _fact(raw)
            if isinstance(fact, MessageParked):
                fact = _inner(fact)
            if fact is not None:
                yield fact


def _fact(raw: Raw) -> Fact | None:
    """None for what this version cannot read: it is parked by whoever meets it."""
    try:
        return envelope.stored(raw.seq, raw.body).event.data
    except InvalidInput:
        return None


def _inner(parked: MessageParked) -> Fact | None:
    try:
        return CODEC.decode(parked.body.encode("utf-8", "surrogatepass")).data
    except InvalidInput:
        return None

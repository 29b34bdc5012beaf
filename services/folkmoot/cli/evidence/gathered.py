"""What a jury had before it: the log, and the bodies that it names, fetched side by side."""

import asyncio
from collections.abc import Iterable

import msgspec

from folkmoot.cli.client import Client
from folkmoot.kernel import replay
from folkmoot.kernel.errors import BrokenChain
from folkmoot.kernel.evidence import Examination
from folkmoot.kernel.facts import CandidatesRanked, Examined
from folkmoot.kernel.jury.policy import VERSIONS, Policy, policy_of, shipped
from folkmoot.runtime.supervise import first_leaf


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a jury had before it, and what it said."""

    found: replay.Ranked
    examinations: tuple[Examination, ...]
    policy: Policy | None
    """By which it was decided; None: neither the log nor this version has it."""


AT_ONCE = 8
"""Artifacts that are on their way at the same time."""


async def case(client: Client, task: str) -> Case:
    """Raises what `replay.ranked` raises, and kernel errors of the calls."""
    found = replay.ranked(await client.log_of(task))
    kept = found.ruling.numbers
    policy = decided_by(found.ruling, await client.artifact(kept) if kept else None)
    return Case(found=found, examinations=await bodies(client, found.state.examined), policy=policy)


def decided_by(ruling: CandidatesRanked, numbers: bytes | None) -> Policy | None:
    """`numbers`: what the log has of its policy. Raises BrokenChain."""
    if numbers is not None:
        return policy_of(numbers)
    return shipped(ruling.policy) if ruling.policy in VERSIONS else None


async def bodies(client: Client, examined: Iterable[Examined]) -> tuple[Examination, ...]:
    """In the order of `examined`. Raises NotFound when one is gone, BrokenChain when one is no examination."""
    room = asyncio.Semaphore(AT_ONCE)

    async def fetched(fact: Examined) -> Examination:
        async with room:
            return examination(fact, await client.artifact(fact.examination))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetched(fact), name=f"examination {fact.name}") for fact in examined]
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures
    return tuple(task.result() for task in tasks)


def examination(fact: Examined, body: bytes) -> Examination:
    """Raises BrokenChain when the body is not what the fact says."""
    try:
        found = msgspec.json.decode(body, type=Examination)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BrokenChain(f"artifact {fact.examination.sha256} is no examination: {error}") from error
    if (found.subject, found.kind, found.name, found.run) != (fact.subject, fact.kind, fact.name, fact.run):
        raise BrokenChain(f"artifact {fact.examination.sha256} is another examination than the log says")
    return found

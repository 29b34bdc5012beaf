"""Convenes a task's council: base, seats, what is told of earlier work, and the candidates that a task goes on with."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from folkmoot.kernel import deliberation, protocol, subjects
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, NotFound
from folkmoot.kernel.events import MAX_EVENT_BYTES
from folkmoot.kernel.evidence import ArtifactRef, PreparedBase
from folkmoot.kernel.facts import Convened, ExhibitAdmitted, Seat
from folkmoot.kernel.task import ModelChoice, Rigor, TaskKind, TaskSpec
from folkmoot.orchestrator import merging
from folkmoot.orchestrator.earlier import Earlier
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.supervise import first_leaf, patiently
from folkmoot.runtime.telemetry.ambient import phase

log = logging.getLogger(__name__)

T = TypeVar("T")

ENVELOPE_BYTES = 2_048
"""Around the fact in its event."""


class Convening:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    async def convened(self) -> None:
        """Until agents may begin; what a predecessor wrote down already stands. Raises what callers must mend."""
        earlier = await self._continued()
        if self._state.base is None:
            await self._convene(earlier)
        if self._state.staged or not self._staged_at_all():
            return
        known = {e.exhibit_id for e in self._state.exhibits}
        for exhibit in earlier.exhibits if earlier else ():
            if exhibit.exhibit_id not in known and self._state.seat(exhibit.author):
                await self._journal.record(ExhibitAdmitted(exhibit=exhibit))
        await self._journal.record(protocol.opening(self._state, self._parts.policy))

    def _staged_at_all(self) -> bool:
        spec = self._state.spec
        return spec.kind is TaskKind.ANALYSIS or protocol.staged_at_all(self._parts.policy.profile[spec.rigor])

    @phase("convening")
    async def _convene(self, earlier: Deliberation | None) -> None:
        spec = self._state.spec
        asked = msgspec.structs.replace(spec, agents=len(earlier.seats)) if earlier else spec
        seated = await patiently(lambda: self._parts.councils.seated(asked))
        preparing = patiently(lambda: self._parts.runner.prepare(spec.repository, spec.base_ref, spec.merge))
        base, told = await told_beside(preparing, self._parts.earlier, self._parts.artifacts, spec)
        seats = merging.seats(spec, base) or _as_before(earlier, seated.seats)
        helpers = await self._helpers(seats, base)
        fact = Convened(
            base=_same(base, earlier),
            seats=seats,
            council=seated.council,
            context=told,
            helpers=(*helpers, *_witnesses(earlier, helpers)),
            inherited=earlier.admissions if earlier else (),
        )
        _require_room(fact)
        await self._journal.record(fact)

    async def _helpers(self, seats: tuple[Seat, ...], base: PreparedBase) -> tuple[Seat, ...]:
        """None where the platform's own merge is the one proposal: nobody is to be told apart from it."""
        spec = self._state.spec
        profile = self._parts.policy.profile[spec.rigor]
        if not any(s.model.url for s in seats):
            return ()
        if spec.kind is TaskKind.ANALYSIS:
            compares = spec.rigor is not Rigor.L0
            return await patiently(lambda: self._parts.councils.helpers(spec, sealed=0, split=0, judge=compares))
        return await patiently(
            lambda: self._parts.councils.helpers(
                spec, sealed=profile.sealed, split=profile.split, judge=profile.judge_pairs > 0
            )
        )

    async def _continued(self) -> Deliberation | None:
        """The task that this one goes on with. Raises NotFound, BrokenChain, FailedPrecondition."""
        ident = self._state.spec.continues
        if not ident or self._state.staged:
            return None
        found = deliberation.fold(await patiently(lambda: self._parts.log.read(subjects.deliberation(ident))))
        if not found.end or not found.admissions:
            raise FailedPrecondition("continues", f"task {ident} has not ended, or has no candidates")
        return found


def _same(base: PreparedBase, earlier: Deliberation | None) -> PreparedBase:
    """Candidates are commits on one base: another one is another task. Raises FailedPrecondition."""
    if earlier is None or earlier.base is None:
        return base
    if base.commit != earlier.base.commit or base.repository_id != earlier.base.repository_id:
        problem = f"its candidates build on {earlier.base.commit[:12]}, and base is {base.commit[:12]} now"
        raise FailedPrecondition("continues", problem)
    return earlier.base


def _as_before(earlier: Deliberation | None, seats: tuple[Seat, ...]) -> tuple[Seat, ...]:
    """The authors of the candidates, with the model that this task names and as the registry knows them now."""
    now = {s.agent_id: s for s in seats}
    return tuple(now.get(s.agent_id, s) for s in earlier.seats) if earlier else seats


def _witnesses(earlier: Deliberation | None, helpers: tuple[Seat, ...]) -> tuple[Seat, ...]:
    """Who helped the earlier task and does not help this one: their tests stay evidence, and they are asked nothing."""
    here = {s.agent_id for s in helpers}
    gone = [s for s in earlier.helpers if s.agent_id not in here] if earlier else []
    return tuple(Seat(agent_id=s.agent_id, role=s.role, persona="", model=ModelChoice()) for s in gone)


def _require_room(fact: Convened) -> None:
    """Raises FailedPrecondition where so many candidates with so many files cannot be handed on."""
    size = len(msgspec.json.encode(fact))
    if fact.inherited and size > MAX_EVENT_BYTES - ENVELOPE_BYTES:
        many = f"its {len(fact.inherited)} candidates change so many files that they take {size} bytes"
        raise FailedPrecondition("continues", f"{many} of at most {MAX_EVENT_BYTES - ENVELOPE_BYTES}; ask anew")


async def told_beside(
    preparing: Coroutine[Any, Any, T], earlier: Earlier, artifacts: Artifacts, spec: TaskSpec
) -> tuple[T, ArtifactRef | None]:
    """What `preparing` gives, and where the context lies; None when there is none. Raises what `preparing` raises."""
    try:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(_kept(earlier, artifacts, spec), name=f"context of {spec.task_id}")
            prepared = group.create_task(preparing, name=f"base of {spec.task_id}")
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures
    return prepared.result(), asking.result()


async def _kept(earlier: Earlier, artifacts: Artifacts, spec: TaskSpec) -> ArtifactRef | None:
    text = await earlier.told(spec)
    return await patiently(lambda: artifacts.put(text.encode())) if text else None


async def recalled(artifacts: Artifacts, context: ArtifactRef | None) -> str:
    """The text again. One that is lost is missed by nobody but its agents."""
    if context is None:
        return ""
    try:
        return (await patiently(lambda: artifacts.get(context))).decode()
    except (NotFound, BrokenChain) as error:
        log.warning("context %s is lost: %s", context.sha256, error, extra={"action": "no-context"})
        return ""

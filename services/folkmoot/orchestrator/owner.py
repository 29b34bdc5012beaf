"""Carries one deliberation from where its log stands to its end. Everything it knows, it can fold again.

Stage after stage: all works of a stage side by side, each examined as soon as it is there; then `protocol` says what
comes next.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import msgspec

from folkmoot.kernel import deliberation, limits, protocol, replay, subjects
from folkmoot.kernel.analysis import protocol as analysis
from folkmoot.kernel.deliberation import Deliberation, Due
from folkmoot.kernel.errors import CallerError
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import CancelRequested, DeliberationEnded, Stage, Staged
from folkmoot.kernel.jury import judge
from folkmoot.kernel.jury.policy import Profile
from folkmoot.kernel.result import State
from folkmoot.kernel.task import TaskKind
from folkmoot.orchestrator import merging, observed, policies
from folkmoot.orchestrator.analysis import Analysing
from folkmoot.orchestrator.attempts import REASON_CHARS, Attempting
from folkmoot.orchestrator.briefing import Briefing
from folkmoot.orchestrator.convening import Convening
from folkmoot.orchestrator.examining import Examining
from folkmoot.orchestrator.intake import Intake
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.judging import Judging
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.probing import Probing
from folkmoot.runtime.supervise import first_leaf, patiently, together
from folkmoot.runtime.telemetry.ambient import phase

log = logging.getLogger(__name__)

REASONS_BYTES = 16 * 1024
"""Of all reasons of an end together, where there is no ranking to bound them."""


class Owner:
    """One deliberation, under a lease that the caller holds."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal
        self._convening = Convening(parts, journal)
        self._examining = Examining(parts, journal)
        self._briefing = Briefing(parts, journal, self._examining)
        self._attempting = Attempting(parts, journal, self._briefing.assignment)
        self._intake = Intake(parts, journal)
        self._judging = Judging(parts, journal, self._briefing)
        self._analysing = Analysing(parts, journal, self._briefing)
        self._probing = Probing(parts, journal)

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @observed.carried
    async def carry(self) -> None:
        """Returns when the deliberation has ended. Raises Ousted, RetryLater, NeedsPerson."""
        if not self._state.end:
            try:
                await self._unless_cancelled(self._work())
            except CallerError as error:
                await self._end(State.FAILED, [str(error)])
        # Also for one that had ended: its owner may have died before this.
        await patiently(lambda: self._parts.runner.close_all(self._state.task_id))

    async def give_up(self, reason: str) -> None:
        """End as failed: nothing that we can do carries it further."""
        if not self._state.end:
            await self._end(State.FAILED, [reason])

    # --- cancelling ----------------------------------------------------------------------------------------------

    async def _unless_cancelled(self, work: Coroutine[Any, Any, None]) -> None:
        """Raises what `work` raises, as itself."""
        try:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(work, name=f"work {self._state.task_id}")
                watching = group.create_task(self._cancel_on_wish(working), name=f"watch {self._state.task_id}")
                working.add_done_callback(lambda _: watching.cancel())
        except BaseExceptionGroup as failures:
            raise first_leaf(failures) from failures
        if working.cancelled():
            await self._journal.refresh()
        if working.cancelled() and not self._state.end:
            wish = self._state.cancel
            await self._end(State.CANCELLED, [f"cancelled by {wish.actor}: {wish.reason}" if wish else "cancelled"])

    async def _cancel_on_wish(self, working: "asyncio.Task[None]") -> None:
        if self._state.cancel is None:
            subject = subjects.deliberation(self._state.task_id)
            async with aclosing(self._parts.log.follow(subject, after_seq=self._state.head.seq)) as events:
                async for stored in events:
                    if isinstance(stored.event.data, CancelRequested):
                        break
        working.cancel()

    # --- stages --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        await self._convening.convened()
        await self._attempting.lose_orphans()
        spent = ""
        while self._state.ranked is None:
            spent = await self._stage_within_limits()
            if spent or not await self._staged_further():
                break
        spent = spent or self._cut()
        if self._state.ranked is None and not self._state.candidates and not self._state.refusals:
            failures = [f"{a}: {why}" for a, why in sorted(self._state.failures.items())]
            await self._end(State.FAILED, [*([spent] if spent else []), *failures])
            return
        if self._state.ranked is None:
            await self._rank(spent)
        await self._decide()

    async def _stage_within_limits(self) -> str:
        """All of the stage. Returns which of the task's limits ended it, in words; empty: none."""
        total = self._state.spec.total
        left = None if total is None else total.wall_s - self._elapsed_s()
        limit = asyncio.timeout(left)
        try:
            async with limit:
                await self._stage()
        except TimeoutError:
            if total is None or not limit.expired():
                raise
            return f"the task's wall time limit: {total.wall_s:g} s are over"
        return ""

    async def _stage(self) -> None:
        """Agents, examinations and verdicts side by side: each starts as soon as what it needs is there."""
        tasks = {f"agent {d.seat.agent_id}": self._carry_out(d) for d in self._attempting.pending()}
        tasks["examinations"] = self._examining.missing()
        tasks["verdicts"] = self._analysing.missing() if self._is_analysis else self._judging.missing()
        await together(tasks)
        await self._examining.missing()
        if self._profile.cross_examine and not self._is_analysis:
            if self._profile.probe:
                await self._probing.made()
                await self._examining.missing()
            await self._examining.again()

    async def _carry_out(self, due: Due) -> None:
        base = self._state.base
        assert base is not None
        finished = merging.finished(due.seat, base) or await self._attempting.finished(due)
        if finished is not None:
            await (self._analysing if self._is_analysis else self._intake).settle(due.work, finished)
            await self._examining.missing()

    async def _staged_further(self) -> bool:
        """Whether another stage has begun; the decision is written down either way, where there is one to make."""
        if not self._state.staged or self._state.staged[-1].stage is Stage.RANK:
            return False
        fact = await self._following()
        await self._journal.record(fact)
        return fact.stage is not Stage.RANK

    async def _following(self) -> Staged:
        policy, spent = self._parts.policy, self._spent()
        if self._is_analysis:
            return analysis.following(self._state, policy.version, spent=spent)
        _, stands = await self._briefing.standing()
        return protocol.following(self._state, stands, policy, spent=spent)

    # --- deciding ------------------------------------------------------------------------------------------------

    @phase("ranking")
    async def _rank(self, spent: str = "") -> None:
        policy = self._parts.policy
        if self._is_analysis:
            ruling = analysis.ranked(self._state, policy.version)
        else:
            ruling = judge(await self._examining.evidence(), policy)
        if spent:
            ruling = replay.ended_early(ruling, self._state, spent)
        numbers = await policies.kept(policy, self._parts.artifacts)
        await self._journal.record(msgspec.structs.replace(ruling, numbers=numbers))

    @phase("publishing")
    async def _decide(self) -> None:
        ranked, base = self._state.ranked, self._state.base
        assert ranked is not None
        assert base is not None
        bundle: ArtifactRef | None = None
        if ranked.chosen and not self._is_analysis:
            winner = next(a for a in self._state.admissions if a.proposal_id == ranked.chosen)
            spec, runner = self._state.spec, self._parts.runner
            earlier = bool(spec.continues)
            whole = await patiently(lambda: runner.publish(spec.task_id, base, winner.commit, inherited=earlier))
            bundle = whole or winner.bundle
        final = State.DECIDED if ranked.chosen else State.ABSTAINED
        await self._end(final, ranked.reasons, bundle)

    def _notes(self) -> list[str]:
        """What a person should know of base, whatever came out."""
        return [f"note: {notice}" for notice in self._state.base.notices] if self._state.base else []

    async def _end(
        self, final: State, reasons: "list[str] | tuple[str, ...]", bundle: ArtifactRef | None = None
    ) -> None:
        now = self._parts.clock.now()
        said = [*reasons, *self._notes()]
        result = deliberation.answer(self._state, final, _bounded(said), now)
        elapsed = self._elapsed_s()
        usage = msgspec.structs.replace(result.usage, wall_s=round(elapsed, 3))
        fact: Fact = DeliberationEnded(result=msgspec.structs.replace(result, usage=usage), bundle=bundle)
        await self._journal.record(fact)
        observed.ended(final, elapsed)
        log.info("%s is %s after %.1f s", self._state.task_id, final, elapsed, extra={"action": "ended"})

    # --- limits --------------------------------------------------------------------------------------------------

    @property
    def _is_analysis(self) -> bool:
        return self._state.spec.kind is TaskKind.ANALYSIS

    @property
    def _profile(self) -> Profile:
        return self._parts.policy.profile[self._state.spec.rigor]

    def _elapsed_s(self) -> float:
        return (self._parts.clock.now() - self._state.created_at).total_seconds()

    def _spent(self) -> str:
        """Which of the task's limits is used up, in words; empty: none."""
        total, model = self._state.spec.total, self._parts.model
        if total is None:
            return ""
        prices = limits.Prices(prompt_usd=model.price_prompt_usd, completion_usd=model.price_completion_usd)
        return limits.reached(total, self._state.usage, prices)

    def _cut(self) -> str:
        """The limit for which there was no further stage, in words; empty: none."""
        if not self._state.staged:
            return self._spent()
        said = "".join(self._state.staged[-1].reasons[:1])
        return said.removesuffix(f": {protocol.SPENT}") if said.endswith(protocol.SPENT) else ""


def _bounded(reasons: list[str]) -> list[str]:
    """An event must stay small, whatever letters a reason is written in."""
    share = REASONS_BYTES // max(1, len(reasons))
    return [r[:REASON_CHARS].encode("utf-8", "replace")[:share].decode("utf-8", "ignore") for r in reasons]

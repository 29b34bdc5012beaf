"""Carries one deliberation from where its log stands to its end. Everything it knows, it can fold again."""

import asyncio
import itertools
import logging
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from folkmoot.agents.assignment import Assignment, ModelEndpoint, WorkspaceGrant
from folkmoot.agents.errors import AttemptLost as AgentAttemptLost
from folkmoot.agents.pool import AgentPool
from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.deliberation import BASE, Deliberation, Due, Wanted
from folkmoot.kernel.errors import CallerError, Unavailable
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.evidence import Admission, ArtifactRef, Examination, Outcome, PreparedBase, Refusal, SuiteKind
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    Convened,
    DeliberationEnded,
    Examined,
    ProposalAdmitted,
    ProposalRefused,
    WorkspaceReady,
    WorkspaceRefused,
    WorkspaceRequested,
)
from folkmoot.kernel.fleet import lower
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId
from folkmoot.kernel.jury import collect, judge
from folkmoot.kernel.result import State
from folkmoot.orchestrator import merging, observed
from folkmoot.orchestrator.convening import recalled, told_beside
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.earlier import Earlier
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.runner import Runner
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.port import Artifacts, Log, Queues
from folkmoot.runtime.settings import ModelSettings, OrchestratorSettings
from folkmoot.runtime.supervise import first_leaf, patiently, together
from folkmoot.runtime.telemetry.ambient import phase
from folkmoot.runtime.telemetry.context import current
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

REASONS_BYTES = 16 * 1024
"""Of all reasons of an end together, where there is no ranking to bound them."""
REASON_CHARS = 2_000
"""Of a reason that a foreign part gave: an event must stay small."""
ABANDON_S = 10.0
"""Cancelling waits so long for a workspace that is just being opened; what comes later ends with its lease."""
WORKSPACE_TIMEOUT_S = 1_800.0
"""A full runner lets agents wait for room; as long as an agent may work by default."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a deliberation is carried out with; shared by all of one orchestrator."""

    log: Log
    queues: Queues
    artifacts: Artifacts
    runner: Runner
    pool: AgentPool
    examiner: Examiner
    councils: Councils
    earlier: Earlier
    clock: Clock
    settings: OrchestratorSettings
    model: ModelSettings


class Owner:
    """One deliberation, under a lease that the caller holds."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal
        self._examinations: dict[Wanted, Examination] = {}
        """Those of this process; a predecessor's are fetched when they are needed."""
        self._told: str | None = None

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def _max_attempts(self) -> int:
        """The death of an owner is not counted against the agents that died with it."""
        return self._parts.settings.max_attempts + self._journal.takes - 1

    @property
    def _base(self) -> PreparedBase:
        assert self._state.base is not None
        return self._state.base

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

    # --- the way of a deliberation -------------------------------------------------------------------------------

    async def _work(self) -> None:
        if self._state.base is None:
            await self._convene()
        await self._lose_orphans()
        await self._propose_and_examine()
        if self._state.ranked is None and not self._state.admissions and not self._state.refusals:
            await self._end(State.FAILED, [f"{a}: {why}" for a, why in sorted(self._state.failures.items())])
            return
        if self._state.ranked is None:
            await self._rank()
        await self._decide()

    @phase("convening")
    async def _convene(self) -> None:
        spec = self._state.spec
        seated = await patiently(lambda: self._parts.councils.seated(spec))
        preparing = patiently(lambda: self._parts.runner.prepare(spec.repository, spec.base_ref, spec.merge))
        base, told = await told_beside(preparing, self._parts.earlier, self._parts.artifacts, spec)
        seats = merging.seats(spec, base) or seated.seats
        await self._journal.record(Convened(base=base, seats=seats, council=seated.council, context=told))

    async def _context(self) -> str:
        """What all agents of the task are told of earlier work; fetched once."""
        if self._told is None:
            self._told = await recalled(self._parts.artifacts, self._state.context)
        return self._told

    async def _lose_orphans(self) -> None:
        """Attempts of a dead owner died with it, unless their result was already published."""
        for due in deliberation.pending(self._state, self._max_attempts):
            if due.started and await self._published(due.seat.agent_id) is None:
                fact = AttemptLost(agent_id=due.seat.agent_id, attempt=due.attempt, reason="its orchestrator died")
                await self._journal.record(fact)
        for work, reason in deliberation.exhausted(self._state, self._max_attempts).items():
            if await self._published(work.agent_id) is None:
                await self._journal.record(AgentFailed(agent_id=work.agent_id, reason=reason))

    async def _propose_and_examine(self) -> None:
        """Agents and examinations side by side: each starts as soon as what it needs is there."""
        tasks = {f"examine {w}": self._examine(w) for w in self._missing()}
        for due in deliberation.pending(self._state, self._max_attempts):
            tasks[f"agent {due.seat.agent_id}"] = self._seat(due)
        await together(tasks)

    def _missing(self, subject: str | None = None) -> list[Wanted]:
        wanted = deliberation.missing(self._state, self._parts.settings.baseline_runs)
        return [w for w in wanted if subject in (None, w.subject)]

    # --- one agent -----------------------------------------------------------------------------------------------

    async def _seat(self, due: Due) -> None:
        finished = merging.finished(due.seat, self._base)
        finished = finished or await self._published(due.seat.agent_id) or await self._attempts(due)
        proposal = await self._settled(finished) if finished else None
        if proposal is not None:
            await together({f"examine {w}": self._examine(w) for w in self._missing(proposal)})

    async def _settled(self, finished: AgentFinished) -> ProposalId | None:
        """What is wrong with one agent's work is that agent's failure, never the task's."""
        try:
            return await self._settle(finished)
        except CallerError as error:
            reason = f"its work cannot be taken in: {error}"[:REASON_CHARS]
            await self._journal.record(AgentFailed(agent_id=finished.agent_id, reason=reason, usage=finished.usage))
            return None

    async def _published(self, agent: AgentId) -> AgentFinished | None:
        subject = subjects.agent_result(self._state.task_id, agent)
        stored = await patiently(lambda: self._parts.log.last(subject))
        return stored.event.data if stored and isinstance(stored.event.data, AgentFinished) else None

    async def _attempts(self, due: Due) -> AgentFinished | None:
        """Attempt after attempt, each in a fresh workspace; None when they are used up."""
        agent = due.seat.agent_id
        for attempt in range(due.attempt, due.last + 1):
            await self._journal.record(AttemptStarted(agent_id=agent, attempt=attempt))
            try:
                return await self._attempt(due, attempt)
            except (AgentAttemptLost, WorkspaceLost, Unavailable) as lost:
                # What is published counts, whatever broke afterwards.
                if finished := await self._published(agent):
                    return finished
                await self._lose(agent, attempt, str(lost)[:REASON_CHARS])
        reason = deliberation.exhausted(self._state, self._max_attempts)[due.work]
        await self._journal.record(AgentFailed(agent_id=agent, reason=reason))
        return None

    async def _lose(self, agent: AgentId, attempt: int, reason: str) -> None:
        log.warning("attempt %d of %s/%s is lost: %s", attempt, self._state.task_id, agent, reason)
        await self._journal.record(AttemptLost(agent_id=agent, attempt=attempt, reason=reason))

    @phase("agent", lambda _, due, attempt: {"agent_id": due.seat.agent_id, "attempt": attempt})
    async def _attempt(self, due: Due, attempt: int) -> AgentFinished:
        context = await self._context()
        grant = await self._workspace(due, attempt)
        try:
            limit = self._state.spec.budget.wall_s + self._parts.settings.attempt_grace_s
            async with asyncio.timeout(limit):
                return await self._parts.pool.run(self._assignment(due, attempt, grant, context))
        except TimeoutError as error:
            raise AgentAttemptLost(f"no result within {limit:.0f} s") from error
        finally:
            await self._parts.runner.leave(grant.workspace_id)

    @phase("workspace")
    async def _workspace(self, due: Due, attempt: int) -> WorkspaceGrant:
        """Ask over the log, wait for the answer there, fetch the token by gRPC. Raises WorkspaceLost."""
        task, agent = self._state.task_id, due.seat.agent_id
        ttl_s = self._state.spec.budget.wall_s + 300.0
        wish = WorkspaceRequested(task_id=task, agent_id=agent, attempt=attempt, base=self._base, ttl_s=ttl_s)
        subject = subjects.agent_request(task, agent)
        try:
            await patiently(lambda: self._parts.queues.put(subject, wish, key=f"{task}/{agent}/{attempt}"))
            async with asyncio.timeout(WORKSPACE_TIMEOUT_S):
                await self._answer(due, attempt)
        except TimeoutError as error:
            raise WorkspaceLost(f"no runner opened a workspace within {WORKSPACE_TIMEOUT_S:.0f} s") from error
        except asyncio.CancelledError:
            await self._abandon(due, attempt)
            raise
        return await patiently(
            lambda: self._parts.runner.claim(task_id=task, holder=agent, attempt=attempt, base=self._base, ttl_s=ttl_s)
        )

    async def _abandon(self, due: Due, attempt: int) -> None:
        """A workspace that was asked for comes after we have left: wait for it, to close it."""
        with suppress(TimeoutError, WorkspaceLost):
            async with asyncio.timeout(ABANDON_S):
                ready = await self._answer(due, attempt)
                await self._parts.runner.leave(ready.workspace_id)

    async def _answer(self, due: Due, attempt: int) -> WorkspaceReady:
        subject = subjects.agent_response(self._state.task_id, due.seat.agent_id)
        async with aclosing(self._parts.log.follow(subject)) as events:
            async for stored in events:
                match stored.event.data:
                    case WorkspaceReady(attempt=number) as ready if number == attempt:
                        return ready
                    case WorkspaceRefused(attempt=number, reason=reason) if number == attempt:
                        raise WorkspaceLost(reason)
        raise WorkspaceLost("the log was closed")

    def _assignment(self, due: Due, attempt: int, grant: WorkspaceGrant, context: str) -> Assignment:
        spec, seat = self._state.spec, due.seat
        known = seat.model.url == self._parts.model.url
        return Assignment(
            task_id=spec.task_id,
            agent_id=seat.agent_id,
            attempt=attempt,
            role=seat.role,
            persona=seat.persona,
            title=spec.title,
            text=merging.text(spec, self._base),
            checks=spec.checks,
            base_commit=self._base.commit,
            suite=self._base.suite,
            protected=self._base.protected,
            budget=lower(spec.budget, seat.budget),
            model=ModelEndpoint(
                url=seat.model.url, name=seat.model.name, api_key=self._parts.model.api_key if known else ""
            ),
            workspace=grant,
            result_head=START,
            traceparent=current(),
            instructions=seat.instructions,
            tools=seat.tools,
            temperature=seat.temperature,
            paths=spec.paths,
            context=context,
        )

    async def _settle(self, finished: AgentFinished) -> ProposalId | None:
        """Write down what came of an agent; returns the proposal that is to be examined."""
        agent = finished.agent_id
        if agent in self._state.settled:
            return None
        if not finished.submitted:
            await self._journal.record(
                AgentFailed(agent_id=agent, reason=finished.reason[:REASON_CHARS], usage=finished.usage)
            )
            return None
        verdict = await self._admit(finished, finished.bundle)
        if not isinstance(verdict, Admission):
            await self._journal.record(ProposalRefused(refusal=verdict, usage=finished.usage))
            return None
        await self._journal.record(
            ProposalAdmitted(admission=verdict, summary=finished.summary[:REASON_CHARS], usage=finished.usage)
        )
        return verdict.proposal_id

    @phase("admission", lambda _, finished, *__: {"agent_id": finished.agent_id})
    async def _admit(self, finished: AgentFinished, bundle: ArtifactRef | None) -> Admission | Refusal:
        spec = self._state.spec
        message = f"{spec.title}\n\n{finished.summary[:REASON_CHARS]}".strip()
        return await patiently(
            lambda: self._parts.runner.admit(
                task_id=spec.task_id, agent_id=finished.agent_id, base=self._base, bundle=bundle, message=message
            )
        )

    # --- examining -----------------------------------------------------------------------------------------------

    @phase("examination", lambda _, wanted: {"subject": wanted.subject, "kind": wanted.kind, "run": wanted.run})
    async def _examine(self, wanted: Wanted) -> None:
        found = await self._in_fresh_workspaces(wanted)
        self._examinations[wanted] = found
        observed.examined(found)
        body = msgspec.json.encode(found)
        reference = await patiently(lambda: self._parts.artifacts.put(body))
        await self._journal.record(_examined(found, reference))

    async def _in_fresh_workspaces(self, wanted: Wanted) -> Examination:
        """A workspace that dies says nothing about the candidate: look again, a few times."""
        lost = WorkspaceLost("never tried")
        tries = itertools.count(1)
        for _ in range(self._parts.settings.max_attempts):
            try:
                return await patiently(lambda: self._examination(wanted, next(tries)))
            except WorkspaceLost as error:
                lost = error
        raise Unavailable(f"{wanted.name} on {wanted.subject}: {lost}")

    async def _examination(self, wanted: Wanted, number: int) -> Examination:
        """Another `number`, another workspace: what a broken try left in its own is seen by nobody."""
        spec, commit = self._state.spec, self._commit(wanted)
        base = merging.examined(self._base, commit)
        attempt = self._journal.takes * 1_000 + number
        if wanted.kind is SuiteKind.TESTS:
            assert base.suite is not None
            return await self._parts.examiner.tests(
                spec.task_id,
                base,
                base.suite,
                subject=wanted.subject,
                commit=commit,
                run=wanted.run,
                name=wanted.name,
                attempt=attempt,
            )
        return await self._parts.examiner.check(
            spec.task_id,
            base,
            subject=wanted.subject,
            commit=commit,
            number=deliberation.checks(self._state).index(wanted.name),
            name=wanted.name,
            command=merging.command(wanted.name),
            attempt=attempt,
        )

    def _commit(self, wanted: Wanted) -> CommitId:
        if wanted.subject == BASE:
            return deliberation.sides(self._state).get(wanted.name, self._base.commit)
        return next(a.commit for a in self._state.admissions if a.proposal_id == wanted.subject)

    # --- deciding ------------------------------------------------------------------------------------------------

    @phase("ranking")
    async def _rank(self) -> None:
        found = [await self._found(e) for e in self._state.examined]
        await self._journal.record(judge(collect(self._state, found)))

    async def _found(self, fact: Examined) -> Examination:
        known = self._examinations.get(Wanted.of(fact))
        if known is not None:
            return known
        body = await patiently(lambda: self._parts.artifacts.get(fact.examination))
        return msgspec.json.decode(body, type=Examination)

    @phase("publishing")
    async def _decide(self) -> None:
        ranked = self._state.ranked
        assert ranked is not None
        bundle: ArtifactRef | None = None
        if ranked.chosen:
            winner = next(a for a in self._state.admissions if a.proposal_id == ranked.chosen)
            whole = await patiently(lambda: self._parts.runner.publish(self._state.task_id, self._base, winner.commit))
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
        elapsed = (now - self._state.created_at).total_seconds()
        usage = msgspec.structs.replace(result.usage, wall_s=round(elapsed, 3))
        fact: Fact = DeliberationEnded(result=msgspec.structs.replace(result, usage=usage), bundle=bundle)
        await self._journal.record(fact)
        observed.ended(final, elapsed)
        log.info("%s is %s after %.1f s", self._state.task_id, final, elapsed, extra={"action": "ended"})


def _bounded(reasons: list[str]) -> list[str]:
    """An event must stay small, whatever letters a reason is written in."""
    share = REASONS_BYTES // max(1, len(reasons))
    return [r[:REASON_CHARS].encode("utf-8", "replace")[:share].decode("utf-8", "ignore") for r in reasons]


def _examined(found: Examination, reference: ArtifactRef) -> Examined:
    outcomes = list(found.tests.values())
    return Examined(
        subject=found.subject,
        kind=found.kind,
        name=found.name,
        run=found.run,
        end=found.end,
        passed=outcomes.count(Outcome.PASSED),
        failed=outcomes.count(Outcome.FAILED) + outcomes.count(Outcome.ERROR),
        skipped=outcomes.count(Outcome.SKIPPED),
        report_problem=found.report_problem,
        examination=reference,
    )

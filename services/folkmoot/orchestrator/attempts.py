"""Has one work done by an agent: attempt after attempt, each in a fresh workspace, until there is a result."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

from folkmoot.agents.assignment import Assignment, WorkspaceGrant
from folkmoot.agents.errors import AttemptLost as AgentAttemptLost
from folkmoot.agents.results import published
from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.deliberation import Deliberation, Due
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.events import Fact, Head
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AttemptLost,
    AttemptStarted,
    Work,
    WorkEnded,
    WorkspaceReady,
    WorkspaceRefused,
    WorkspaceRequested,
)
from folkmoot.kernel.ids import CommitId
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.ambient import phase
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

REASON_CHARS = 2_000
"""Of a reason that a foreign part gave: an event must stay small."""
ABANDON_S = 10.0
"""Cancelling waits so long for a workspace that is just being opened; what comes later ends with its lease."""
WORKSPACE_TIMEOUT_S = 1_800.0
"""A full runner lets agents wait for room; as long as an agent may work by default."""
LEASE_MARGIN_S = 300.0

Brief = Callable[[Due, int, WorkspaceGrant, Head], Awaitable[Assignment]]
"""What an agent is told in the attempt of that number, once its workspace is there; the head is its results'."""


class Attempting:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal, brief: Brief) -> None:
        self._parts = parts
        self._journal = journal
        self._brief = brief

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def max_attempts(self) -> int:
        """The death of an owner is not counted against the agents that died with it."""
        return self._parts.settings.max_attempts + self._journal.takes - 1

    def pending(self) -> tuple[Due, ...]:
        return deliberation.pending(self._state, self.max_attempts)

    async def lose_orphans(self) -> None:
        """Attempts of a dead owner died with it, unless their result was already published. Their workspaces are
        closed: where owners die one after the other, they would take all room until their leases end."""
        if self._journal.takes > 1:
            await patiently(lambda: self._parts.runner.close_all(self._state.task_id))
        for due in self.pending():
            if due.started and await self.published(due.work) is None:
                fact = AttemptLost(agent_id=due.seat.agent_id, attempt=due.attempt, reason="its orchestrator died")
                await self._journal.record(fact)
        for work, reason in deliberation.exhausted(self._state, self.max_attempts).items():
            if await self.published(work) is None:
                await self._journal.record(given_up(work, reason))

    async def published(self, work: Work) -> AgentFinished | None:
        return (await self._results(work))[0]

    async def finished(self, due: Due) -> AgentFinished | None:
        """What was published, else what comes of the attempts that are left; None when they are used up, which is
        written down."""
        found, head = await self._results(due.work)
        return found or await self._attempts(due, head)

    async def _results(self, work: Work) -> tuple[AgentFinished | None, Head]:
        task = self._state.task_id
        return await patiently(lambda: published(self._parts.log, task, work.agent_id, work.phase, work.round))

    async def _attempts(self, due: Due, results: Head) -> AgentFinished | None:
        work, agent = due.work, due.seat.agent_id
        for attempt in range(due.attempt, due.last + 1):
            fact = AttemptStarted(agent_id=agent, attempt=attempt, phase=work.phase, round=work.round)
            await self._journal.record(fact)
            try:
                return await self._attempt(due, attempt, results)
            except (AgentAttemptLost, WorkspaceLost, Unavailable) as lost:
                # What is published counts, whatever broke afterwards.
                if finished := await self.published(work):
                    return finished
                await self._lose(due, attempt, str(lost)[:REASON_CHARS])
        reason = deliberation.exhausted(self._state, self.max_attempts)[work]
        await self._journal.record(given_up(work, reason))
        return None

    async def _lose(self, due: Due, attempt: int, reason: str) -> None:
        agent = due.seat.agent_id
        log.warning("attempt %d of %s/%s is lost: %s", attempt, self._state.task_id, agent, reason)
        await self._journal.record(AttemptLost(agent_id=agent, attempt=attempt, reason=reason))

    @phase("agent", lambda _, due, attempt, __: {"agent_id": due.seat.agent_id, "attempt": attempt})
    async def _attempt(self, due: Due, attempt: int, results: Head) -> AgentFinished:
        grant = await self._workspace(due, attempt)
        try:
            limit = self._state.spec.budget.wall_s + self._parts.settings.attempt_grace_s
            async with asyncio.timeout(limit):
                return await self._parts.pool.run(await self._brief(due, attempt, grant, results))
        except TimeoutError as error:
            raise AgentAttemptLost(f"no result within {limit:.0f} s") from error
        finally:
            await self._parts.runner.leave(grant.workspace_id)

    # --- workspaces ----------------------------------------------------------------------------------------------

    @phase("workspace")
    async def _workspace(self, due: Due, attempt: int) -> WorkspaceGrant:
        """Ask over the log, wait for the answer there, fetch the token by gRPC. Raises WorkspaceLost."""
        wish = self._wish(due, attempt)
        task, agent = wish.task_id, wish.agent_id
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
            lambda: self._parts.runner.claim(
                task_id=task, holder=agent, attempt=attempt, base=wish.base, ttl_s=wish.ttl_s, commit=wish.commit
            )
        )

    def _wish(self, due: Due, attempt: int) -> WorkspaceRequested:
        state = self._state
        assert state.base is not None
        return WorkspaceRequested(
            task_id=state.task_id,
            agent_id=due.seat.agent_id,
            attempt=attempt,
            base=state.base,
            ttl_s=state.spec.budget.wall_s + LEASE_MARGIN_S,
            commit=start(state, due.work),
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


def start(state: Deliberation, work: Work) -> CommitId | None:
    """The author's own latest commit, which a revision begins with."""
    if work.phase != "revise":
        return None
    return next(a.commit for a in reversed(state.admissions) if a.agent_id == work.agent_id)


def given_up(work: Work, reason: str) -> Fact:
    """The fact that nothing more comes of `work`."""
    if work.phase == "propose":
        return AgentFailed(agent_id=work.agent_id, reason=reason)
    return WorkEnded(work=work, reason=reason, failed=True)

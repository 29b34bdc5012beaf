"""What the runner does with `agent.requests`: it opens workspaces, and says so in the log."""

import logging

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import (
    CallerError,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NeedsPerson,
    ResourceExhausted,
)
from folkmoot.kernel.events import START, Fact, Stored
from folkmoot.kernel.facts import WorkspaceReady, WorkspaceRefused, WorkspaceRequested
from folkmoot.runner.checkout import Tree
from folkmoot.runner.workspace import Wish
from folkmoot.runner.workspaces import Opened, Overfilled, Workspaces
from folkmoot.runtime.log.port import Delivery, Log
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.ambient import span

log = logging.getLogger(__name__)

_TRIES = 3
"""Of a check-out that fills the disk: another one may have taken the room, but not each time."""


class Opener:
    """Answers `agent.requests`: opens the workspace, then says so in the log."""

    def __init__(self, registry: Workspaces, log_: Log, address: str, *, spare: int) -> None:
        self._registry = registry
        self._spare = spare
        self._log = log_
        self._address = address

    async def answer(self, delivery: Delivery) -> None:
        """A redelivered request finds its workspace open, and its answer written: saying it once is enough.

        Raises InvalidInput for what is no request, RetryLater, Conflict.
        """
        wanted = _wanted(delivery)
        with span("workspace request", task_id=wanted.task_id, agent_id=wanted.agent_id, attempt=wanted.attempt):
            await self._say(wanted, await self._outcome(wanted, delivery.stored))

    async def refuse(self, delivery: Delivery, reason: str) -> None:
        """Whoever waits for the workspace hears that none will come."""
        wanted = _wanted(delivery)
        await self._say(wanted, WorkspaceRefused(attempt=wanted.attempt, reason=reason[:2_000]))

    async def _outcome(self, wanted: WorkspaceRequested, asked: Stored) -> Fact:
        base = wanted.base
        tree = Tree(base=base.commit, commit=wanted.commit or base.start or base.commit, origin=base.origin)
        wish = Wish(
            task_id=wanted.task_id,
            holder=wanted.agent_id,
            attempt=wanted.attempt,
            repository_id=base.repository_id,
            tree=tree,
            versions=True,
        )
        try:
            opened = await self._opened(wish, wanted, asked)
        except (CallerError, NeedsPerson) as error:
            return WorkspaceRefused(attempt=wanted.attempt, reason=str(error)[:2_000])
        return WorkspaceReady(attempt=wanted.attempt, workspace_id=opened.workspace_id, endpoint=self._address)

    async def _opened(self, wish: Wish, wanted: WorkspaceRequested, asked: Stored) -> Opened:
        """A full runner is no reason to lose an attempt: the request waits here, under its lease, for a place.

        Raises FailedPrecondition when its own check-out fills the disk again and again (`disk`), and when it is not the
        agent's newest request (`newest`); asked for the first time in a runner with room, it is.
        """
        overfilled = 0
        while True:
            try:
                if wish.attempt > 1:
                    await self._require_newest(wanted, asked)
                return await self._registry.open(wish, wanted.ttl_s, spare=self._spare)
            except ResourceExhausted as full:
                overfilled += isinstance(full, Overfilled)
                if overfilled == _TRIES:
                    problem = f"its check-out filled the disk of the workspaces {_TRIES} times: give them more room"
                    raise FailedPrecondition("disk", problem) from full
                log.info("%s waits for a place: %s", wish.workspace_id, full, extra={"action": "wait"})
                await self._registry.vacancy(spare=self._spare)
                await self._require_newest(wanted, asked)

    async def _require_newest(self, wanted: WorkspaceRequested, asked: Stored) -> None:
        """An attempt that is over waits for nothing: opened all the same, its workspace would keep a place from those
        that are waited for. Raises FailedPrecondition (`newest`)."""
        newest = await patiently(lambda: self._log.last(asked.event.subject))
        if (newest is not None and newest.seq > asked.seq) or await self._answered_later(wanted):
            raise FailedPrecondition("newest", "a later attempt of this agent asks for a workspace")

    async def _answered_later(self, wanted: WorkspaceRequested) -> bool:
        """A request that was answered has left its queue."""
        subject = subjects.agent_response(wanted.task_id, wanted.agent_id)
        answers = await patiently(lambda: self._log.read(subject))
        return any(_attempt(stored) > wanted.attempt for stored in answers)

    async def _say(self, wanted: WorkspaceRequested, fact: Fact) -> None:
        subject = subjects.agent_response(wanted.task_id, wanted.agent_id)
        while True:
            last = await patiently(lambda: self._log.last(subject))
            if last is not None and last.event.data == fact:
                return
            try:
                await self._log.append(subject, fact, after=last.head if last else START)
            except Conflict:
                continue  # another attempt of this agent is answered at the same time
            return


def _wanted(delivery: Delivery) -> WorkspaceRequested:
    fact = delivery.stored.event.data
    if not isinstance(fact, WorkspaceRequested):
        raise InvalidInput("type", f"{fact.type_name} is no request for a workspace")
    return fact


def _attempt(answer: Stored) -> int:
    fact = answer.event.data
    if not isinstance(fact, WorkspaceReady | WorkspaceRefused):
        raise InvalidInput("type", f"{fact.type_name} is no answer to a request for a workspace")
    return fact.attempt

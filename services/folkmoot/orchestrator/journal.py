"""The one writer of a deliberation: appends in turn, and folds what others wrote in between."""

import asyncio

from folkmoot.kernel import deliberation, subjects
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import AlreadyExists, Conflict
from folkmoot.kernel.events import START, Fact
from folkmoot.kernel.facts import DeliberationRequested, OwnerTook
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.orchestrator.observed import trace_of
from folkmoot.runtime.log.port import LeaseLost, Log
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.context import belonging


class Ousted(LeaseLost):
    """Another orchestrator owns the task now: stop, and touch nothing any more."""


class Superseded(Conflict):
    """What we were about to write no longer fits what the log says."""


async def request(log: Log, spec: TaskSpec) -> None:
    """Make sure that the log begins with this request. Raises AlreadyExists when it begins with another."""
    fact = DeliberationRequested(spec=spec, digest=digest(spec))
    subject = subjects.deliberation(spec.task_id)
    try:
        await patiently(lambda: log.append(subject, fact, after=START))
    except Conflict:
        first = (await log.read(subject))[0].event.data
        if not isinstance(first, DeliberationRequested) or first.digest != fact.digest:
            raise AlreadyExists(f"task {spec.task_id} exists with other content") from None


class Journal:
    """A deliberation as its owner sees and writes it."""

    def __init__(self, log: Log, state: Deliberation, owner: str) -> None:
        self.state = state
        self._log = log
        self._owner = owner
        self._subject = subjects.deliberation(state.task_id)
        self._turn = asyncio.Lock()
        self.takes = 0
        """How many owners the task has had: makes names of what each opens distinct."""

    @classmethod
    async def take(cls, log: Log, subject: str, owner: str) -> "Journal":
        """Become the owner: from here on, every append of an earlier one is refused."""
        events = await patiently(lambda: log.read(subject))
        journal = cls(log, deliberation.fold(events), owner)
        journal.takes = 1 + sum(isinstance(e.event.data, OwnerTook) for e in events)
        while not journal.state.end:
            try:
                await journal._append(OwnerTook(owner=owner))
                break
            except Conflict:
                await journal._catch_up()
        return journal

    async def record(self, fact: Fact) -> None:
        """Append `fact` behind whatever stands there. Raises Ousted, Superseded."""
        async with self._turn:
            while True:
                if problem := deliberation.refusal(self.state, fact):
                    raise Superseded(f"{self._subject}: {fact.type_name}: {problem}")
                try:
                    return await self._append(fact)
                except Conflict:
                    await self._catch_up()
                    if self.state.owner != self._owner:
                        raise Ousted(f"{self._subject} belongs to {self.state.owner} now") from None

    async def refresh(self) -> None:
        """Fold what others wrote."""
        async with self._turn:
            await self._catch_up()

    async def _append(self, fact: Fact) -> None:
        head = self.state.head
        with belonging(trace_of(self.state)):
            stored = await patiently(lambda: self._log.append(self._subject, fact, after=head))
        self.state = deliberation.apply(self.state, stored)

    async def _catch_up(self) -> None:
        for stored in await patiently(lambda: self._log.read(self._subject, after=self.state.head)):
            self.state = deliberation.apply(self.state, stored)

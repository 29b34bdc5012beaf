"""What a task, its agents and their workspaces left in the log, sorted out by moment. Pure."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    ProposalAdmitted,
    ProposalRefused,
    StepTaken,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.stretches import Inner, micros

OUTCOMES: dict[type[Fact], str] = {ProposalAdmitted: "proposed", ProposalRefused: "refused", AgentFailed: "failed"}
"""What may come of an agent."""


class Trail:
    """Moments are microseconds since the request, by the clocks of those who wrote."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        """Each subject's events in order. Raises NotFound when the request is not among them."""
        first = next((e for e in events if isinstance(e.data, DeliberationRequested)), None)
        if first is None or not isinstance(first.data, DeliberationRequested):
            raise NotFound("the request of the task is not in its log")
        self._events = events
        self.began = first.time
        self.spec = first.data.spec
        self.trace_id = first.traceparent.split("-")[1] if first.traceparent.count("-") >= 3 else ""
        self.moments = sorted(map(self.at, events))
        self.result = next((e.data.result for e in events if isinstance(e.data, DeliberationEnded)), None)
        self.seats = [s.agent_id for e in events if isinstance(e.data, Convened) for s in e.data.seats]

    @property
    def end(self) -> int:
        """The last event's moment of a task that runs."""
        ended = self.moment(DeliberationEnded)
        return max(0, self.moments[-1]) if ended is None else ended

    def at(self, event: Event) -> int:
        return (event.time - self.began) // timedelta(microseconds=1)

    def of(self, *kinds: type[Fact]) -> Iterator[Event]:
        return (e for e in self._events if isinstance(e.data, kinds))

    def moment(self, kind: type[Fact]) -> int | None:
        """Of the first; None when there is none."""
        return next(map(self.at, self.of(kind)), None)

    def attempts(self, kind: type[Fact], agent: AgentId) -> dict[int, int]:
        """Attempt to moment; the first of each counts."""
        found: dict[int, int] = {}
        for event in self.of(kind):
            if _agent_of(event) == agent:
                found.setdefault(getattr(event.data, "attempt", 0), self.at(event))
        return found

    def steps(self, agent: AgentId, attempt: int) -> list[tuple[Inner, int, int]]:
        """What each was, and from when to when."""
        return [
            (Inner.MODEL if e.data.kind == "model" else Inner.TOOLS, *self._lasted(e, e.data.duration_s))
            for e in self.of(StepTaken)
            if isinstance(e.data, StepTaken) and (e.data.agent_id, e.data.attempt) == (agent, attempt)
        ]

    def commands(self, subject: str) -> list[tuple[int, int]]:
        """From when to when its examinations ran."""
        found = [
            self._lasted(e, e.data.end.duration_s)
            for e in self.of(Examined)
            if isinstance(e.data, Examined) and e.data.subject == subject
        ]
        return sorted(found)

    def _lasted(self, event: Event, duration_s: float) -> tuple[int, int]:
        return self.at(event) - micros(duration_s), self.at(event)

    def settled(self, agent: AgentId) -> Event | None:
        """What came of it."""
        return next((e for e in self.of(*OUTCOMES) if author(e.data) == agent), None)

    def author_of(self, proposal: str) -> AgentId | None:
        """None for base."""
        admitted = (e.data.admission for e in self._events if isinstance(e.data, ProposalAdmitted))
        return next((a.agent_id for a in admitted if a.proposal_id == proposal), None)

    def unknown(self) -> Iterator[str]:
        """What the log does not tell (any more), in words."""
        for event in self.of(AgentFinished):
            if isinstance(event.data, AgentFinished):
                yield from self._unknown_of(event.data)
        own = [self.at(e) for e in self._events if e.subject.startswith("deliberation.events.")]
        back = max((here - there for here, there in itertools.pairwise(own)), default=0)
        if back > 0:
            yield f"clocks of its writers differ: an event is {back / 1e6:.3f} s older than the one before it"

    def _unknown_of(self, fact: AgentFinished) -> Iterator[str]:
        agent, asked = fact.agent_id, fact.usage.model_calls
        seen = sum(inner is Inner.MODEL for inner, _, __ in self.steps(agent, fact.attempt))
        if seen < asked:
            yield f"{agent}: {seen} of {asked} model calls are in the log (steps are kept for a week)"
        if fact.attempt not in self.attempts(WorkspaceReady, agent):
            yield f"{agent}: when its workspace was ready is not in the log (answers are kept for a day)"


def author(fact: Fact) -> AgentId | None:
    """Of a proposal, or of none."""
    match fact:
        case ProposalAdmitted(admission=found):
            return found.agent_id
        case ProposalRefused(refusal=found):
            return found.agent_id
        case AgentFailed(agent_id=agent):
            return agent
    return None


def _agent_of(event: Event) -> str:
    """Also of an answer about a workspace, which only its subject names."""
    return getattr(event.data, "agent_id", "") or event.subject.rpartition(".")[2]

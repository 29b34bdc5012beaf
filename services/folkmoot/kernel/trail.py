"""What a task, its agents and their workspaces left in the log, sorted out by moment. Pure."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import msgspec

from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.evidence import SuiteKind
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AttemptStarted,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    DocumentSubmitted,
    Examined,
    ExhibitAdmitted,
    Judged,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Staged,
    StepTaken,
    TestsWritten,
    WorkEnded,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.stretches import Inner, micros

OUTCOMES: dict[type[Fact], str] = {
    ProposalAdmitted: "proposed",
    DocumentSubmitted: "proposed",
    ProposalRefused: "refused",
    AgentFailed: "failed",
}
"""What may come of an author."""
ENDINGS: dict[type[Fact], str] = {
    **OUTCOMES,
    Reviewed: "reviewed",
    TestsWritten: "wrote tests",
    WorkEnded: "brought nothing more",
    Judged: "judged",
}
"""What may come of a work."""

WORKING = "working"
"""Nothing has come of it."""


class StagePart(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one stage, from what was decided to do to what was decided next."""

    began: int | None
    """In microseconds; None of a deliberation without stages, which is one part."""
    events: tuple[Event, ...]
    """Of the task's own."""
    last: bool

    def of(self, *kinds: type[Fact]) -> list[Event]:
        return [e for e in self.events if isinstance(e.data, kinds)]

    def attempts(self, agent: AgentId) -> set[int]:
        """Those that began in it."""
        begun = (e.data for e in self.events if isinstance(e.data, AttemptStarted))
        return {fact.attempt for fact in begun if fact.agent_id == agent}

    def ended(self, agent: AgentId) -> Event | None:
        """What came of its work; of a judge's, the last."""
        found = [e for e in self.of(*ENDINGS) if author(e.data) == agent]
        return found[-1 if found and isinstance(found[-1].data, Judged) else 0] if found else None


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
        self.seats = list(_asked(events))

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

    def stages(self) -> list[StagePart]:
        """In order."""
        own = [e for e in self._events if e.subject.startswith("deliberation.events.")]
        cuts = [n for n, e in enumerate(own) if isinstance(e.data, Staged)]
        if not cuts:
            return [StagePart(began=None, events=tuple(own), last=True)]
        spans = itertools.pairwise([*cuts, len(own)])
        return [StagePart(began=self.at(own[a]), events=tuple(own[a:b]), last=b == len(own)) for a, b in spans]

    def outcome(self, agent: AgentId) -> str:
        """Of an author its proposal, of a helper its last work."""
        own = [type(e.data) for e in self.of(*ENDINGS) if author(e.data) == agent]
        return next((OUTCOMES[kind] for kind in own if kind in OUTCOMES), ENDINGS[own[-1]] if own else WORKING)

    def waited_for(self, fact: Examined) -> set[AgentId]:
        """Who had to be done before it: the author of what was examined, and of the tests; none for base's own."""
        admitted = (e.data.admission for e in self._events if isinstance(e.data, ProposalAdmitted))
        exhibits = (e.data.exhibit for e in self._events if isinstance(e.data, ExhibitAdmitted))
        authors = {a.agent_id for a in admitted if a.proposal_id == fact.subject}
        if fact.kind is SuiteKind.EXHIBIT:
            authors |= {e.author for e in exhibits if e.exhibit_id == fact.name}
        return authors

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
    """Of what came of a work; None for other facts."""
    match fact:
        case ProposalAdmitted(admission=found):
            return found.agent_id
        case ProposalRefused(refusal=found):
            return found.agent_id
        case DocumentSubmitted(paper=found):
            return found.agent_id
        case AgentFailed(agent_id=agent):
            return agent
        case Reviewed(work=work) | TestsWritten(work=work) | WorkEnded(work=work):
            return work.agent_id
        case Judged(verdict=verdict):
            return verdict.judge
    return None


def _asked(events: tuple[Event, ...]) -> Iterator[AgentId]:
    """Agents with something to do; all seats where there are no stages."""
    staged = [e.data for e in events if isinstance(e.data, Staged)]
    asked = {w.agent_id for s in staged for w in s.works} | {author(e.data) for e in events}
    for convened in (e.data for e in events if isinstance(e.data, Convened)):
        for seat in (*convened.seats, *convened.helpers):
            if seat.agent_id in asked or not (staged or seat.duty):
                yield seat.agent_id


def _agent_of(event: Event) -> str:
    """Also of an answer about a workspace, which only its subject names."""
    return getattr(event.data, "agent_id", "") or event.subject.rpartition(".")[2]

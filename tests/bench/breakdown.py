"""Where the time of one deliberation went: read from its log, along the path that the end waited for. No I/O."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.events import Fact, Stored
from folkmoot.kernel.facts import (
    AgentFinished,
    AttemptStarted,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
    StepTaken,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId


class Part(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    seconds: float


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """The log of one ended task: its own subject, and those of the agent that the end waited for."""

    own: Sequence[Stored]
    answers: Sequence[Stored]
    steps: Sequence[Stored]
    results: Sequence[Stored]


def last_agent(own: Sequence[Stored]) -> AgentId:
    """Whose proposal was examined last."""
    last = [s.event.data for s in own if isinstance(s.event.data, Examined) and s.event.data.subject != BASE][-1]
    assert isinstance(last, Examined)
    admitted = [s.event.data for s in own if isinstance(s.event.data, ProposalAdmitted)]
    return next(f.admission.agent_id for f in admitted if f.admission.proposal_id == last.subject)


def parts(trail: Trail, agent: AgentId) -> list[Part]:
    """Consecutive, and together the whole time from the request to the end."""
    marks = _marks(trail, agent)
    spans = [
        Part(name=name, seconds=(there - here).total_seconds())
        for (_, here), (name, there) in itertools.pairwise(marks)
    ]
    return [inner for span in spans for inner in (_split(span, trail.steps) if span.name == "agent" else [span])]


def total(trail: Trail) -> float:
    return (_time(trail.own, DeliberationEnded) - _time(trail.own, DeliberationRequested)).total_seconds()


def _marks(trail: Trail, agent: AgentId) -> list[tuple[str, datetime]]:
    mine = [s for s in trail.own if _agent_of(s.event.data) == agent]
    last_step = trail.steps[-1].event.time
    return [
        ("requested", _time(trail.own, DeliberationRequested)),
        ("taken by an orchestrator", _time(trail.own, OwnerTook)),
        ("base prepared, convened", _time(trail.own, Convened)),
        ("attempt written down", _time(mine, AttemptStarted)),
        ("workspace opened", _time(trail.answers, WorkspaceReady)),
        ("agent reached in its actor", _began(trail.steps[0])),
        ("agent", last_step),
        ("commit bundled, result published", _time(trail.results, AgentFinished)),
        ("admitted at the border", _time(mine, ProposalAdmitted)),
        ("examined (tests and check)", _last_examined(trail.own)),
        ("ranked", _time(trail.own, CandidatesRanked)),
        ("branch made, end written", _time(trail.own, DeliberationEnded)),
    ]


def _began(step: Stored) -> datetime:
    fact = step.event.data
    assert isinstance(fact, StepTaken)
    return step.event.time - timedelta(seconds=fact.duration_s)


def _split(span: Part, steps: Sequence[Stored]) -> list[Part]:
    """The agent's own time: what the model took, and the rest, which is tools but for the loop itself."""
    facts = [s.event.data for s in steps if isinstance(s.event.data, StepTaken)]
    asked = [f.duration_s for f in facts if f.kind == "model"]
    used = sum(f.kind == "tool" for f in facts)
    return [
        Part(name=f"agent: {len(asked)} model calls", seconds=sum(asked)),
        Part(name=f"agent: {used} tool calls, and between the calls", seconds=span.seconds - sum(asked)),
    ]


def _agent_of(fact: Fact) -> AgentId | None:
    match fact:
        case AttemptStarted(agent_id=agent):
            return agent
        case ProposalAdmitted(admission=admission):
            return admission.agent_id
    return None


def _time(events: Sequence[Stored], kind: type[Fact]) -> datetime:
    return next(s.event.time for s in events if isinstance(s.event.data, kind))


def _last_examined(own: Sequence[Stored]) -> datetime:
    return [s.event.time for s in own if isinstance(s.event.data, Examined)][-1]

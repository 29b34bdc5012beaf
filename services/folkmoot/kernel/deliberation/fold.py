"""From events to where a task stands."""

from collections.abc import Iterable

import msgspec

from folkmoot.kernel.deliberation.guards import refusal
from folkmoot.kernel.deliberation.state import Attempts, Deliberation, key_of
from folkmoot.kernel.errors import BrokenChain, NotFound
from folkmoot.kernel.events import START, Fact, Stored, follows
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    DocumentSubmitted,
    Examined,
    ExhibitAdmitted,
    Judged,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Staged,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.ids import AgentId

_change = msgspec.structs.replace


def fold(events: Iterable[Stored]) -> Deliberation:
    """The state after `events`, all of one subject.

    Raises NotFound when there are none, BrokenChain when one cannot follow the one before it.
    """
    remaining = iter(events)
    first = next(remaining, None)
    if first is None:
        raise NotFound("there is no such deliberation")
    state = begin(first)
    for stored in remaining:
        state = apply(state, stored)
    return state


def begin(stored: Stored) -> Deliberation:
    """The state after the first event. Raises BrokenChain when it is not the first."""
    follows(START, stored)
    fact = stored.event.data
    if not isinstance(fact, DeliberationRequested):
        raise _broken(stored, "the first event is not the request")
    return Deliberation(
        spec=fact.spec,
        digest=fact.digest,
        created_at=stored.event.time,
        head=stored.head,
        traceparent=stored.event.traceparent,
    )


def apply(state: Deliberation, stored: Stored) -> Deliberation:
    """The state after one more event. Raises BrokenChain when it cannot follow."""
    follows(state.head, stored)
    fact = stored.event.data
    if problem := refusal(state, fact):
        raise _broken(stored, problem)
    return _change(_after(state, fact), head=stored.head)


def _broken(stored: Stored, problem: str) -> BrokenChain:
    return BrokenChain(f"{stored.event.subject}: message {stored.seq} ({stored.event.type}): {problem}")


def _after(state: Deliberation, fact: Fact) -> Deliberation:
    match fact:
        case Examined():  # half of all facts, so it is asked for first
            return _change(state, examined=(*state.examined, fact), recorded=state.recorded | {key_of(fact)})
        case OwnerTook():
            return _change(state, owner=fact.owner)
        case Convened():
            return _convened(state, fact)
        case Staged():
            return _change(state, staged=(*state.staged, fact))
        case AttemptStarted() | AttemptLost():
            return _attempted(state, fact)
        case DocumentSubmitted():
            return _change(_ended(state, fact), usage=state.usage.plus(fact.usage))
        case ProposalAdmitted() | ProposalRefused() | AgentFailed() | WorkEnded() | Reviewed() | TestsWritten():
            return _change(_ended(state, fact), usage=state.usage.plus(fact.usage))
        case CancelRequested():
            return _change(state, cancel=state.cancel or fact)
        case DeliberationEnded():
            return _change(state, end=fact)
    return _with_evidence(state, fact)


def _with_evidence(state: Deliberation, fact: Fact) -> Deliberation:
    match fact:
        case ExhibitAdmitted():
            return _change(state, exhibits=(*state.exhibits, fact.exhibit))
        case Judged():
            return _change(state, verdicts=(*state.verdicts, fact.verdict), usage=state.usage.plus(fact.usage))
        case CandidatesRanked():
            return _change(state, ranked=fact)
    raise AssertionError(f"`refusal` let {fact.type_name} pass")


def _convened(state: Deliberation, fact: Convened) -> Deliberation:
    """Authors of what is inherited have proposed already, and nobody else of that council will."""
    authors = {s.agent_id for s in fact.seats} if fact.inherited else set()
    return _change(
        state,
        base=fact.base,
        seats=fact.seats,
        helpers=fact.helpers,
        context=fact.context,
        admissions=fact.inherited,
        done=frozenset(Work(agent_id=a, phase="propose") for a in authors),
    )


def _attempted(state: Deliberation, fact: AttemptStarted | AttemptLost) -> Deliberation:
    before = state.attempts.get(fact.agent_id, Attempts())
    if isinstance(fact, AttemptLost):
        now = _change(before, lost=fact.attempt, reason=fact.reason)
        return _change(state, attempts=state.attempts | {fact.agent_id: now}, usage=state.usage.plus(fact.usage))
    work = Work(agent_id=fact.agent_id, phase=fact.phase, round=fact.round)
    if before.work != work:
        before = _change(before, work=work, before=before.started, reason="")
    return _change(state, attempts=state.attempts | {fact.agent_id: _change(before, started=fact.attempt)})


Ending = ProposalAdmitted | ProposalRefused | DocumentSubmitted | AgentFailed | WorkEnded | Reviewed | TestsWritten


def _ended(state: Deliberation, fact: Ending) -> Deliberation:
    state = _change(state, done=state.done | {ended_work(fact)})
    match fact:
        case ProposalAdmitted():
            summaries = state.summaries | {fact.admission.proposal_id: fact.summary}
            return _change(state, admissions=(*state.admissions, fact.admission), summaries=summaries)
        case ProposalRefused():
            return _change(state, refusals=(*state.refusals, fact.refusal))
        case DocumentSubmitted():
            return _change(state, papers=(*state.papers, fact.paper))
        case AgentFailed():
            return _change(state, failures=state.failures | {fact.agent_id: fact.reason})
        case WorkEnded(work=work):
            return _change(state, idle=state.idle | {f"{work.agent_id} {work.phase} {work.round}": fact.reason})
        case Reviewed():
            return _change(state, reviews=(*state.reviews, fact))
    return state


def ended_work(fact: Ending) -> Work:
    """The work that `fact` ends."""
    match fact:
        case ProposalAdmitted() | ProposalRefused():
            agent: AgentId = (fact.admission if isinstance(fact, ProposalAdmitted) else fact.refusal).agent_id
            return Work(agent_id=agent, phase="propose" if fact.round == 1 else "revise", round=fact.round)
        case AgentFailed():
            return Work(agent_id=fact.agent_id, phase="propose")
        case DocumentSubmitted():
            return Work(agent_id=fact.paper.agent_id, phase="propose")
    return fact.work

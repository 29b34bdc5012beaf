"""Which fact may follow, and why another may not."""

from folkmoot.kernel.analysis.document import Paper
from folkmoot.kernel.deliberation.state import BASE, Attempts, Deliberation, key_of, was_asked
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import PLATFORM, Admission, Refusal, Source, SuiteKind
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DocumentSubmitted,
    Examined,
    ExhibitAdmitted,
    Judged,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Stage,
    Staged,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.task import TaskKind

Within = (
    Staged
    | AttemptStarted
    | AttemptLost
    | ProposalAdmitted
    | ProposalRefused
    | DocumentSubmitted
    | AgentFailed
    | WorkEnded
    | Reviewed
    | TestsWritten
    | ExhibitAdmitted
    | Judged
)
"""Between council and ranking, besides examinations."""


def refusal(state: Deliberation, fact: Fact) -> str:
    """Why `fact` cannot follow, in words; empty when it can."""
    if state.end:
        return "the deliberation had ended"
    match fact:
        case Examined():  # half of all facts, so it is asked for first
            return _unless_open(state) or _wrong_examination(state, fact)
        case OwnerTook() | CancelRequested() | DeliberationEnded():
            return ""
        case Convened():
            return "a second council" if state.base else ""
        case CandidatesRanked():
            return "a second ranking" if state.ranked else _unless_convened(state)
    if not isinstance(fact, Within):
        return f"{fact.type_name} has no place here"
    return _unless_open(state) or _out_of_place(state, fact)


def _out_of_place(state: Deliberation, fact: Within) -> str:
    match fact:
        case Staged():
            return _wrong_stage(state, fact)
        case AttemptStarted() | AttemptLost():
            return _wrong_attempt(state, fact)
        case ProposalAdmitted() | ProposalRefused() | AgentFailed():
            return _wrong_author(state, fact)
        case DocumentSubmitted(paper=paper):
            return _wrong_paper(state, paper)
        case WorkEnded() | Reviewed() | TestsWritten():
            return _wrong_work(state, fact.work)
        case ExhibitAdmitted():
            return _wrong_exhibit(state, fact)
        case Judged():
            return _wrong_verdict(state, fact)


def _unless_convened(state: Deliberation) -> str:
    return "" if state.base else "no council was convened"


def _unless_open(state: Deliberation) -> str:
    return "the candidates were already ranked" if state.ranked else _unless_convened(state)


def _wrong_stage(state: Deliberation, fact: Staged) -> str:
    if state.open and state.staged and fact.stage is not Stage.RANK:
        return f"{state.open[0].agent_id} still works on {state.open[0].phase}"
    if state.staged and any(was_asked(state, w) for w in fact.works):
        return "the same work twice"
    strangers = [w.agent_id for w in fact.works if state.seat(w.agent_id) is None]
    if strangers:
        return f"{strangers[0]} has no seat"
    unknown = {p for pair in fact.pairs for p in pair} - state.candidates
    return f"{min(unknown)} is no candidate" if unknown else ""


def _wrong_attempt(state: Deliberation, fact: AttemptStarted | AttemptLost) -> str:
    agent, before = fact.agent_id, state.attempts.get(fact.agent_id, Attempts())
    work = before.work if isinstance(fact, AttemptLost) else None
    work = work or (
        Work(agent_id=agent, phase=fact.phase, round=fact.round) if isinstance(fact, AttemptStarted) else None
    )
    if work is None:
        return _wrong_agent(state, agent) or f"attempt {fact.attempt} of {agent} was not running"
    if problem := _wrong_work(state, work):
        return problem
    if isinstance(fact, AttemptLost):
        known = before.running(work) and fact.attempt == before.started
        return "" if known else f"attempt {fact.attempt} of {agent} was not running"
    if before.running(work):
        return f"attempt {before.started} of {agent} was still running"
    return "" if fact.attempt == before.started + 1 else f"attempt {fact.attempt} of {agent} after {before.started}"


def _wrong_author(state: Deliberation, fact: ProposalAdmitted | ProposalRefused | AgentFailed) -> str:
    if isinstance(fact, AgentFailed):
        return _wrong_work(state, Work(agent_id=fact.agent_id, phase="propose"))
    proposal = fact.admission if isinstance(fact, ProposalAdmitted) else fact.refusal
    known: tuple[Admission | Refusal, ...] = (*state.admissions, *state.refusals)
    if proposal.proposal_id in {p.proposal_id for p in known}:
        return f"proposal {proposal.proposal_id} twice"
    phase = "propose" if fact.round == 1 else "revise"
    return _wrong_work(state, Work(agent_id=proposal.agent_id, phase=phase, round=fact.round))


def _wrong_paper(state: Deliberation, paper: Paper) -> str:
    if state.spec.kind is not TaskKind.ANALYSIS:
        return "a document where a change is asked for"
    if paper.proposal_id in state.candidates:
        return f"proposal {paper.proposal_id} twice"
    return _wrong_work(state, Work(agent_id=paper.agent_id, phase="propose"))


def _wrong_work(state: Deliberation, work: Work) -> str:
    if problem := _wrong_agent(state, work.agent_id):
        return problem
    if work in state.done:
        return f"{work.agent_id} was already done" + ("" if work.phase == "propose" else f" with {work.phase}")
    return "" if was_asked(state, work) else f"{work.agent_id} was not asked to {work.phase} in round {work.round}"


def _wrong_agent(state: Deliberation, agent: AgentId) -> str:
    return "" if state.seat(agent) else f"{agent} has no seat"


def _wrong_exhibit(state: Deliberation, fact: ExhibitAdmitted) -> str:
    if fact.exhibit.exhibit_id in {e.exhibit_id for e in state.exhibits}:
        return f"exhibit {fact.exhibit.exhibit_id} twice"
    if fact.exhibit.source is Source.PROBE and fact.exhibit.author == PLATFORM:
        return ""
    return _wrong_agent(state, fact.exhibit.author)


def _wrong_examination(state: Deliberation, fact: Examined) -> str:
    if fact.subject != BASE and not any(a.proposal_id == fact.subject for a in state.admissions):
        return f"{fact.subject} is no candidate"
    if fact.kind is SuiteKind.EXHIBIT and fact.name not in {e.exhibit_id for e in state.exhibits}:
        return f"{fact.name} is no exhibit"
    twice = key_of(fact) in state.recorded
    return f"{fact.kind} {fact.name[:80]!r} on {fact.subject}, run {fact.run}, twice" if twice else ""


def _wrong_verdict(state: Deliberation, fact: Judged) -> str:
    pair = {fact.verdict.one, fact.verdict.other}
    if unknown := pair - state.candidates:
        return f"{min(unknown)} is no candidate"
    return "the same pair twice" if any({v.one, v.other} == pair for v in state.verdicts) else ""

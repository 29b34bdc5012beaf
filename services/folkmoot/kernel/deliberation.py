"""The fold of one deliberation, and what is still to be done in it.

Pure, so that any orchestrator that takes a task over sees exactly what its predecessor saw. The owner loops: fold,
ask `pending`, `exhausted` and `missing`, do one of them, append, `apply`. Writers call `refusal` before they append:
a fact that it objects to must not be written, because every later fold would stop there.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec

from folkmoot.kernel.errors import BrokenChain, NotFound
from folkmoot.kernel.events import START, Fact, Head, Stored, follows, timestamp
from folkmoot.kernel.evidence import Admission, ArtifactRef, PreparedBase, Refusal, SuiteKind
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Seat,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId
from folkmoot.kernel.result import Result, State, Usage, Winner
from folkmoot.kernel.task import TaskSpec

BASE = "base"
"""Subject of the examinations of the base itself."""
TESTS = "tests"
"""Name of the examination that runs base's own suite."""
NO_MARKERS = "no conflict marker is left"
"""Name of the check that joins a task's own where its merge conflicts."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one agent. At most one runs at a time."""

    started: int = 0
    """Number of the last one that began; 0 for none."""
    lost: int = 0
    """Number of the last one that died; below `started` while one runs."""
    reason: str = ""
    """Why the last one died."""

    @property
    def running(self) -> bool:
        return self.started > self.lost


class Deliberation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task stands after its last event."""

    spec: TaskSpec
    digest: str
    """Of the request: the same key with another digest is another request."""
    created_at: datetime
    head: Head
    owner: str = ""
    base: PreparedBase | None = None
    seats: tuple[Seat, ...] = ()
    context: ArtifactRef | None = None
    """What its agents are told of earlier work."""
    attempts: dict[AgentId, Attempts] = {}
    admissions: tuple[Admission, ...] = ()
    summaries: dict[ProposalId, str] = {}
    refusals: tuple[Refusal, ...] = ()
    failures: dict[AgentId, str] = {}
    """Agents from which no proposal will come, and why."""
    examined: tuple[Examined, ...] = ()
    ranked: CandidatesRanked | None = None
    cancel: CancelRequested | None = None
    """The first wish to cancel; the owner obeys it."""
    end: DeliberationEnded | None = None
    usage: Usage = Usage()
    traceparent: str = ""
    """Of the request: all that happens for the task belongs to its trace."""

    @property
    def task_id(self) -> TaskId:
        return self.spec.task_id

    @property
    def result(self) -> Result | None:
        """The final answer; None while it runs."""
        return self.end.result if self.end else None

    @property
    def state(self) -> State:
        return _state(self)

    @property
    def settled(self) -> frozenset[AgentId]:
        """Agents from which nothing more is expected."""
        proposals: tuple[Admission | Refusal, ...] = (*self.admissions, *self.refusals)
        return frozenset(p.agent_id for p in proposals) | frozenset(self.failures)


def _state(d: Deliberation) -> State:
    if d.end:
        return d.end.result.state
    if d.ranked:
        return State.RANKED
    if d.base is None:
        return State.REQUESTED
    if len(d.settled) == len(d.seats):
        return State.EXAMINING
    return State.PROPOSING if d.attempts else State.CONVENED


# --- fold --------------------------------------------------------------------------------------------------------


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
    return msgspec.structs.replace(_after(state, fact), head=stored.head)


def _broken(stored: Stored, problem: str) -> BrokenChain:
    return BrokenChain(f"{stored.event.subject}: message {stored.seq} ({stored.event.type}): {problem}")


def _after(state: Deliberation, fact: Fact) -> Deliberation:
    change = msgspec.structs.replace
    match fact:
        case OwnerTook():
            return change(state, owner=fact.owner)
        case Convened():
            return change(state, base=fact.base, seats=fact.seats, context=fact.context)
        case AttemptStarted() | AttemptLost():
            return change(state, attempts=state.attempts | {fact.agent_id: _attempts(state, fact)})
        case ProposalAdmitted() | ProposalRefused() | AgentFailed():
            return change(_settle(state, fact), usage=state.usage.plus(fact.usage))
        case Examined():
            return change(state, examined=(*state.examined, fact))
        case CandidatesRanked():
            return change(state, ranked=fact)
        case CancelRequested():
            return change(state, cancel=state.cancel or fact)
        case DeliberationEnded():
            return change(state, end=fact)
    raise AssertionError(f"`refusal` let {fact.type_name} pass")


def _attempts(state: Deliberation, fact: AttemptStarted | AttemptLost) -> Attempts:
    before = state.attempts.get(fact.agent_id, Attempts())
    if isinstance(fact, AttemptStarted):
        return msgspec.structs.replace(before, started=fact.attempt)
    return msgspec.structs.replace(before, lost=fact.attempt, reason=fact.reason)


def _settle(state: Deliberation, fact: ProposalAdmitted | ProposalRefused | AgentFailed) -> Deliberation:
    change = msgspec.structs.replace
    if isinstance(fact, ProposalAdmitted):
        summaries = state.summaries | {fact.admission.proposal_id: fact.summary}
        return change(state, admissions=(*state.admissions, fact.admission), summaries=summaries)
    if isinstance(fact, ProposalRefused):
        return change(state, refusals=(*state.refusals, fact.refusal))
    return change(state, failures=state.failures | {fact.agent_id: fact.reason})


# --- guards ------------------------------------------------------------------------------------------------------


def refusal(state: Deliberation, fact: Fact) -> str:
    """Why `fact` cannot follow, in words; empty when it can."""
    if state.end:
        return "the deliberation had ended"
    match fact:
        case OwnerTook() | CancelRequested() | DeliberationEnded():
            return ""
        case Convened():
            return "a second council" if state.base else ""
        case CandidatesRanked():
            return "a second ranking" if state.ranked else _unless_convened(state)
        case AttemptStarted() | AttemptLost():
            return _unless_open(state) or _wrong_attempt(state, fact)
        case ProposalAdmitted() | ProposalRefused() | AgentFailed():
            return _unless_open(state) or _wrong_author(state, fact)
        case Examined():
            return _unless_open(state) or _wrong_examination(state, fact)
    return f"{fact.type_name} has no place here"


def _unless_convened(state: Deliberation) -> str:
    return "" if state.base else "no council was convened"


def _unless_open(state: Deliberation) -> str:
    return "the candidates were already ranked" if state.ranked else _unless_convened(state)


def _wrong_attempt(state: Deliberation, fact: AttemptStarted | AttemptLost) -> str:
    agent, before = fact.agent_id, state.attempts.get(fact.agent_id, Attempts())
    if problem := _wrong_agent(state, agent):
        return problem
    if isinstance(fact, AttemptLost):
        known = before.running and fact.attempt == before.started
        return "" if known else f"attempt {fact.attempt} of {agent} was not running"
    if before.running:
        return f"attempt {before.started} of {agent} was still running"
    return "" if fact.attempt == before.started + 1 else f"attempt {fact.attempt} of {agent} after {before.started}"


def _wrong_author(state: Deliberation, fact: ProposalAdmitted | ProposalRefused | AgentFailed) -> str:
    if isinstance(fact, AgentFailed):
        return _wrong_agent(state, fact.agent_id)
    proposal = fact.admission if isinstance(fact, ProposalAdmitted) else fact.refusal
    known: tuple[Admission | Refusal, ...] = (*state.admissions, *state.refusals)
    if proposal.proposal_id in {p.proposal_id for p in known}:
        return f"proposal {proposal.proposal_id} twice"
    return _wrong_agent(state, proposal.agent_id)


def _wrong_agent(state: Deliberation, agent: AgentId) -> str:
    if agent not in {s.agent_id for s in state.seats}:
        return f"{agent} has no seat"
    return f"{agent} was already done" if agent in state.settled else ""


def _wrong_examination(state: Deliberation, fact: Examined) -> str:
    if fact.subject != BASE and fact.subject not in {a.proposal_id for a in state.admissions}:
        return f"{fact.subject} is no candidate"
    done = any(
        (e.name, e.subject, e.run, e.kind) == (fact.name, fact.subject, fact.run, fact.kind) for e in state.examined
    )
    return f"{fact.kind} {fact.name[:80]!r} on {fact.subject}, run {fact.run}, twice" if done else ""


# --- what is to be done ------------------------------------------------------------------------------------------


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that an agent still needs."""

    seat: Seat
    attempt: int
    """From 1."""
    started: bool
    """It was begun, perhaps by a predecessor: look for its result before doing anything else."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An examination that is needed. Equal ones are the same."""

    subject: str
    kind: SuiteKind
    name: str
    run: int = 1

    @classmethod
    def of(cls, fact: Examined) -> "Wanted":
        return cls(subject=fact.subject, kind=fact.kind, name=fact.name, run=fact.run)


def pending(state: Deliberation, max_attempts: int) -> tuple[Due, ...]:
    """Attempts that run or must begin, in the order of the seats; at most one per agent."""
    return tuple(d for s in _open_seats(state) if (d := _due(s, _of(state, s))).started or d.attempt <= max_attempts)


def exhausted(state: Deliberation, max_attempts: int) -> dict[AgentId, str]:
    """Agents that lost all their attempts, with the reason to write into `AgentFailed`."""
    alive = {d.seat.agent_id for d in pending(state, max_attempts)}
    gone = [s for s in _open_seats(state) if s.agent_id not in alive]
    return {s.agent_id: f"the last of {max_attempts} attempts was lost: {_of(state, s).reason}" for s in gone}


def _open_seats(state: Deliberation) -> list[Seat]:
    return [s for s in state.seats if s.agent_id not in state.settled]


def _of(state: Deliberation, seat: Seat) -> Attempts:
    return state.attempts.get(seat.agent_id, Attempts())


def _due(seat: Seat, attempts: Attempts) -> Due:
    number = attempts.started if attempts.running else attempts.started + 1
    return Due(seat=seat, attempt=number, started=attempts.running)


def missing(state: Deliberation, baseline_runs: int) -> tuple[Wanted, ...]:
    """Examinations that are needed and not recorded: base's first, so that they run while agents still think."""
    if state.base is None or state.ranked or state.end:
        return ()
    done = set(map(Wanted.of, state.examined))
    return tuple(w for w in _wanted(state, state.base, baseline_runs) if w not in done)


def _wanted(state: Deliberation, base: PreparedBase, baseline_runs: int) -> Iterator[Wanted]:
    subjects: Sequence[tuple[str, int]] = [(BASE, baseline_runs), *((a.proposal_id, 1) for a in state.admissions)]
    for subject, runs in subjects:
        names = (TESTS, *(sides(state) if subject == BASE else ())) if base.suite else ()
        for name, run in itertools.product(names, range(1, runs + 1)):
            yield Wanted(subject=subject, kind=SuiteKind.TESTS, name=name, run=run)
        for check in checks(state):
            # Base is one side of the merge: it has no markers, and to say so would show nothing.
            if subject != BASE or check != NO_MARKERS:
                yield Wanted(subject=subject, kind=SuiteKind.CHECK, name=check)


def sides(state: Deliberation) -> dict[str, CommitId]:
    """Where the platform merges: what it merges besides base, by the name of the examination of its tests. They guard
    the merge as base's do."""
    base = state.base
    if base is None or base.start is None or base.conflicts:
        return {}
    return {f"{TESTS} of {commit[:12]}": commit for commit in state.spec.merge if commit != base.commit}


def checks(state: Deliberation) -> tuple[str, ...]:
    """What a candidate must pass: the task's own, each once, and the one of a merge that conflicts."""
    conflicts = state.base is not None and bool(state.base.conflicts)
    return tuple(dict.fromkeys([*state.spec.checks, *([NO_MARKERS] if conflicts else [])]))


def ready(state: Deliberation, baseline_runs: int) -> bool:
    """All agents are done and everything is examined: time to rank."""
    return state.state is State.EXAMINING and not missing(state, baseline_runs)


# --- what a caller is told ---------------------------------------------------------------------------------------


def progress(state: Deliberation, now: datetime) -> Result:
    """What a poll answers: the result once there is one, else how far it is."""
    return state.result or answer(state, state.state, _words(state, now))


def answer(state: Deliberation, as_: State, reasons: Sequence[str], now: datetime | None = None) -> Result:
    """A result in state `as_`, with what is known; `now` is when it was decided. Only `decided` names a winner."""
    ranked, decided = state.ranked, as_ is State.DECIDED
    return Result(
        task_id=state.task_id,
        story_id=state.spec.story_id,
        state=as_,
        winner=_winner(state) if decided else None,
        decided_by=ranked.decided_by if ranked and decided else None,
        confidence=ranked.confidence if ranked and decided else None,
        reasons=tuple(reasons),
        ranking=ranked.ranking if ranked else (),
        usage=state.usage,
        created_at=timestamp(state.created_at),
        decided_at=timestamp(now) if now else None,
    )


def branch(task: TaskId) -> str:
    """Where the winner's commit is published."""
    return f"moot/{task}"


def _winner(state: Deliberation) -> Winner:
    chosen = state.ranked.chosen if state.ranked else None
    admission = next(a for a in state.admissions if a.proposal_id == chosen)
    return Winner(
        proposal_id=admission.proposal_id,
        agent_id=admission.agent_id,
        commit=CommitId(admission.commit),
        branch=branch(state.task_id),
    )


def _words(state: Deliberation, now: datetime) -> list[str]:
    elapsed = max(0, int((now - state.created_at).total_seconds()))
    words = [f"{state.state}, {elapsed} s after the request"]
    if state.seats:
        words.append(f"{len(state.settled)} of {len(state.seats)} agents are done")
    if state.examined:
        words.append(f"{len(state.examined)} examinations are done")
    if state.cancel:
        words.append(f"{state.cancel.actor} asked to cancel it")
    return words

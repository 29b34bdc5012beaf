"""One agent in the view of a deliberation: what it does, and what came of its last work. Pure."""

from datetime import datetime
from enum import StrEnum

import msgspec

from folkmoot.kernel.events import Event
from folkmoot.kernel.evidence import Admission
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    DocumentSubmitted,
    Judged,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    StepTaken,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.result import Usage

TRAIL = 14
"""Steps that a lane shows."""


class LaneState(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    LOST = "lost"
    """Its attempt died; another one may follow."""
    PROPOSED = "proposed"
    REFUSED = "refused"
    FAILED = "failed"
    DONE = "done"
    """Of those that never propose: writers of tests, and the judge."""

    @property
    def ended(self) -> bool:
        return self not in (LaneState.WAITING, LaneState.WORKING, LaneState.LOST)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One step in a lane's trail."""

    kind: str
    """`model`, `read`, `edit`, `test`, `run`, `commit` or `other`."""
    ok: bool


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    agent_id: str
    persona: str = ""
    duty: str = ""
    """Of a helper, as `Seat.duty`."""
    asked: bool = True
    """Something is to be done by it, or was; one of whom nothing was asked is not shown."""
    state: LaneState = LaneState.WAITING
    rest: LaneState = LaneState.DONE
    """What it goes back to when a later work of its has ended."""
    phase: str = "propose"
    """Of its last work."""
    attempt: int = 0
    steps: int = 0
    doing: str = ""
    """The last step, in a few words."""
    trail: tuple[Mark, ...] = ()
    tests: bool | None = None
    """How the last run of tests by the agent itself went; None before the first."""
    tokens: int = 0
    before: int = 0
    """Tokens that its earlier works took."""
    started_at: datetime | None = None
    """Of its last work."""
    ended_at: datetime | None = None
    proposal_id: str = ""
    """The latest."""
    change: str = ""
    """Size of the proposal, as `+3 -1 in 1 file`."""
    note: str = ""
    """Why it was lost, refused or failed; what it tampered with; what came of its last work."""


def called(lane: Lane, work: Work) -> Lane:
    """A work is to begin. Steps of the one before it count no more."""
    change = msgspec.structs.replace
    if not lane.asked or not lane.state.ended:
        return change(lane, asked=True, phase=work.phase)
    return change(
        lane,
        state=LaneState.WAITING,
        rest=lane.state,
        phase=work.phase,
        attempt=lane.attempt + 1,
        steps=0,
        trail=(),
        doing="",
        tests=None,
        note="",
        before=lane.tokens,
        started_at=None,
        ended_at=None,
    )


def moved(lane: Lane, event: Event) -> Lane:
    """The lane after an event that may be another lane's."""
    if agent_of(event) != lane.agent_id:
        return lane
    match event.data:
        case AttemptStarted() as begun:
            return _begun(lane, begun, event.time)
        case StepTaken() as step:
            return _stepped(lane, step, event.time)
        case AttemptLost(reason=reason):
            return msgspec.structs.replace(lane, state=LaneState.LOST, note=reason)
        case AgentFailed(reason=reason) as failed:
            return _closed(lane, LaneState.FAILED, event, note=reason, used=failed.usage)
        case ProposalRefused() as refused:
            return _refused(lane, refused, event)
        case ProposalAdmitted() as admitted:
            return _closed(proposed(lane, admitted.admission), LaneState.PROPOSED, event, used=admitted.usage)
        case _:
            return _rested(lane, event)


def agent_of(event: Event) -> str:
    """The agent that an event of a deliberation is about; empty where it is about none, or about all."""
    match event.data:
        case ProposalRefused(refusal=refusal):
            return refusal.agent_id
        case ProposalAdmitted(admission=admission):
            return admission.agent_id
        case DocumentSubmitted(paper=paper):
            return paper.agent_id
        case Reviewed(work=work) | WorkEnded(work=work) | TestsWritten(work=work):
            return work.agent_id
        case Judged(verdict=verdict):
            return verdict.judge
    return str(getattr(event.data, "agent_id", ""))


def proposed(lane: Lane, admission: Admission) -> Lane:
    """It has a candidate."""
    files = len(admission.files)
    size = f"+{admission.lines_added} -{admission.lines_removed} in {files} file{'s' if files != 1 else ''}"
    note = "changed what is protected: " + ", ".join(t.path for t in admission.tampered) if admission.tampered else ""
    now = msgspec.structs.replace(lane, proposal_id=admission.proposal_id, change=size, note=note)
    return msgspec.structs.replace(now, state=LaneState.PROPOSED, asked=True)


def _begun(lane: Lane, fact: AttemptStarted, at: datetime) -> Lane:
    change = msgspec.structs.replace
    working = {"state": LaneState.WORKING, "attempt": fact.attempt, "phase": fact.phase, "asked": True}
    fresh = change(lane, **working, started_at=lane.started_at or at)
    return fresh if fact.attempt == lane.attempt else change(fresh, steps=0, trail=(), doing="", tests=None, note="")


def _stepped(lane: Lane, step: StepTaken, at: datetime) -> Lane:
    """Steps come on a stream of their own: one may arrive before its attempt's event, or after the end."""
    if lane.state.ended or step.attempt < lane.attempt:
        return lane
    used = step.usage.prompt_tokens + step.usage.completion_tokens
    kind = _kind(step)
    return msgspec.structs.replace(
        lane,
        state=LaneState.WORKING,
        asked=True,
        attempt=step.attempt,
        started_at=lane.started_at or at,
        steps=max(lane.steps, step.step),
        doing="thinks" if kind == "model" else _words(step),
        trail=(*lane.trail, Mark(kind=kind, ok=step.ok and step.exit_code in (None, 0)))[-TRAIL:],
        tests=_passed(step) if kind == "test" else lane.tests,
        tokens=lane.tokens + used,
    )


# --- ends of works -----------------------------------------------------------------------------------------------


def _refused(lane: Lane, fact: ProposalRefused, event: Event) -> Lane:
    """A revision that is turned back leaves the earlier proposal a candidate."""
    reason, usage = fact.refusal.reason, fact.usage
    if lane.rest is LaneState.PROPOSED:
        return _closed(lane, lane.rest, event, note=f"its revision is refused: {reason}", used=usage)
    named = msgspec.structs.replace(lane, proposal_id=fact.refusal.proposal_id)
    return _closed(named, LaneState.REFUSED, event, note=reason, used=usage)


def _rested(lane: Lane, event: Event) -> Lane:
    match event.data:
        case Reviewed(findings=findings, usage=usage):
            return _closed(lane, lane.rest, event, note=f"findings: {len(findings)}", used=usage)
        case TestsWritten(exhibits=exhibits, usage=usage):
            return _closed(lane, lane.rest, event, note=f"sets of tests: {len(exhibits)}", used=usage)
        case DocumentSubmitted(paper=paper, usage=usage):
            named = msgspec.structs.replace(lane, proposal_id=paper.proposal_id, change=f"document: {paper.kind}")
            return _closed(named, LaneState.PROPOSED, event, used=usage)
        case WorkEnded(work=work, reason=reason, usage=usage):
            return _closed(lane, lane.rest, event, note=f"no more of {work.phase}: {reason}", used=usage)
        case Judged(usage=usage):
            judged = msgspec.structs.replace(lane, asked=True, phase="judge", before=lane.tokens)
            return _closed(judged, LaneState.DONE, event, used=usage)
    return lane


def _closed(lane: Lane, state: LaneState, event: Event, *, used: Usage, note: str = "") -> Lane:
    """The log's sum counts also what was spent before one began to watch."""
    tokens = max(lane.tokens, lane.before + used.prompt_tokens + used.completion_tokens)
    change = msgspec.structs.replace
    return change(lane, state=state, ended_at=event.time, note=note or lane.note, tokens=tokens, doing="")


# --- steps -------------------------------------------------------------------------------------------------------

_KINDS = {
    "read_file": "read",
    "list_files": "read",
    "search": "read",
    "git_status": "read",
    "git_diff": "read",
    "git_log": "read",
    "write_file": "edit",
    "append_file": "edit",
    "edit_file": "edit",
    "run_tests": "test",
    "run": "run",
    "commit": "commit",
    "submit": "commit",
    "report_finding": "edit",
    "finish_review": "commit",
}
_SUBJECTS = ("path", "command", "pattern", "targets", "message", "claim", "summary")
"""The argument that says what a call is about, the first that is there."""


def _kind(step: StepTaken) -> str:
    return "model" if step.kind == "model" else _KINDS.get(step.name, "other")


def _passed(step: StepTaken) -> bool:
    return step.ok and step.exit_code in (None, 0)


def _words(step: StepTaken) -> str:
    """Tool and what it is about; arguments may be cut off in the middle of their JSON."""
    try:
        arguments = msgspec.json.decode(step.arguments or "{}")
    except msgspec.DecodeError:
        return step.name
    given = arguments if isinstance(arguments, dict) else {}
    subject = next((given[name] for name in _SUBJECTS if given.get(name)), "")
    return f"{step.name} {subject}".strip()

"""The view of a deliberation: what a person sees, folded from its events. Pure: no terminal, no clock.

Tolerant on purpose: a view never stops at an event that it cannot place, because the log's own fold judges that.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from folkmoot.kernel.events import Event
from folkmoot.kernel.evidence import SuiteKind
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
    ProposalAdmitted,
    ProposalRefused,
    StepTaken,
)
from folkmoot.kernel.result import Ranked, Result, State

BASE = "base"
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

    @property
    def ended(self) -> bool:
        return self in (LaneState.PROPOSED, LaneState.REFUSED, LaneState.FAILED)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One step in a lane's trail."""

    kind: str
    """`model`, `read`, `edit`, `test`, `run`, `commit` or `other`."""
    ok: bool


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    agent_id: str
    persona: str = ""
    state: LaneState = LaneState.WAITING
    attempt: int = 0
    steps: int = 0
    doing: str = ""
    """The last step, in a few words."""
    trail: tuple[Mark, ...] = ()
    tests: bool | None = None
    """How the last run of tests by the agent itself went; None before the first."""
    tokens: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    proposal_id: str = ""
    change: str = ""
    """Size of the proposal, as `+3 -1 in 1 file`."""
    note: str = ""
    """Why it was lost, refused or failed; what it tampered with."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform itself observed of base or of one candidate."""

    subject: str
    suites: tuple[Examined, ...] = ()
    """The tests, each run."""
    checks: tuple[Examined, ...] = ()
    exhibits: tuple[Examined, ...] = ()
    """Tests of peers and test writers, each run."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str = ""
    title: str = ""
    state: State = State.REQUESTED
    checks: tuple[str, ...] = ()
    requested_at: datetime | None = None
    seen_at: datetime | None = None
    """Time of the newest event."""
    base_commit: str = ""
    has_tests: bool = True
    notices: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()
    rows: tuple[Row, ...] = ()
    ranking: tuple[Ranked, ...] = ()
    cancelled_by: str = ""
    result: Result | None = None


def fold(view: View, event: Event) -> View:
    """The view after one more event."""
    moved = _moved(view, event)
    seen = max(view.seen_at or event.time, event.time)
    return msgspec.structs.replace(moved, state=_state(moved), seen_at=seen)


def _moved(view: View, event: Event) -> View:
    change = msgspec.structs.replace
    match event.data:
        case DeliberationRequested(spec=spec):
            named = change(view, task_id=spec.task_id, title=spec.title, checks=spec.checks)
            return change(named, requested_at=event.time)
        case Convened() as fact:
            return _convened(view, fact)
        case Examined() as fact:
            return change(view, rows=_recorded(view.rows, fact))
        case CandidatesRanked(ranking=ranking):
            return change(view, ranking=ranking)
        case CancelRequested(actor=actor):
            return change(view, cancelled_by=view.cancelled_by or actor)
        case DeliberationEnded(result=result):
            return change(view, result=result, ranking=result.ranking or view.ranking)
        case _:
            return change(view, lanes=tuple(_lane(lane, event) for lane in view.lanes))


def _convened(view: View, fact: Convened) -> View:
    return msgspec.structs.replace(
        view,
        base_commit=fact.base.commit,
        has_tests=fact.base.suite is not None,
        notices=fact.base.notices,
        lanes=tuple(Lane(agent_id=s.agent_id, persona=s.persona or s.role) for s in fact.seats),
    )


def _state(view: View) -> State:
    if view.result:
        return view.result.state
    if view.ranking:
        return State.RANKED
    if not view.lanes:
        return State.REQUESTED
    if all(lane.state.ended for lane in view.lanes):
        return State.EXAMINING
    return State.CONVENED if all(lane.state is LaneState.WAITING for lane in view.lanes) else State.PROPOSING


# --- lanes -------------------------------------------------------------------------------------------------------


def _lane(lane: Lane, event: Event) -> Lane:
    """The lane after an event that may be another lane's."""
    match event.data:
        case AttemptStarted(agent_id=agent) as begun if agent == lane.agent_id:
            return _begun(lane, begun, event.time)
        case StepTaken(agent_id=agent) as step if agent == lane.agent_id:
            return _stepped(lane, step, event.time)
        case AttemptLost(agent_id=agent, reason=reason) if agent == lane.agent_id:
            return msgspec.structs.replace(lane, state=LaneState.LOST, note=reason)
        case AgentFailed(agent_id=agent, reason=reason) as failed if agent == lane.agent_id:
            return _closed(lane, LaneState.FAILED, event, note=reason, tokens=_tokens(lane, failed))
        case ProposalRefused(refusal=refusal) as refused if refusal.agent_id == lane.agent_id:
            named = msgspec.structs.replace(lane, proposal_id=refusal.proposal_id)
            return _closed(named, LaneState.REFUSED, event, note=refusal.reason, tokens=_tokens(lane, refused))
        case ProposalAdmitted() as admitted if admitted.admission.agent_id == lane.agent_id:
            return _proposed(lane, admitted, event)
        case _:
            return lane


def _begun(lane: Lane, fact: AttemptStarted, at: datetime) -> Lane:
    change = msgspec.structs.replace
    fresh = change(lane, state=LaneState.WORKING, attempt=fact.attempt, started_at=lane.started_at or at)
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
        attempt=step.attempt,
        started_at=lane.started_at or at,
        steps=max(lane.steps, step.step),
        doing="thinks" if kind == "model" else _words(step),
        trail=(*lane.trail, Mark(kind=kind, ok=step.ok and step.exit_code in (None, 0)))[-TRAIL:],
        tests=_passed(step) if kind == "test" else lane.tests,
        tokens=lane.tokens + used,
    )


def _proposed(lane: Lane, fact: ProposalAdmitted, event: Event) -> Lane:
    admission = fact.admission
    files = len(admission.files)
    size = f"+{admission.lines_added} -{admission.lines_removed} in {files} file{'s' if files != 1 else ''}"
    note = "changed what is protected: " + ", ".join(t.path for t in admission.tampered) if admission.tampered else ""
    named = msgspec.structs.replace(lane, proposal_id=admission.proposal_id, change=size)
    return _closed(named, LaneState.PROPOSED, event, note=note, tokens=_tokens(lane, fact))


def _closed(lane: Lane, state: LaneState, event: Event, *, note: str, tokens: int) -> Lane:
    return msgspec.structs.replace(lane, state=state, ended_at=event.time, note=note, tokens=tokens, doing="")


def _tokens(lane: Lane, fact: AgentFailed | ProposalRefused | ProposalAdmitted) -> int:
    """The log's sum counts also what was spent before one began to watch."""
    return max(lane.tokens, fact.usage.prompt_tokens + fact.usage.completion_tokens)


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
}
_SUBJECTS = ("path", "command", "pattern", "targets", "message", "summary")
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


# --- what the platform observed ----------------------------------------------------------------------------------


def _recorded(rows: tuple[Row, ...], fact: Examined) -> tuple[Row, ...]:
    known = {row.subject: row for row in rows}
    row = known.get(fact.subject, Row(subject=fact.subject))
    return tuple((known | {fact.subject: _with(row, fact)}).values())


def _with(row: Row, fact: Examined) -> Row:
    match fact.kind:
        case SuiteKind.TESTS:
            return msgspec.structs.replace(row, suites=(*row.suites, fact))
        case SuiteKind.CHECK:
            return msgspec.structs.replace(row, checks=(*row.checks, fact))
        case SuiteKind.EXHIBIT:
            return msgspec.structs.replace(row, exhibits=(*row.exhibits, fact))
    return row


def rows_of(examinations: tuple[Examined, ...]) -> tuple[Row, ...]:
    """One row per subject, base first, the rest in the order in which they were examined."""
    rows: tuple[Row, ...] = (Row(subject=BASE),)
    for fact in examinations:
        rows = _recorded(rows, fact)
    return rows


def row(view: View, subject: str) -> Row:
    """What was observed of `subject`; empty when nothing was, so far."""
    return next((r for r in view.rows if r.subject == subject), Row(subject=subject))


def passed(fact: Examined) -> bool:
    """The command ended well and its report can be believed."""
    return fact.end.ok and not fact.report_problem

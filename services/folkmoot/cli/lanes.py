"""The view of a deliberation: what a person sees, folded from its events. Pure: no terminal, no clock.

Tolerant on purpose: a view never stops at an event that it cannot place, because the log's own fold judges that.
"""

from datetime import datetime

import msgspec

from folkmoot.cli.lane import Lane, LaneState, called, moved, proposed
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.events import Event
from folkmoot.kernel.evidence import SuiteKind
from folkmoot.kernel.facts import (
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    Seat,
    Stage,
    Staged,
    Work,
)
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.result import Ranked, Result, State

USUAL = (State.REQUESTED, State.CONVENED, State.PROPOSING, State.EXAMINING)
"""Every deliberation goes through these; those of higher rigor through more, once or again."""
_PHASES = {Stage.CRITIQUE: "critiquing", Stage.REVISE: "revising", Stage.TEST: "testing", Stage.JUDGE: "judging"}


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
    agents: int = 0
    """Of whom something is asked at first."""
    stage: Stage | None = None
    """The last that was begun."""
    course: tuple[str, ...] = USUAL
    """Phases, those that came besides the usual ones behind them."""
    checks: tuple[str, ...] = ()
    requested_at: datetime | None = None
    seen_at: datetime | None = None
    """Time of the newest event."""
    base_commit: str = ""
    has_tests: bool = True
    notices: tuple[str, ...] = ()
    lanes: tuple[Lane, ...] = ()
    """Also of agents of whom nothing was asked so far."""
    rows: tuple[Row, ...] = ()
    ranking: tuple[Ranked, ...] = ()
    cancelled_by: str = ""
    result: Result | None = None

    @property
    def busy(self) -> bool:
        """Somebody has something to do."""
        return any(lane.asked and not lane.state.ended for lane in self.lanes)

    @property
    def phase(self) -> str:
        """The state, or what it does in words of its own where there is no such state."""
        over = self.ranking or self.result
        if not over and (self.stage is Stage.JUDGE or (self.stage is Stage.TEST and self.busy)):
            return _PHASES[self.stage]
        return self.state


def fold(view: View, event: Event) -> View:
    """The view after one more event."""
    moved = _moved(view, event)
    seen = max(view.seen_at or event.time, event.time)
    return msgspec.structs.replace(moved, state=_state(moved), seen_at=seen)


def _moved(view: View, event: Event) -> View:
    change = msgspec.structs.replace
    match event.data:
        case DeliberationRequested(spec=spec):
            named = change(view, task_id=spec.task_id, title=spec.title, checks=spec.checks, agents=spec.agents)
            return change(named, requested_at=event.time)
        case Convened() as fact:
            return _convened(view, fact)
        case Staged() as fact:
            return _staged(view, fact)
        case Examined() as fact:
            return change(view, rows=_recorded(view.rows, fact))
        case CandidatesRanked(ranking=ranking):
            return change(view, ranking=ranking)
        case CancelRequested(actor=actor):
            return change(view, cancelled_by=view.cancelled_by or actor)
        case DeliberationEnded(result=result):
            return change(view, result=result, ranking=result.ranking or view.ranking)
        case _:
            return change(view, lanes=tuple(moved(lane, event) for lane in view.lanes))


def _convened(view: View, fact: Convened) -> View:
    """Where candidates are inherited, their authors have proposed already, and nobody else will."""
    first = 0 if fact.inherited else view.agents or len(fact.seats)
    seats = [_seated(seat, asked=n < first) for n, seat in enumerate(fact.seats)]
    candidates = {admission.agent_id: admission for admission in fact.inherited}
    return msgspec.structs.replace(
        view,
        base_commit=fact.base.commit,
        has_tests=fact.base.suite is not None,
        notices=fact.base.notices,
        lanes=(
            *(proposed(lane, candidates[a]) if (a := AgentId(lane.agent_id)) in candidates else lane for lane in seats),
            *(_seated(helper, asked=False) for helper in fact.helpers),
        ),
    )


def _seated(seat: Seat, *, asked: bool) -> Lane:
    return Lane(agent_id=seat.agent_id, persona=seat.persona or seat.duty or seat.role, duty=seat.duty, asked=asked)


def _staged(view: View, fact: Staged) -> View:
    works = {work.agent_id: work for work in fact.works}
    if fact.stage is Stage.JUDGE:
        judges = (AgentId(lane.agent_id) for lane in view.lanes if lane.duty == "judge")
        works |= {judge: Work(agent_id=judge, phase="judge", round=fact.round) for judge in judges}
    lanes = tuple(called(lane, works[a]) if (a := AgentId(lane.agent_id)) in works else lane for lane in view.lanes)
    phase = _PHASES.get(fact.stage)
    course = (*view.course, phase) if phase and phase not in view.course else view.course
    return msgspec.structs.replace(view, lanes=lanes, stage=fact.stage, course=course)


def _state(view: View) -> State:
    if view.result:
        return view.result.state
    if view.ranking:
        return State.RANKED
    if not view.lanes:
        return State.REQUESTED
    if not view.busy:
        return State.EXAMINING
    if view.stage in (Stage.CRITIQUE, Stage.REVISE):
        return State(_PHASES[view.stage])
    asked = [lane for lane in view.lanes if lane.asked]
    return State.CONVENED if all(lane.state is LaneState.WAITING for lane in asked) else State.PROPOSING


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


def peers(found: Row) -> tuple[int, int]:
    """Of the tests of authors, reviewers and test writers: how many pass here in their last run, and how many ran."""
    last = {fact.name: fact for fact in found.exhibits}.values()
    good = sum(fact.passed for fact in last)
    return good, good + sum(fact.failed for fact in last)


def passed(fact: Examined) -> bool:
    """The command ended well and its report can be believed."""
    return fact.end.ok and not fact.report_problem

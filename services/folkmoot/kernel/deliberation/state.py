"""Where a task stands after its last event. Values only."""

from datetime import datetime

import msgspec

from folkmoot.kernel.analysis.document import Paper
from folkmoot.kernel.events import Head
from folkmoot.kernel.evidence import Admission, ArtifactRef, Exhibit, PreparedBase, Refusal, Verdict
from folkmoot.kernel.facts import (
    CancelRequested,
    CandidatesRanked,
    DeliberationEnded,
    Examined,
    Reviewed,
    Seat,
    Stage,
    Staged,
    Work,
)
from folkmoot.kernel.ids import AgentId, ProposalId, TaskId
from folkmoot.kernel.result import Result, State, Usage
from folkmoot.kernel.task import TaskSpec

BASE = "base"
"""Subject of the examinations of the base itself."""
TESTS = "tests"
"""Name of the examination that runs base's own suite."""
NO_MARKERS = "no conflict marker is left"
"""Name of the check that joins a task's own where its merge conflicts."""
LINT = "lint"
"""Name of the examination by linters."""
LINTED = (".py", ".go")
"""How files end that there is a linter for."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one agent, counted through all its works. At most one runs at a time."""

    started: int = 0
    """Number of the last one that began; 0 for none."""
    lost: int = 0
    """Number of the last one that died."""
    reason: str = ""
    """Why the last one died."""
    work: Work | None = None
    """Of the last one that began."""
    before: int = 0
    """Attempts that its earlier works took."""

    def running(self, work: Work) -> bool:
        return self.work == work and self.started > max(self.lost, self.before)


class Deliberation(msgspec.Struct, frozen=True, kw_only=True):
    spec: TaskSpec
    digest: str
    """Of the request: the same key with another digest is another request."""
    created_at: datetime
    head: Head
    owner: str = ""
    base: PreparedBase | None = None
    seats: tuple[Seat, ...] = ()
    helpers: tuple[Seat, ...] = ()
    """Writers of tests, and the judge: they never propose."""
    context: ArtifactRef | None = None
    """What its agents are told of earlier work."""
    staged: tuple[Staged, ...] = ()
    """Stages so far; without one there is only that of proposing."""
    attempts: dict[AgentId, Attempts] = {}
    done: frozenset[Work] = frozenset()
    """Works that ended, whatever came of them."""
    admissions: tuple[Admission, ...] = ()
    summaries: dict[ProposalId, str] = {}
    refusals: tuple[Refusal, ...] = ()
    papers: tuple[Paper, ...] = ()
    """Documents, where it is an analysis: its candidates."""
    failures: dict[AgentId, str] = {}
    """Agents from which no proposal will come, and why."""
    idle: dict[str, str] = {}
    """Later works that brought nothing, as `agent phase round`, and why."""
    exhibits: tuple[Exhibit, ...] = ()
    reviews: tuple[Reviewed, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    examined: tuple[Examined, ...] = ()
    recorded: frozenset[tuple[str, ...]] = frozenset()
    """Keys of `examined`: thousands in a large council, and each new one is looked for among them."""
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
    def candidates(self) -> frozenset[ProposalId]:
        """Whatever it is that was proposed, and may be chosen."""
        return frozenset([*(a.proposal_id for a in self.admissions), *(p.proposal_id for p in self.papers)])

    @property
    def open(self) -> tuple[Work, ...]:
        """Works that were begun and have not ended."""
        return tuple(w for w in works(self) if w not in self.done)

    @property
    def settled(self) -> frozenset[AgentId]:
        """Agents from which no first proposal is expected any more."""
        return frozenset(w.agent_id for w in self.done if w.phase == "propose")

    def seat(self, agent: AgentId) -> Seat | None:
        """Also a helper's."""
        for seat in (*self.seats, *self.helpers):
            if seat.agent_id == agent:
                return seat
        return None


def key_of(fact: Examined) -> tuple[str, ...]:
    """What makes an examination the same as another."""
    return fact.kind, fact.name, fact.subject, str(fact.run)


def works(state: Deliberation) -> tuple[Work, ...]:
    """Everything that was ever to be done, in the order in which it was decided."""
    if not state.staged:
        return tuple(Work(agent_id=s.agent_id, phase="propose") for s in state.seats)
    return tuple(work for staged in state.staged for work in staged.works)


def was_asked(state: Deliberation, work: Work) -> bool:
    """Whether it is one of `works`."""
    if not state.staged:
        return work in works(state)
    return any(work in staged.works for staged in state.staged)


_STATES = {Stage.CRITIQUE: State.CRITIQUING, Stage.REVISE: State.REVISING}


def _state(d: Deliberation) -> State:
    if d.end:
        return d.end.result.state
    if d.ranked:
        return State.RANKED
    if d.base is None:
        return State.REQUESTED
    if not d.open:
        return State.EXAMINING
    last = d.staged[-1].stage if d.staged else Stage.PROPOSE
    return _STATES.get(last, State.PROPOSING if d.attempts else State.CONVENED)

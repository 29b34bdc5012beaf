"""Of a task: its request, and its course as the owning orchestrator decides it.

In `deliberation.requests.<task_id>`, a work queue, and `deliberation.events.<task_id>`.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec

from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    PreparedBase,
)
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.result import DecidedBy, Ranked, Result
from folkmoot.kernel.task import Budget, ModelChoice, TaskSpec


class DeliberationQueued(Fact, frozen=True, kw_only=True):
    """The un-acked message is the lease on the deliberation."""

    type_name: ClassVar[str] = "folkmoot.deliberation.queued.v1"
    spec: TaskSpec


class DeliberationRequested(Fact, frozen=True, kw_only=True):
    """First event of every deliberation."""

    type_name: ClassVar[str] = "folkmoot.deliberation.requested.v1"
    spec: TaskSpec
    digest: str


class OwnerTook(Fact, frozen=True, kw_only=True):
    """An orchestrator took the lease. Whoever is not the last owner stops."""

    type_name: ClassVar[str] = "folkmoot.deliberation.owner-took.v1"
    owner: str


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the council."""

    agent_id: AgentId
    role: str
    persona: str
    model: ModelChoice
    instructions: str = ""
    """Of the agent's own, behind its persona."""
    temperature: float | None = None
    """None: as configured."""
    tools: tuple[str, ...] = ()
    """Empty: the role's."""
    budget: Budget | None = None
    """None: the task's. A limit of the task's that is lower holds all the same."""
    duty: str = ""
    """Of a helper: `sealed` or `split` (which tests it writes), or `judge`; empty: it proposes."""


class Convened(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.convened.v1"
    base: PreparedBase
    seats: tuple[Seat, ...]
    council: str = ""
    """Name of the council; empty: the default of the task's role."""
    context: ArtifactRef | None = None
    """What agents were told of earlier work; None when there was nothing, or nobody to ask."""
    helpers: tuple[Seat, ...] = ()
    """Seats that never propose: writers of tests, and the judge."""
    inherited: tuple[Admission, ...] = ()
    """Candidates of the task that this one goes on with; their authors have seats."""


class Stage(StrEnum):
    """What a deliberation does next."""

    PROPOSE = "propose"
    CRITIQUE = "critique"
    REVISE = "revise"
    TEST = "test"
    """A writer of tests splits survivors."""
    JUDGE = "judge"
    RANK = "rank"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, one phase, one round: ends with a proposal, findings, tests, or a stated reason for none."""

    agent_id: AgentId
    phase: str
    """`propose`, `review`, `revise` or `test`."""
    round: int = 1


class Staged(Fact, frozen=True, kw_only=True):
    """The owner decided what comes next, and why. A deliberation without one has the one stage of proposing."""

    type_name: ClassVar[str] = "folkmoot.deliberation.staged.v1"
    stage: Stage
    round: int = 1
    works: tuple[Work, ...] = ()
    """That begin with it."""
    pairs: tuple[tuple[ProposalId, ProposalId], ...] = ()
    """That are to be judged, or split by a test."""
    reasons: tuple[str, ...] = ()
    policy: str = ""
    """Version of the jury's policy that it was decided by."""


class CandidatesRanked(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.ranked.v1"
    ranking: tuple[Ranked, ...]
    chosen: ProposalId | None
    decided_by: DecidedBy | None
    confidence: float | None
    reasons: tuple[str, ...]
    policy: str
    """Version of the jury's policy."""
    settle: tuple[str, ...] = ()
    """Where it abstains: what would settle it, as questions and steps for the product owner."""
    wording: int = 1
    """Edition of the words of its reasons: an older decision is told again in its own."""
    numbers: ArtifactRef | None = None
    """The policy itself, as JSON; None: it ships by that version, or the decision is older than this."""


class CancelRequested(Fact, frozen=True, kw_only=True):
    """The one event that any replica may append."""

    type_name: ClassVar[str] = "folkmoot.deliberation.cancel-requested.v1"
    actor: str
    reason: str = ""


class DeliberationEnded(Fact, frozen=True, kw_only=True):
    """Last event of every deliberation: a poll reads this one alone."""

    type_name: ClassVar[str] = "folkmoot.deliberation.ended.v1"
    result: Result
    bundle: ArtifactRef | None = None
    """The winner's commit."""

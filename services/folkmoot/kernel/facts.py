"""Every fact that a log of ours may hold, by subject. Add here; never rename, never remove."""

from typing import ClassVar

import msgspec

from folkmoot.kernel.events import Codec, Fact
from folkmoot.kernel.evidence import Admission, ArtifactRef, CommandEnd, PreparedBase, Refusal, SuiteKind
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId, WorkspaceId
from folkmoot.kernel.result import DecidedBy, Ranked, Result, Usage
from folkmoot.kernel.task import Budget, ModelChoice, Rigor, TaskSpec

# --- agile.events.<story_id>: written by planning ---------------------------------------------------------------


class StorySubmitted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.submitted.v1"
    actor: str
    title: str
    text: str
    repository: str
    base_ref: str = "HEAD"
    checks: tuple[str, ...] = ()
    agents: int
    rigor: Rigor
    model: ModelChoice = ModelChoice()
    workspace: str = "local"
    budget: Budget = Budget()
    digest: str
    """Of the request: tells a repeated submission from another one under the same key."""


class StoryPlanned(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.planned.v1"
    tasks: tuple[TaskId, ...]
    how: str
    """`single`: the story is the one task."""


class TaskReleased(Fact, frozen=True, kw_only=True):
    """The orchestrator turns this into a request."""

    type_name: ClassVar[str] = "folkmoot.story.task-released.v1"
    spec: TaskSpec


class TaskDecided(Fact, frozen=True, kw_only=True):
    """Folded by planning from the deliberation's last event."""

    type_name: ClassVar[str] = "folkmoot.story.task-decided.v1"
    task_id: TaskId
    state: str
    commit: CommitId | None = None


class StoryAccepted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.accepted.v1"
    actor: str
    reason: str = ""


class StorySentBack(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.sent-back.v1"
    actor: str
    reason: str


class StoryCancelled(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.cancelled.v1"
    actor: str
    reason: str = ""


# --- deliberation.requests.<task_id>: work queue ----------------------------------------------------------------


class DeliberationQueued(Fact, frozen=True, kw_only=True):
    """The un-acked message is the lease on the deliberation."""

    type_name: ClassVar[str] = "folkmoot.deliberation.queued.v1"
    spec: TaskSpec


# --- deliberation.events.<task_id>: written by the owning orchestrator ------------------------------------------


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


class Convened(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.convened.v1"
    base: PreparedBase
    seats: tuple[Seat, ...]


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """An agent begins, in a workspace of its own; attempts count from 1."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-started.v1"
    agent_id: AgentId
    attempt: int


class AttemptLost(Fact, frozen=True, kw_only=True):
    """The attempt died under the agent (actor, workspace, runner); a new one may follow."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-lost.v1"
    agent_id: AgentId
    attempt: int
    reason: str


class ProposalAdmitted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-admitted.v1"
    admission: Admission
    summary: str = ""
    """The author's prose: shown to people, never to peers or the jury."""
    usage: Usage = Usage()


class ProposalRefused(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-refused.v1"
    refusal: Refusal
    usage: Usage = Usage()


class AgentFailed(Fact, frozen=True, kw_only=True):
    """A stated failure: no proposal will come from this agent."""

    type_name: ClassVar[str] = "folkmoot.deliberation.agent-failed.v1"
    agent_id: AgentId
    reason: str
    usage: Usage = Usage()


class Examined(Fact, frozen=True, kw_only=True):
    """One examination; its test outcomes lie in the artifact, as JSON of `Examination`."""

    type_name: ClassVar[str] = "folkmoot.deliberation.examined.v1"
    subject: str
    kind: SuiteKind
    name: str
    run: int
    end: CommandEnd
    passed: int
    failed: int
    """Failures and errors."""
    skipped: int
    report_problem: str = ""
    examination: ArtifactRef


class CandidatesRanked(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.ranked.v1"
    ranking: tuple[Ranked, ...]
    chosen: ProposalId | None
    decided_by: DecidedBy | None
    confidence: float | None
    reasons: tuple[str, ...]
    policy: str
    """Version of the jury's policy."""


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


# --- agent.requests / agent.responses.<task_id>.<agent_id> ------------------------------------------------------


class WorkspaceRequested(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.workspace.requested.v1"
    task_id: TaskId
    agent_id: AgentId
    attempt: int
    base: PreparedBase
    ttl_s: float


class WorkspaceReady(Fact, frozen=True, kw_only=True):
    """Its capability token is fetched by gRPC, never stored."""

    type_name: ClassVar[str] = "folkmoot.workspace.ready.v1"
    attempt: int
    workspace_id: WorkspaceId
    endpoint: str
    """gRPC address of the runner that holds it."""


class WorkspaceRefused(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.workspace.refused.v1"
    attempt: int
    reason: str


# --- agent.results.<task_id>.<agent_id>: written by agents ------------------------------------------------------


class AgentFinished(Fact, frozen=True, kw_only=True):
    """One per agent and round; the fence makes a second one impossible."""

    type_name: ClassVar[str] = "folkmoot.agent.finished.v1"
    agent_id: AgentId
    attempt: int
    round: int = 1
    submitted: bool
    reason: str
    """Why it ended: `submitted`, or the limit or failure in words."""
    summary: str = ""
    bundle: ArtifactRef | None = None
    transcript: ArtifactRef | None = None
    usage: Usage = Usage()


# --- agent.steps.<task_id>.<agent_id>: written by agents, kept for a while --------------------------------------


class StepTaken(Fact, frozen=True, kw_only=True):
    """Audit record of one model call or one tool call."""

    type_name: ClassVar[str] = "folkmoot.agent.step.v1"
    agent_id: AgentId
    attempt: int
    step: int
    """Counted from 1 within the attempt."""
    kind: str
    """`model` or `tool`."""
    name: str
    """Tool name, or the model's."""
    arguments: str = ""
    """JSON, cut to 2,000 characters."""
    ok: bool
    exit_code: int | None = None
    duration_s: float
    output: ArtifactRef | None = None
    """The whole output, when it was cut for the model."""
    output_digest: str = ""
    output_bytes: int = 0
    excerpt: str = ""
    """At most 400 characters, for people who watch."""
    usage: Usage = Usage()


# --- parked.<stream> --------------------------------------------------------------------------------------------


class MessageParked(Fact, frozen=True, kw_only=True):
    """A message that nobody could handle: kept with its reason until a person replays it."""

    type_name: ClassVar[str] = "folkmoot.parked.v1"
    stream: str
    subject: str
    seq: int
    deliveries: int
    reason: str
    body: str
    """The original message, as text."""


CODEC = Codec(
    StorySubmitted,
    StoryPlanned,
    TaskReleased,
    TaskDecided,
    StoryAccepted,
    StorySentBack,
    StoryCancelled,
    DeliberationQueued,
    DeliberationRequested,
    OwnerTook,
    Convened,
    AttemptStarted,
    AttemptLost,
    ProposalAdmitted,
    ProposalRefused,
    AgentFailed,
    Examined,
    CandidatesRanked,
    CancelRequested,
    DeliberationEnded,
    WorkspaceRequested,
    WorkspaceReady,
    WorkspaceRefused,
    AgentFinished,
    StepTaken,
    MessageParked,
)

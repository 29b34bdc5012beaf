"""Every fact that a log of ours may hold, by subject. Add here; never rename, never remove."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from folkmoot.kernel.analysis.document import Paper
from folkmoot.kernel.events import Codec, Erased, Fact
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Exhibit,
    Finding,
    PreparedBase,
    Refusal,
    SuiteKind,
    Verdict,
)
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId, WorkspaceId
from folkmoot.kernel.plan import Assessment, Plan, Planning
from folkmoot.kernel.result import DecidedBy, Ranked, Result, Usage
from folkmoot.kernel.task import Budget, ModelChoice, Rigor, Role, TaskKind, TaskSpec

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
    planning: Planning = Planning.SINGLE
    autopilot: bool = True
    """The platform approves the plan by itself, and says so."""
    plan: Plan | None = None
    """Given by the person who submits; only with `planning: given`."""
    role: Role = Role.DEV
    council: str = ""
    carried_from: StoryId = StoryId("")
    """The story that this one goes on with."""
    max_agents: int = 0
    """This and the next two as in `TaskSpec`, for each of its tasks."""
    superseded: tuple[str, ...] = ()
    total: Budget | None = None
    kind: TaskKind = TaskKind.CHANGE
    """Of its one task."""


class StoryAssessed(Fact, frozen=True, kw_only=True):
    """What the coach thinks of the story's text."""

    type_name: ClassVar[str] = "folkmoot.story.assessed.v1"
    actor: str
    assessment: Assessment
    threshold: int
    """The least score with which a story of this rigor is planned."""
    model: str
    repairs: int = 0
    """Answers of the model that could not be used before this one."""
    usage: Usage = Usage()
    """Of all its answers."""


class StoryRevised(Fact, frozen=True, kw_only=True):
    """A person changed what is asked, as an answer to the coach or after sending it back: it is assessed anew."""

    type_name: ClassVar[str] = "folkmoot.story.revised.v1"
    actor: str
    title: str
    text: str
    checks: tuple[str, ...] = ()
    reason: str = ""


class StoryPlanned(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.planned.v1"
    tasks: tuple[TaskId, ...]
    how: str
    """`single`: the story is the one task; else as `Planning`, or `edited`."""
    plan: Plan | None = None
    """None only in logs that are older than plans: the one task of a single plan, approved at once."""
    actor: str = ""
    base: CommitId | None = None
    """What `base_ref` named when it was planned: all its tasks start from there. None: each asks for itself."""
    model: str = ""
    repairs: int = 0
    usage: Usage = Usage()


class PlanApproved(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.plan-approved.v1"
    actor: str
    automatic: bool = False
    """By the autopilot that the story was submitted with."""
    reason: str = ""


class PlanRejected(Fact, frozen=True, kw_only=True):
    """Another plan may follow; its maker is told the reason."""

    type_name: ClassVar[str] = "folkmoot.story.plan-rejected.v1"
    actor: str
    reason: str


class StepFailed(Fact, frozen=True, kw_only=True):
    """Assessing or planning did not come to an end: a person may ask for it again. Or the budget stops releases."""

    type_name: ClassVar[str] = "folkmoot.story.step-failed.v1"
    step: str
    """`assess`, `plan` or `release`."""
    reason: str
    usage: Usage = Usage()


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
    reason: str = ""
    """The first of the deliberation's, for whoever reads the story alone."""
    usage: Usage = Usage()


class StoryAccepted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.accepted.v1"
    actor: str
    reason: str = ""


class StorySentBack(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.story.sent-back.v1"
    actor: str
    reason: str


class StoryCarriedOver(Fact, frozen=True, kw_only=True):
    """What is left is done in another story."""

    type_name: ClassVar[str] = "folkmoot.story.carried-over.v1"
    actor: str
    into: StoryId
    reason: str = ""


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


class AttemptStarted(Fact, frozen=True, kw_only=True):
    """An agent begins, in a workspace of its own; attempts count from 1."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-started.v1"
    agent_id: AgentId
    attempt: int
    """Counts on through all that the agent does in the task."""
    phase: str = "propose"
    """As in `X-Folkmoot-Phase`: `propose`, `review`, `revise` or `test`."""
    round: int = 1


class AttemptLost(Fact, frozen=True, kw_only=True):
    """The attempt died under the agent (actor, workspace, runner); a new one may follow."""

    type_name: ClassVar[str] = "folkmoot.deliberation.attempt-lost.v1"
    agent_id: AgentId
    attempt: int
    reason: str
    usage: Usage = Usage()
    """What it had used as far as that is known."""


class ProposalAdmitted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-admitted.v1"
    admission: Admission
    summary: str = ""
    """The author's prose: shown to people, never to peers or the jury."""
    usage: Usage = Usage()
    round: int = 1


class ProposalRefused(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.proposal-refused.v1"
    refusal: Refusal
    usage: Usage = Usage()
    round: int = 1


class DocumentSubmitted(Fact, frozen=True, kw_only=True):
    """What an agent of an analysis proposes, with its claims checked."""

    type_name: ClassVar[str] = "folkmoot.deliberation.document-submitted.v1"
    paper: Paper
    usage: Usage = Usage()


class AgentFailed(Fact, frozen=True, kw_only=True):
    """A stated failure: no proposal will come from this agent."""

    type_name: ClassVar[str] = "folkmoot.deliberation.agent-failed.v1"
    agent_id: AgentId
    reason: str
    usage: Usage = Usage()


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


class WorkEnded(Fact, frozen=True, kw_only=True):
    """A work that brought nothing more: a revision without a change, a review or a writer of tests that failed."""

    type_name: ClassVar[str] = "folkmoot.deliberation.work-ended.v1"
    work: Work
    reason: str
    failed: bool = False
    usage: Usage = Usage()


class ExhibitAdmitted(Fact, frozen=True, kw_only=True):
    """Tests of one author join the matrix."""

    type_name: ClassVar[str] = "folkmoot.deliberation.exhibit-admitted.v1"
    exhibit: Exhibit


class Reviewed(Fact, frozen=True, kw_only=True):
    """A reviewer is done; the exhibits of its findings stand before it."""

    type_name: ClassVar[str] = "folkmoot.deliberation.reviewed.v1"
    work: Work
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    usage: Usage = Usage()


class TestsWritten(Fact, frozen=True, kw_only=True):
    """A writer of tests is done; the exhibits stand before it."""

    __test__ = False  # not a test case, whatever pytest thinks of the name
    type_name: ClassVar[str] = "folkmoot.deliberation.tests-written.v1"
    work: Work
    exhibits: tuple[str, ...]
    """Ids."""
    usage: Usage = Usage()


class Judged(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.deliberation.judged.v1"
    verdict: Verdict
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
    settle: tuple[str, ...] = ()
    """Where it abstains: what would settle it, as questions and steps for the product owner."""


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
    commit: CommitId | None = None
    """An admitted commit that the agent begins with; None: where base begins."""


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
    """One per agent, phase and round; the fence makes a second one impossible."""

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
    phase: str = "propose"
    findings: tuple[Finding, ...] = ()
    """Of a review, without `exhibit_id`: that is the platform's to give."""
    document: ArtifactRef | None = None
    """What an agent of an analysis hands in, instead of commits."""


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


# --- fleet.events.councils: written by orchestrators -------------------------------------------------------------


class AgentRegistered(Fact, frozen=True, kw_only=True):
    """New, or with another profile than before."""

    type_name: ClassVar[str] = "folkmoot.fleet.agent-registered.v1"
    actor: str
    agent: AgentProfile


class AgentUnregistered(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.fleet.agent-unregistered.v1"
    actor: str
    name: str


class CouncilCreated(Fact, frozen=True, kw_only=True):
    """New, or with other agents than before."""

    type_name: ClassVar[str] = "folkmoot.fleet.council-created.v1"
    actor: str
    council: Council


class CouncilDeleted(Fact, frozen=True, kw_only=True):
    type_name: ClassVar[str] = "folkmoot.fleet.council-deleted.v1"
    actor: str
    name: str


# --- fleet.events.decisions: written by context -----------------------------------------------------------------


class DecisionRecorded(Fact, frozen=True, kw_only=True):
    """Something that a person decided and that later work must know."""

    type_name: ClassVar[str] = "folkmoot.fleet.decision-recorded.v1"
    decision_id: str
    actor: str
    title: str
    text: str
    repository: str = ""
    paths: tuple[str, ...] = ()
    story_id: StoryId = StoryId("")
    task_id: TaskId = TaskId("")


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
    reader: str = ""
    """Durable reader whose service gave it up; empty in logs that are older than this."""


class ParkedReplayed(Fact, frozen=True, kw_only=True):
    """A person had a parked message handled again."""

    type_name: ClassVar[str] = "folkmoot.parked.replayed.v1"
    actor: str
    parked: int
    """Sequence of the parked message in its stream."""
    reader: str = ""
    """Its service handles `body` once more; empty where the message was put back into its queue."""
    subject: str
    seq: int
    """Where the original stood."""
    body: str = ""
    """The original message, as text; empty where it was put back."""


CODEC = Codec(
    StorySubmitted,
    StoryAssessed,
    StoryRevised,
    StoryPlanned,
    PlanApproved,
    PlanRejected,
    StepFailed,
    TaskReleased,
    TaskDecided,
    StoryAccepted,
    StorySentBack,
    StoryCarriedOver,
    StoryCancelled,
    DeliberationQueued,
    DeliberationRequested,
    OwnerTook,
    Convened,
    AttemptStarted,
    AttemptLost,
    ProposalAdmitted,
    ProposalRefused,
    DocumentSubmitted,
    AgentFailed,
    Staged,
    WorkEnded,
    ExhibitAdmitted,
    Reviewed,
    TestsWritten,
    Judged,
    Examined,
    CandidatesRanked,
    CancelRequested,
    DeliberationEnded,
    WorkspaceRequested,
    WorkspaceReady,
    WorkspaceRefused,
    AgentFinished,
    StepTaken,
    AgentRegistered,
    AgentUnregistered,
    CouncilCreated,
    CouncilDeleted,
    DecisionRecorded,
    MessageParked,
    ParkedReplayed,
    Erased,
)

"""Of a story: `agile.events.<story_id>`, written by planning."""

from typing import ClassVar

from folkmoot.kernel.events import Fact
from folkmoot.kernel.ids import CommitId, StoryId, TaskId
from folkmoot.kernel.plan import Assessment, Plan, Planning
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget, ModelChoice, Rigor, Role, TaskKind, TaskSpec


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
    superseded: tuple[str, ...] = ()
    """As in `StorySubmitted`: they join those of before."""
    gating: tuple[str, ...] = ()
    """Tests that are superseded no more."""


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
    superseded: tuple[str, ...] = ()
    """Tests of base that the person confirms as made wrong by the story: they join those of before."""


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


class TaskContinued(Fact, frozen=True, kw_only=True):
    """A task that ended without a commit is gone on with, with the same candidates, by another one: that takes its
    place in the plan."""

    type_name: ClassVar[str] = "folkmoot.story.task-continued.v1"
    task_id: TaskId
    continues: TaskId


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

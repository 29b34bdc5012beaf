"""Of one agent in a task: its workspaces, its results, and its steps, which are kept for a while.

In `agent.requests`, `agent.responses`, `agent.results` and `agent.steps`, each with `.<task_id>.<agent_id>`.
"""

from typing import ClassVar

from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import (
    ArtifactRef,
    Finding,
    PreparedBase,
)
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, WorkspaceId
from folkmoot.kernel.result import Usage


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

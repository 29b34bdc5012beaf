"""What an agent is told, and with what it may work. Travels to a Ray actor by value."""

import msgspec

from folkmoot.kernel.events import Head
from folkmoot.kernel.evidence import TestSuite
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId, WorkspaceId
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget, TaskKind


class ModelEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    name: str
    api_key: str = ""
    """In memory only; never logged, stored, or put into a workspace."""


class WorkspaceGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace and the capability to use it."""

    workspace_id: WorkspaceId
    endpoint: str
    """gRPC address of the runner."""
    token: str
    """In memory only."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate as others see it: without its author. Its texts are fit for a prompt: see `shown`."""

    alias: str
    """`candidate-1`, `candidate-2`, …"""
    proposal_id: ProposalId
    diff: str
    """base..commit; of a document, its text."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, one phase, one workspace."""

    task_id: TaskId
    agent_id: AgentId
    attempt: int
    round: int = 1
    phase: str = "propose"
    """`propose`, `review`, `revise` or `test`."""
    role: str
    persona: str
    title: str
    text: str
    checks: tuple[str, ...]
    base_commit: CommitId
    suite: TestSuite | None
    protected: tuple[str, ...]
    budget: Budget
    model: ModelEndpoint
    workspace: WorkspaceGrant
    result_head: Head
    """Head of `agent.results.<task>.<agent>`: the fence that makes a second result of this phase and round
    impossible."""
    traceparent: str = ""
    """The trace that the run belongs to."""
    instructions: str = ""
    """The agent's own, behind its persona."""
    tools: tuple[str, ...] = ()
    """Of the role's; empty is all of them."""
    temperature: float | None = None
    """None: as configured."""
    paths: tuple[str, ...] = ()
    """That the plan expects to change."""
    context: str = ""
    """Of earlier work: what others wrote, as data."""
    start: CommitId | None = None
    """The author's own commit on base, which a revision begins with; None: the workspace is at base."""
    shown: tuple[Shown, ...] = ()
    """To a reviewer the candidates of others; to a writer of tests the two that are to be told apart."""
    evidence: str = ""
    """What the platform saw, in words for this reader; foreign words in it are quoted."""
    kind: TaskKind = TaskKind.CHANGE
    total: Budget | None = None
    """Limits of the whole task, which its agents share; None: it has none."""
    used: Usage = Usage()
    """By the task, before this run."""

    @property
    def hands_in_document(self) -> bool:
        """Its run ends with a document as the `summary` of `submit`."""
        return self.kind is TaskKind.ANALYSIS and self.phase == "propose"

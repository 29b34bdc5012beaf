"""The answer of a deliberation, in the words of the contract (`moot result --json`)."""

from enum import StrEnum

import msgspec

from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId


class State(StrEnum):
    REQUESTED = "requested"
    CONVENED = "convened"
    PROPOSING = "proposing"
    EXAMINING = "examining"
    CRITIQUING = "critiquing"
    REVISING = "revising"
    RANKED = "ranked"
    DECIDED = "decided"
    ABSTAINED = "abstained"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({State.DECIDED, State.ABSTAINED, State.FAILED, State.CANCELLED})


class DecidedBy(StrEnum):
    """The evidence that singled the winner out."""

    INTEGRITY = "integrity"
    REGRESSION = "regression"
    ACCEPTANCE = "acceptance"
    CROSS_EXAMINATION = "cross_examination"
    SEALED_TESTS = "sealed_tests"
    JUDGING = "judging"
    COST = "cost"
    ONLY_CANDIDATE = "only_candidate"


class Winner(msgspec.Struct, frozen=True, kw_only=True):
    proposal_id: ProposalId
    agent_id: AgentId
    commit: CommitId
    """This and `branch` are empty where the winner is a document."""
    branch: str


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ranking; rank counts from 1, and equal ranks are level."""

    proposal_id: ProposalId
    agent_id: AgentId
    rank: int
    acceptable: bool
    reasons: tuple[str, ...]
    commit: CommitId | None
    """None: the border refused it, or it is a document."""
    scores: dict[str, float]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    wall_s: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Sum of the counts; `wall_s` adds too, so it is agent time, not elapsed time."""
        return Usage(
            model_calls=self.model_calls + other.model_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            wall_s=self.wall_s + other.wall_s,
        )


class Result(msgspec.Struct, frozen=True, kw_only=True):
    task_id: TaskId
    story_id: StoryId
    state: State
    winner: Winner | None = None
    decided_by: DecidedBy | None = None
    confidence: float | None = None
    """Probability that the winner is right, from 0 to 1; docs/decisions.md says how it is taken."""
    reasons: tuple[str, ...] = ()
    ranking: tuple[Ranked, ...] = ()
    usage: Usage = Usage()
    created_at: str = ""
    """RFC 3339, UTC."""
    decided_at: str | None = None
    settle: tuple[str, ...] = ()
    """After an abstention: what would settle it."""
    document: ArtifactRef | None = None
    """Of a decided analysis: JSON of `kernel.analysis.document.Document`."""

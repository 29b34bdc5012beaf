"""Results and tasks between kernel and wire: one place for both directions."""

from datetime import UTC, datetime

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import timestamp
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.fleet import NO_LIMIT
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId
from folkmoot.kernel.plan import united
from folkmoot.kernel.result import DecidedBy, Ranked, Result, State, Usage, Winner
from folkmoot.kernel.task import (
    BACKENDS,
    DEFAULT_AGENTS,
    DEFAULT_MAX_AGENTS,
    Budget,
    ModelChoice,
    Rigor,
    Role,
    TaskKind,
    TaskSpec,
    asked,
)

NO_STORY = StoryId("")
"""The task was asked for directly."""

_STATES = {state: pb.DeliberationState.Value(f"DELIBERATION_STATE_{state.name}") for state in State}
_STATE_NAMES = {number: state for state, number in _STATES.items()}
_DECIDED_BY = {by: pb.DecidedBy.Value(f"DECIDED_BY_{by.name}") for by in DecidedBy}
_DECIDED_BY_NAMES = {number: by for by, number in _DECIDED_BY.items()}


def spec_from_wire(task: pb.Task, task_id: TaskId, story_id: StoryId = NO_STORY, *, backend: str = "local") -> TaskSpec:
    """The task with defaults filled in; `backend` is where this platform has its workspaces. Raises InvalidInput naming
    the wire's field."""
    _require_backend(task.workspace, backend)
    rigor, kind = rigor_from_wire(task.rigor or Rigor.L1), kind_from_wire(task.kind)
    return asked(
        TaskSpec(
            task_id=task_id,
            story_id=story_id,
            title=task.title,
            text=task.text,
            repository=task.repository,
            base_ref=task.base_ref or "HEAD",
            checks=tuple(task.checks),
            agents=task.agents or DEFAULT_AGENTS[rigor],
            max_agents=task.max_agents or _max_agents(task, kind, rigor),
            rigor=rigor,
            model=ModelChoice(url=task.model_url, name=task.model),
            workspace=task.workspace or backend,
            budget=budget_from_wire(task.budget),
            role=role_from_wire(task.role or Role.DEV, "role"),
            council=task.council,
            paths=tuple(task.paths),
            superseded=united(tuple(task.superseded)),
            total=total_from_wire(task),
            kind=kind,
        )
    )


def _require_backend(wanted: str, backend: str) -> None:
    if wanted in BACKENDS and wanted != backend:
        problem = f"this platform has its workspaces in the backend `{backend}`, not `{wanted}`"
        raise InvalidInput("workspace", f"{problem}: FOLKMOOT_RUNNER_BACKEND={wanted} chooses that at its start")


def _max_agents(task: pb.Task, kind: TaskKind, rigor: Rigor) -> int:
    return 0 if task.agents or kind is TaskKind.ANALYSIS else DEFAULT_MAX_AGENTS[rigor]


def kind_from_wire(text: str) -> TaskKind:
    """Merges are the platform's own to ask for. Raises InvalidInput."""
    if text in ("", TaskKind.CHANGE):
        return TaskKind.CHANGE
    if text != TaskKind.ANALYSIS:
        raise InvalidInput("kind", f"{text[:80]!r} is neither `change` nor `analysis`")
    return TaskKind.ANALYSIS


def total_from_wire(task: pb.Task) -> Budget | None:
    """Limits of the whole task; those that are not given do not hold."""
    return budget_from_wire(task.total, NO_LIMIT) if task.HasField("total") else None


def rigor_from_wire(text: str) -> Rigor:
    """Raises InvalidInput."""
    try:
        return Rigor(text)
    except ValueError as error:
        raise InvalidInput("rigor", f"{text[:80]!r} is none of L0, L1, L2, L3") from error


def result_to_wire(result: Result, bundle: ArtifactRef | None = None) -> pb.Result:
    wire = pb.Result(
        task_id=result.task_id,
        story_id=result.story_id,
        state=_STATES[result.state],
        reasons=result.reasons,
        ranking=[_ranked_to_wire(r) for r in result.ranking],
        usage=pb.Usage(
            model_calls=result.usage.model_calls,
            prompt_tokens=result.usage.prompt_tokens,
            completion_tokens=result.usage.completion_tokens,
            cached_tokens=result.usage.cached_tokens,
            wall_s=result.usage.wall_s,
        ),
        created_at=_to_timestamp(result.created_at),
        decided_at=_to_timestamp(result.decided_at),
        confidence=result.confidence,
        settle=result.settle,
    )
    if result.decided_by:
        wire.decided_by = _DECIDED_BY[result.decided_by]
    if result.winner:
        wire.winner.proposal_id = result.winner.proposal_id
        wire.winner.agent_id = result.winner.agent_id
        wire.winner.commit = result.winner.commit
        wire.winner.branch = result.winner.branch
    if result.document:
        wire.document_sha256, wire.document_size = result.document.sha256, result.document.size
    if bundle:
        wire.bundle_sha256, wire.bundle_size = bundle.sha256, bundle.size
    return wire


def result_from_wire(wire: pb.Result) -> Result:
    """The contract's JSON is `msgspec.json.encode` of this."""
    return Result(
        task_id=TaskId(wire.task_id),
        story_id=StoryId(wire.story_id),
        state=_STATE_NAMES[wire.state],
        winner=_winner_from_wire(wire.winner) if wire.HasField("winner") else None,
        decided_by=_DECIDED_BY_NAMES.get(wire.decided_by),
        confidence=wire.confidence if wire.HasField("confidence") else None,
        reasons=tuple(wire.reasons),
        ranking=tuple(_ranked_from_wire(r) for r in wire.ranking),
        usage=Usage(
            model_calls=wire.usage.model_calls,
            prompt_tokens=wire.usage.prompt_tokens,
            completion_tokens=wire.usage.completion_tokens,
            cached_tokens=wire.usage.cached_tokens,
            wall_s=wire.usage.wall_s,
        ),
        created_at=_from_timestamp(wire.created_at),
        decided_at=_from_timestamp(wire.decided_at) if wire.HasField("decided_at") else None,
        settle=tuple(wire.settle),
        document=_document_from_wire(wire),
    )


def _document_from_wire(wire: pb.Result) -> ArtifactRef | None:
    return ArtifactRef(sha256=wire.document_sha256, size=wire.document_size) if wire.document_sha256 else None


def bundle_from_wire(wire: pb.Result) -> ArtifactRef | None:
    return ArtifactRef(sha256=wire.bundle_sha256, size=wire.bundle_size) if wire.bundle_sha256 else None


def budget_from_wire(wire: pb.Budget, otherwise: Budget = Budget()) -> Budget:  # noqa: B008 -- frozen
    """Absent limits are those of `otherwise`."""
    return msgspec.structs.replace(otherwise, **{field.name: value for field, value in wire.ListFields()})


def role_from_wire(text: str, field: str) -> Role:
    """Raises InvalidInput naming `field`."""
    try:
        return Role(text)
    except ValueError as error:
        raise InvalidInput(field, f"{text[:80]!r} is none of {', '.join(Role)}") from error


def _ranked_to_wire(ranked: Ranked) -> pb.RankedProposal:
    return pb.RankedProposal(
        proposal_id=ranked.proposal_id,
        agent_id=ranked.agent_id,
        rank=ranked.rank,
        acceptable=ranked.acceptable,
        reasons=ranked.reasons,
        commit=ranked.commit or "",
        scores=ranked.scores,
    )


def _ranked_from_wire(wire: pb.RankedProposal) -> Ranked:
    return Ranked(
        proposal_id=ProposalId(wire.proposal_id),
        agent_id=AgentId(wire.agent_id),
        rank=wire.rank,
        acceptable=wire.acceptable,
        reasons=tuple(wire.reasons),
        commit=CommitId(wire.commit) if wire.commit else None,
        scores=dict(wire.scores),
    )


def _winner_from_wire(wire: pb.Winner) -> Winner:
    return Winner(
        proposal_id=ProposalId(wire.proposal_id),
        agent_id=AgentId(wire.agent_id),
        commit=CommitId(wire.commit),
        branch=wire.branch,
    )


def _to_timestamp(text: str | None) -> Timestamp | None:
    if not text:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp


def _from_timestamp(stamp: Timestamp) -> str:
    return timestamp(stamp.ToDatetime(tzinfo=UTC))

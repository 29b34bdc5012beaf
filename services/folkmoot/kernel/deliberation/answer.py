"""What a caller is told."""

from collections.abc import Sequence
from datetime import datetime

from folkmoot.kernel.deliberation.state import Deliberation
from folkmoot.kernel.events import timestamp
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.kernel.result import Result, State, Winner


def progress(state: Deliberation, now: datetime) -> Result:
    """What a poll answers: the result once there is one, else how far it is."""
    return state.result or answer(state, state.state, _words(state, now))


def answer(state: Deliberation, as_: State, reasons: Sequence[str], now: datetime | None = None) -> Result:
    """A result in state `as_`, with what is known; `now` is when it was decided. Only `decided` names a winner."""
    ranked, decided = state.ranked, as_ is State.DECIDED
    return Result(
        task_id=state.task_id,
        story_id=state.spec.story_id,
        state=as_,
        winner=_winner(state) if decided else None,
        decided_by=ranked.decided_by if ranked and decided else None,
        confidence=ranked.confidence if ranked and decided else None,
        reasons=tuple(reasons),
        ranking=ranked.ranking if ranked else (),
        usage=state.usage,
        created_at=timestamp(state.created_at),
        decided_at=timestamp(now) if now else None,
        document=_document(state) if decided else None,
        settle=ranked.settle if ranked and as_ is State.ABSTAINED else (),
    )


def branch(task: TaskId) -> str:
    """Where the winner's commit is published."""
    return f"moot/{task}"


def _winner(state: Deliberation) -> Winner:
    chosen = state.ranked.chosen if state.ranked else None
    for paper in state.papers:
        if paper.proposal_id == chosen:
            return Winner(proposal_id=chosen, agent_id=paper.agent_id, commit=CommitId(""), branch="")
    admission = next(a for a in state.admissions if a.proposal_id == chosen)
    return Winner(
        proposal_id=admission.proposal_id,
        agent_id=admission.agent_id,
        commit=CommitId(admission.commit),
        branch=branch(state.task_id),
    )


def _document(state: Deliberation) -> ArtifactRef | None:
    chosen = state.ranked.chosen if state.ranked else None
    return next((p.document for p in state.papers if p.proposal_id == chosen), None)


def _words(state: Deliberation, now: datetime) -> list[str]:
    elapsed = max(0, int((now - state.created_at).total_seconds()))
    words = [f"{state.state}, {elapsed} s after the request"]
    if state.seats:
        words.append(f"{len(state.settled)} of {len(state.seats)} agents are done")
    if state.examined:
        words.append(f"{len(state.examined)} examinations are done")
    if state.cancel:
        words.append(f"{state.cancel.actor} asked to cancel it")
    return words

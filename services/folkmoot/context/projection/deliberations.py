"""Deliberations: seats, proposals, tests and verdicts, decisions, and the files that they touched."""

from collections.abc import Mapping

from folkmoot.context.projection import evidence
from folkmoot.context.projection.nodes import (
    NOTHING,
    agent,
    both,
    commit,
    folders,
    lines,
    linked,
    node,
    place,
    proposal,
    repository_key,
    story,
    task,
)
from folkmoot.kernel.events import Fact, Stored, timestamp
from folkmoot.kernel.evidence import Admission
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    DocumentSubmitted,
    Examined,
    ExhibitAdmitted,
    Judged,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    Seat,
    Staged,
    WorkEnded,
)
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.result import Ranked
from folkmoot.runtime.graph.port import Change, Node

PARTS = ("agent:{}/", "proposal:{}/", *evidence.PARTS, "decision:{}")
"""Ids of the nodes that belong to one task alone."""


def change(task_id: TaskId, stored: Stored, known: Mapping[str, str]) -> Change:
    """`known` holds the properties of the task's node so far."""
    fact = stored.event.data
    match fact:
        case DeliberationRequested():
            return _requested(task_id, fact, timestamp(stored.event.time))
        case Convened():
            return _convened(task_id, fact, known)
        case AttemptStarted() | AttemptLost() | AgentFailed():
            return _agent_event(task_id, fact)
        case ProposalAdmitted():
            return _admitted(task_id, fact.admission, fact.summary, known)
        case ProposalRefused():
            refused = proposal(task_id, fact.refusal.proposal_id, refused=fact.refusal.reason)
            return linked(agent(task_id, fact.refusal.agent_id), "PROPOSED", refused)
        case DocumentSubmitted(paper=paper):
            document = proposal(task_id, paper.proposal_id, document=paper.kind)
            return both(
                linked(agent(task_id, paper.agent_id), "PROPOSED", document),
                linked(document, "ANSWERS", task(task_id)),
            )
        case CandidatesRanked():
            return _ranked(task_id, fact)
        case CancelRequested():
            return Change(nodes=(task(task_id, cancel_wish=f"{fact.actor}: {fact.reason}"),))
        case DeliberationEnded():
            return _ended(task_id, fact)
    return _evidence(task_id, fact, known)


def _evidence(task_id: TaskId, fact: Fact, known: Mapping[str, str]) -> Change:
    match fact:
        case Examined():
            return evidence.examined(task_id, fact, known)
        case ExhibitAdmitted():
            return evidence.exhibit(task_id, fact)
        case Reviewed():
            return evidence.reviewed(task_id, fact)
        case Judged():
            return evidence.judged(task_id, fact)
        case Staged():
            return evidence.staged(task_id, fact)
        case WorkEnded():
            return evidence.brought_nothing(task_id, fact)
    return NOTHING


def _requested(task_id: TaskId, fact: DeliberationRequested, created_at: str) -> Change:
    spec = fact.spec
    asked = task(
        task_id,
        state="requested",
        title=spec.title,
        text=spec.text,
        checks=lines(spec.checks),
        repository=repository_key(spec.repository),
        base_ref=spec.base_ref,
        rigor=spec.rigor,
        kind=spec.kind,
        role=spec.role,
        council=spec.council,
        paths=lines(spec.paths),
        superseded=lines(spec.superseded),
        story=spec.story_id,
        created_at=created_at,
    )
    return both(
        linked(asked, "BUILDS_ON", *(task(t) for t in spec.depends_on)),
        linked(asked, "MERGES", *(commit(c) for c in spec.merge)),
        linked(asked, "CONTINUES", *([task(spec.continues)] if spec.continues else [])),
        linked(story(spec.story_id), "HAS", asked) if spec.story_id else NOTHING,
    )


def _convened(task_id: TaskId, fact: Convened, known: Mapping[str, str]) -> Change:
    base = fact.base
    there = {**known, "repository_id": base.repository_id}
    convened = {"council_sat": fact.council, "conflicts": lines(base.conflicts)}
    where = task(task_id, state="convened", repository_id=base.repository_id, base=base.commit, **convened)
    return both(
        linked(where, "SEATS", *(_seat(task_id, s) for s in (*fact.seats, *fact.helpers))),
        linked(where, "STARTS_FROM", commit(base.commit)),
        *(_admitted(task_id, a, "", there) for a in fact.inherited),
    )


def _seat(task_id: TaskId, seat: Seat) -> Node:
    said = {"role": seat.role, "persona": seat.persona, "model": seat.model.name}
    return agent(task_id, seat.agent_id, **said, **({"duty": seat.duty} if seat.duty else {}))


def _agent_event(task_id: TaskId, fact: AttemptStarted | AttemptLost | AgentFailed) -> Change:
    match fact:
        case AttemptStarted():
            return Change(nodes=(agent(task_id, fact.agent_id, attempts=str(fact.attempt)),))
        case AttemptLost():
            return Change(nodes=(agent(task_id, fact.agent_id, lost=fact.reason),))
        case AgentFailed():
            return Change(nodes=(agent(task_id, fact.agent_id, failed=fact.reason),))


def _admitted(task_id: TaskId, a: Admission, summary: str, known: Mapping[str, str]) -> Change:
    candidate = proposal(
        task_id,
        a.proposal_id,
        summary=summary,
        tree=a.tree,
        lines_added=str(a.lines_added),
        lines_removed=str(a.lines_removed),
    )
    return both(
        linked(agent(task_id, a.agent_id), "PROPOSED", candidate),
        linked(candidate, "ANSWERS", task(task_id)),
        linked(candidate, "IS", commit(a.commit)),
        _files(task_id, candidate, a, known),
    )


def _files(task_id: TaskId, candidate: Node, a: Admission, known: Mapping[str, str]) -> Change:
    """A file is the same one in all tasks of its repository; a task TOUCHED the folders around it too."""
    key, where = known.get("repository", ""), {"repository_id": known.get("repository_id", "")}
    changed = [place(key, path, **where) for path in a.files]
    protected = [place(key, t.path, **where) for t in a.tampered]
    around = sorted({folder for path in a.files for folder in folders(path)})
    return both(
        linked(candidate, "CHANGES", *changed),
        linked(candidate, "TAMPERS_WITH", *protected),
        linked(task(task_id), "TOUCHED", *changed, *(place(key, folder, **where) for folder in around)),
    )


def _ranked(task_id: TaskId, fact: CandidatesRanked) -> Change:
    decision = node(
        f"decision:{task_id}",
        "Decision",
        decided_by=fact.decided_by or "",
        confidence="" if fact.confidence is None else f"{fact.confidence:.3f}",
        reasons=lines(fact.reasons),
        policy=fact.policy,
        settle=lines(fact.settle),
    )
    chosen = [proposal(task_id, fact.chosen)] if fact.chosen else []
    return both(
        linked(task(task_id, state="ranked"), "ENDS_IN", decision),
        linked(decision, "RANKS", *(_standing(task_id, r) for r in fact.ranking)),
        linked(decision, "CHOOSES", *chosen),
    )


def _standing(task_id: TaskId, line: Ranked) -> Node:
    acceptable = "true" if line.acceptable else "false"
    return proposal(task_id, line.proposal_id, rank=str(line.rank), acceptable=acceptable, reasons=lines(line.reasons))


def _ended(task_id: TaskId, fact: DeliberationEnded) -> Change:
    result = fact.result
    named = result.winner if result.winner and result.winner.commit else None
    winner = {"commit": named.commit, "branch": named.branch} if named else {}
    said = {"decided_at": result.decided_at or "", "reasons": lines(result.reasons)}
    return Change(nodes=(task(task_id, state=result.state, **said, **winner),))

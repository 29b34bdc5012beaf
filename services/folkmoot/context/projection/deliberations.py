"""Deliberations: seats, proposals, tests and verdicts, decisions, and the files that they touched."""

from collections.abc import Mapping

from folkmoot.context.projection.nodes import (
    NOTHING,
    both,
    commit,
    folders,
    lines,
    linked,
    node,
    place,
    repository_key,
    story,
    task,
)
from folkmoot.kernel import ids
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.events import Stored, timestamp
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
    Examined,
    ProposalAdmitted,
    ProposalRefused,
)
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.kernel.result import Ranked
from folkmoot.runtime.graph.port import Change, Node

PARTS = ("agent:{}/", "proposal:{}/", "test:{}/", "verdict:{}/", "decision:{}")
"""Ids of the nodes that belong to one task alone."""


def change(task_id: TaskId, stored: Stored, known: Mapping[str, str]) -> Change:
    """`known` holds the properties of the task's node so far."""
    fact = stored.event.data
    match fact:
        case DeliberationRequested():
            return _requested(task_id, fact, timestamp(stored.event.time))
        case Convened():
            return _convened(task_id, fact)
        case AttemptStarted() | AttemptLost() | AgentFailed():
            return _agent_event(task_id, fact)
        case ProposalAdmitted():
            return _admitted(task_id, fact, known)
        case ProposalRefused():
            refused = _proposal(task_id, fact.refusal.proposal_id, refused=fact.refusal.reason)
            return linked(_agent(task_id, fact.refusal.agent_id), "PROPOSED", refused)
        case Examined():
            return _examined(task_id, fact, known)
        case CandidatesRanked():
            return _ranked(task_id, fact)
        case CancelRequested():
            return Change(nodes=(task(task_id, cancel_wish=f"{fact.actor}: {fact.reason}"),))
        case DeliberationEnded():
            return _ended(task_id, fact)
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
        story=spec.story_id,
        created_at=created_at,
    )
    return both(
        linked(asked, "BUILDS_ON", *(task(t) for t in spec.depends_on)),
        linked(asked, "MERGES", *(commit(c) for c in spec.merge)),
        linked(story(spec.story_id), "HAS", asked) if spec.story_id else NOTHING,
    )


def _convened(task_id: TaskId, fact: Convened) -> Change:
    base = fact.base
    convened = {"council_sat": fact.council, "conflicts": lines(base.conflicts)}
    where = task(task_id, state="convened", repository_id=base.repository_id, base=base.commit, **convened)
    seats = [
        node(_agent(task_id, s.agent_id).id, "Agent", role=s.role, persona=s.persona, model=s.model.name)
        for s in fact.seats
    ]
    return both(linked(where, "SEATS", *seats), linked(where, "STARTS_FROM", commit(base.commit)))


def _agent_event(task_id: TaskId, fact: AttemptStarted | AttemptLost | AgentFailed) -> Change:
    id_ = _agent(task_id, fact.agent_id).id
    match fact:
        case AttemptStarted():
            return Change(nodes=(node(id_, "Agent", attempts=str(fact.attempt)),))
        case AttemptLost():
            return Change(nodes=(node(id_, "Agent", lost=fact.reason),))
        case AgentFailed():
            return Change(nodes=(node(id_, "Agent", failed=fact.reason),))


def _admitted(task_id: TaskId, fact: ProposalAdmitted, known: Mapping[str, str]) -> Change:
    a = fact.admission
    proposal = _proposal(
        task_id,
        a.proposal_id,
        summary=fact.summary,
        tree=a.tree,
        lines_added=str(a.lines_added),
        lines_removed=str(a.lines_removed),
    )
    return both(
        linked(_agent(task_id, a.agent_id), "PROPOSED", proposal),
        linked(proposal, "ANSWERS", task(task_id)),
        linked(proposal, "IS", commit(a.commit)),
        _files(task_id, proposal, a, known),
    )


def _files(task_id: TaskId, proposal: Node, a: Admission, known: Mapping[str, str]) -> Change:
    """A file is the same one in all tasks of its repository; a task TOUCHED the folders around it too."""
    key, where = known.get("repository", ""), {"repository_id": known.get("repository_id", "")}
    changed = [place(key, path, **where) for path in a.files]
    protected = [place(key, t.path, **where) for t in a.tampered]
    around = sorted({folder for path in a.files for folder in folders(path)})
    return both(
        linked(proposal, "CHANGES", *changed),
        linked(proposal, "TAMPERS_WITH", *protected),
        linked(task(task_id), "TOUCHED", *changed, *(place(key, folder, **where) for folder in around)),
    )


def _examined(task_id: TaskId, fact: Examined, known: Mapping[str, str]) -> Change:
    name = f"test:{task_id}/{ids.derived(fact.kind, fact.name)}"
    test = node(name, "Test", name=fact.name, kind=fact.kind)
    ended = f"exit {fact.end.exit_code}" if fact.end.signal is None else f"signal {fact.end.signal}"
    verdict = node(
        f"verdict:{task_id}/{fact.subject}/{ids.derived(fact.kind, fact.name)}/{fact.run}",
        "Verdict",
        passed=str(fact.passed),
        failed=str(fact.failed),
        skipped=str(fact.skipped),
        ended=fact.end.limit or ended,
        problem=fact.report_problem,
        examination=fact.examination.sha256,
    )
    on = commit(known.get("base", "")) if fact.subject == BASE else _proposal(task_id, fact.subject)
    return both(linked(verdict, "OF", test), linked(verdict, "ON", on), linked(task(task_id), "TESTED_BY", test))


def _ranked(task_id: TaskId, fact: CandidatesRanked) -> Change:
    decision = node(
        f"decision:{task_id}",
        "Decision",
        decided_by=fact.decided_by or "",
        confidence="" if fact.confidence is None else f"{fact.confidence:.3f}",
        reasons=lines(fact.reasons),
        policy=fact.policy,
    )
    chosen = [_proposal(task_id, fact.chosen)] if fact.chosen else []
    return both(
        linked(task(task_id, state="ranked"), "ENDS_IN", decision),
        linked(decision, "RANKS", *(_standing(task_id, r) for r in fact.ranking)),
        linked(decision, "CHOOSES", *chosen),
    )


def _standing(task_id: TaskId, line: Ranked) -> Node:
    acceptable = "true" if line.acceptable else "false"
    return _proposal(task_id, line.proposal_id, rank=str(line.rank), acceptable=acceptable, reasons=lines(line.reasons))


def _ended(task_id: TaskId, fact: DeliberationEnded) -> Change:
    result = fact.result
    winner = {"commit": result.winner.commit, "branch": result.winner.branch} if result.winner else {}
    said = {"decided_at": result.decided_at or "", "reasons": lines(result.reasons)}
    return Change(nodes=(task(task_id, state=result.state, **said, **winner),))


def _agent(task_id: TaskId, agent: AgentId) -> Node:
    """An agent is one seat of one task: the same name elsewhere is another run."""
    return node(f"agent:{task_id}/{agent}", "Agent", name=agent)


def _proposal(task_id: TaskId, proposal: str, **properties: str) -> Node:
    return node(f"proposal:{task_id}/{proposal}", "Proposal", **properties)

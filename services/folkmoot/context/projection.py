"""What each event of the logs does to the graph. Pure: the same log gives the same graph, whenever it is replayed.

Properties that two streams write to one node have different names, so that the order between streams never matters.
"""

from collections.abc import Mapping

from folkmoot.kernel import ids
from folkmoot.kernel.deliberation import BASE
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
    Examined,
    ProposalAdmitted,
    ProposalRefused,
    StoryAccepted,
    StoryCancelled,
    StoryPlanned,
    StorySentBack,
    StorySubmitted,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.kernel.result import Ranked
from folkmoot.runtime.graph.port import Change, Edge, Node

MAX_PROPERTY_CHARS = 1_000
"""The graph points, the log tells: whoever needs the whole text reads it there."""

NOTHING = Change()


def project(stored: Stored, task: Mapping[str, str]) -> Change:
    """The change for one event; `task` holds the properties of its task's node so far (empty for a story)."""
    key = stored.event.subject.rpartition(".")[2]
    if stored.event.subject.startswith("agile."):
        return _of_story(f"story:{key}", stored)
    return _of_deliberation(TaskId(key), stored, task)


def task_node(subject: str) -> str:
    """Id of the node of the task whose log `subject` is; of none, when it is a story's."""
    return f"task:{subject.rpartition('.')[2]}"


# --- stories -----------------------------------------------------------------------------------------------------


def _of_story(story: str, stored: Stored) -> Change:
    fact = stored.event.data
    match fact:
        case StorySubmitted():
            made = timestamp(stored.event.time)
            what = {"title": fact.title, "repository": fact.repository, "actor": fact.actor, "created_at": made}
            return Change(nodes=(_node(story, "Story", state="submitted", **what),))
        case StoryPlanned():
            tasks = tuple(_node(f"task:{t}", "Task") for t in fact.tasks)
            return _linked(_node(story, "Story", state="planned"), "PLANNED", *tasks)
        case TaskReleased():
            task = _node(f"task:{fact.spec.task_id}", "Task")
            return _linked(_node(story, "Story", state="released"), "RELEASED", task)
        case TaskDecided():
            return _linked(_node(story, "Story"), "DECIDED", _node(f"task:{fact.task_id}", "Task"))
    return _person_said(story, fact)


def _person_said(story: str, fact: Fact) -> Change:
    match fact:
        case StoryAccepted():
            said = "accepted"
        case StorySentBack():
            said = "sent_back"
        case StoryCancelled():
            said = "cancelled"
        case _:
            return NOTHING
    return Change(nodes=(_node(story, "Story", state=said, said_by=fact.actor, reason=fact.reason),))


# --- deliberations -----------------------------------------------------------------------------------------------


def _of_deliberation(task: TaskId, stored: Stored, known: Mapping[str, str]) -> Change:
    fact = stored.event.data
    match fact:
        case DeliberationRequested():
            return _requested(task, fact, timestamp(stored.event.time))
        case Convened():
            return _convened(task, fact)
        case AttemptStarted() | AttemptLost() | AgentFailed():
            return _agent_event(task, fact)
        case ProposalAdmitted():
            return _admitted(task, fact, known)
        case ProposalRefused():
            refused = _proposal(task, fact.refusal.proposal_id, refused=fact.refusal.reason)
            return _linked(_agent(task, fact.refusal.agent_id), "PROPOSED", refused)
        case Examined():
            return _examined(task, fact, known)
        case CandidatesRanked():
            return _ranked(task, fact)
        case CancelRequested():
            return Change(nodes=(_task(task, cancel_wish=f"{fact.actor}: {fact.reason}"),))
        case DeliberationEnded():
            return _ended(task, fact)
    return NOTHING


def _requested(task: TaskId, fact: DeliberationRequested, created_at: str) -> Change:
    spec = fact.spec
    what = {"title": spec.title, "repository": spec.repository, "base_ref": spec.base_ref, "rigor": spec.rigor}
    node = _task(task, state="requested", created_at=created_at, **what)
    if not spec.story_id:
        return Change(nodes=(node,))
    return _linked(_node(f"story:{spec.story_id}", "Story"), "HAS", node)


def _convened(task: TaskId, fact: Convened) -> Change:
    base = fact.base
    where = _task(task, state="convened", repository_id=base.repository_id, base=base.commit)
    seats = [_node(_agent(task, s.agent_id).id, "Agent", role=s.role, model=s.model.name) for s in fact.seats]
    return _both(_linked(where, "SEATS", *seats), _linked(where, "STARTS_FROM", _commit(base.commit)))


def _agent_event(task: TaskId, fact: AttemptStarted | AttemptLost | AgentFailed) -> Change:
    id_ = _agent(task, fact.agent_id).id
    match fact:
        case AttemptStarted():
            return Change(nodes=(_node(id_, "Agent", attempts=str(fact.attempt)),))
        case AttemptLost():
            return Change(nodes=(_node(id_, "Agent", lost=fact.reason),))
        case AgentFailed():
            return Change(nodes=(_node(id_, "Agent", failed=fact.reason),))


def _admitted(task: TaskId, fact: ProposalAdmitted, known: Mapping[str, str]) -> Change:
    a = fact.admission
    proposal = _proposal(
        task,
        a.proposal_id,
        summary=fact.summary,
        tree=a.tree,
        lines_added=str(a.lines_added),
        lines_removed=str(a.lines_removed),
    )
    return _both(
        _linked(_agent(task, a.agent_id), "PROPOSED", proposal),
        _linked(proposal, "ANSWERS", _task(task)),
        _linked(proposal, "IS", _commit(a.commit)),
        _files(proposal, a, known.get("repository_id", "")),
    )


def _files(proposal: Node, a: Admission, repository: str) -> Change:
    """A file is the same one in all tasks of its repository."""
    changed = [_file(repository, path) for path in a.files]
    protected = [_file(repository, t.path) for t in a.tampered]
    return _both(_linked(proposal, "CHANGES", *changed), _linked(proposal, "TAMPERS_WITH", *protected))


def _examined(task: TaskId, fact: Examined, known: Mapping[str, str]) -> Change:
    name = f"test:{task}/{ids.derived(fact.kind, fact.name)}"
    test = _node(name, "Test", name=fact.name, kind=fact.kind)
    ended = f"exit {fact.end.exit_code}" if fact.end.signal is None else f"signal {fact.end.signal}"
    verdict = _node(
        f"verdict:{task}/{fact.subject}/{ids.derived(fact.kind, fact.name)}/{fact.run}",
        "Verdict",
        passed=str(fact.passed),
        failed=str(fact.failed),
        skipped=str(fact.skipped),
        ended=fact.end.limit or ended,
        problem=fact.report_problem,
        examination=fact.examination.sha256,
    )
    on = _commit(known.get("base", "")) if fact.subject == BASE else _proposal(task, fact.subject)
    return _both(_linked(verdict, "OF", test), _linked(verdict, "ON", on), _linked(_task(task), "TESTED_BY", test))


def _ranked(task: TaskId, fact: CandidatesRanked) -> Change:
    decision = _node(
        f"decision:{task}",
        "Decision",
        decided_by=fact.decided_by or "",
        confidence="" if fact.confidence is None else f"{fact.confidence:.3f}",
        reasons="\n".join(fact.reasons),
        policy=fact.policy,
    )
    chosen = [_proposal(task, fact.chosen)] if fact.chosen else []
    return _both(
        _linked(_task(task, state="ranked"), "ENDS_IN", decision),
        _linked(decision, "RANKS", *(_standing(task, r) for r in fact.ranking)),
        _linked(decision, "CHOOSES", *chosen),
    )


def _standing(task: TaskId, line: Ranked) -> Node:
    acceptable = "true" if line.acceptable else "false"
    return _proposal(
        task, line.proposal_id, rank=str(line.rank), acceptable=acceptable, reasons="\n".join(line.reasons)
    )


def _ended(task: TaskId, fact: DeliberationEnded) -> Change:
    result = fact.result
    reasons = "\n".join(result.reasons)
    return Change(nodes=(_task(task, state=result.state, decided_at=result.decided_at or "", reasons=reasons),))


# --- nodes -------------------------------------------------------------------------------------------------------


def _node(id_: str, label: str, /, **properties: str) -> Node:
    cut = {name: str(value)[:MAX_PROPERTY_CHARS] for name, value in properties.items()}
    return Node(id=id_, kind=label, properties=cut)


def _task(task: TaskId, **properties: str) -> Node:
    return _node(f"task:{task}", "Task", **properties)


def _agent(task: TaskId, agent: AgentId) -> Node:
    """An agent is one seat of one task: the same name elsewhere is another run."""
    return _node(f"agent:{task}/{agent}", "Agent", name=agent)


def _proposal(task: TaskId, proposal: str, **properties: str) -> Node:
    return _node(f"proposal:{task}/{proposal}", "Proposal", **properties)


def _commit(commit: str) -> Node:
    return _node(f"commit:{commit}", "Commit")


def _file(repository: str, path: str) -> Node:
    return _node(f"file:{ids.derived('f', repository, path)}", "File", path=path, repository_id=repository)


def _linked(start: Node, kind: str, *ends: Node) -> Change:
    return Change(nodes=(start, *ends), edges=tuple(Edge(from_id=start.id, kind=kind, to_id=e.id) for e in ends))


def _both(*changes: Change) -> Change:
    return Change(
        nodes=tuple(n for change in changes for n in change.nodes),
        edges=tuple(e for change in changes for e in change.edges),
    )

"""How a task was decided, in words for people. Pure."""

from collections.abc import Iterable, Iterator

from folkmoot.context.markdown import fenced, plain
from folkmoot.context.rows import Evidence
from folkmoot.kernel.result import State
from folkmoot.runtime.graph.port import Node

_OPEN = "It is not decided yet"
_ENDS = {
    State.DECIDED: "A candidate was chosen",
    State.ABSTAINED: "No candidate was chosen",
    State.FAILED: "It failed",
    State.CANCELLED: "It was cancelled",
}


def explained(evidence: Evidence) -> str:
    """Markdown; what others wrote stands in fences."""
    task = evidence.task.task
    sections = [
        f"# How task `{_id(task)}` was decided\n",
        fenced(task.properties.get("title", "")) if task.properties.get("title") else "",
        f"{_outcome(evidence)}\n",
        _section("Why", [task.properties.get("reasons", "")]),
        _section("Candidates", _candidates(evidence)),
        _section("What was run", _runs(evidence)),
        _section("Agents that proposed nothing", _failures(evidence.agents)),
        _section("On record", (_record(decision) for decision in evidence.recorded)),
    ]
    return "\n".join(section for section in sections if section)


def nodes(evidence: Evidence) -> list[Node]:
    """All that it rests on, sorted by id, each once."""
    rows = evidence.task
    own = [rows.task, *rows.candidates, *filter(None, (rows.decision, rows.chosen))]
    beside = [*evidence.agents, *evidence.proposals, *evidence.tests, *evidence.verdicts, *evidence.recorded]
    by_id = {node.id: node for node in (*own, *beside)}
    return [by_id[i] for i in sorted(by_id)]


def _id(node: Node) -> str:
    return node.id.partition(":")[2]


def _section(heading: str, lines: Iterable[str]) -> str:
    body = "\n".join(line for line in lines if line.strip())
    return f"## {heading}\n\n{fenced(body)}" if body else ""


def _outcome(evidence: Evidence) -> str:
    task, decision = evidence.task.task.properties, evidence.task.decision
    state = task.get("state", "")
    words = _ENDS[State(state)] if state in _ENDS else f"{_OPEN}: {state or 'not begun'}"
    weighed = decision.properties if decision else {}
    by = f", by {weighed['decided_by']}" if weighed.get("decided_by") else ""
    confidence = f", with confidence {weighed['confidence']}" if weighed.get("confidence") else ""
    commit = f": commit `{plain(task['commit'])}`" if task.get("commit") else ""
    return f"{words}{by}{confidence}{commit}."


def _candidates(evidence: Evidence) -> Iterator[str]:
    ranked = evidence.task.candidates
    refused = [n for n in evidence.proposals if n.properties.get("refused") and n not in ranked]
    for candidate in (*ranked, *refused):
        said = candidate.properties
        good = "acceptable" if said.get("acceptable") == "true" else "not acceptable"
        yield f"{said.get('rank', '-')}. {_id(candidate).partition('/')[2]}, {good}"
        for reason in (said.get("reasons") or said.get("refused", "")).splitlines():
            yield f"   - {reason}"


def _runs(evidence: Evidence) -> Iterator[str]:
    names = {test.id: test.properties for test in evidence.tests}
    for verdict in evidence.verdicts:
        subject, _, run = verdict.id.partition("/")[2].partition("/")
        test, said = names.get(evidence.test_of[verdict.id], {}), verdict.properties
        counts = ", ".join(f"{said.get(word, '0')} {word}" for word in ("passed", "failed", "skipped"))
        problem = f"; {said['problem']}" if said.get("problem") else ""
        what = f"{test.get('name', '')} (run {run.rpartition('/')[2]})"
        yield f"{subject}: {what}: {counts}, {said.get('ended', '')}{problem}"


def _failures(agents: Iterable[Node]) -> Iterator[str]:
    for agent in agents:
        if agent.properties.get("failed"):
            yield f"{agent.properties.get('name', _id(agent))}: {agent.properties['failed']}"


def _record(decision: Node) -> str:
    said = decision.properties
    return f"{said.get('title', '')}, by {said.get('actor', '')}\n{said.get('text', '')}"

"""Evidence: tests of all authors, what came of them on each candidate, critique, and what judges said."""

from collections.abc import Iterator, Mapping

from folkmoot.context.projection.nodes import agent, both, commit, lines, linked, node, proposal, task
from folkmoot.kernel import ids
from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Finding, SuiteKind
from folkmoot.kernel.facts import Examined, ExhibitAdmitted, Judged, Reviewed, Staged, WorkEnded
from folkmoot.kernel.ids import TaskId
from folkmoot.runtime.graph.port import Change, Node

PARTS = ("test:{}/", "verdict:{}/", "critique:{}/")
"""Ids of the nodes that belong to one task alone."""


def examined(task_id: TaskId, fact: Examined, known: Mapping[str, str]) -> Change:
    """`known` holds the properties of the task's node. Each run is a verdict, and joins candidate and tests."""
    test = _test(task_id, fact.kind, fact.name)
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
    base = fact.subject == BASE
    on = commit(known.get("base", "")) if base else proposal(task_id, fact.subject)
    good = fact.end.ok and not fact.report_problem
    return both(
        linked(verdict, "OF", test),
        linked(verdict, "ON", on),
        linked(task(task_id), "TESTED_BY", test),
        linked(on, "PASSES" if good else "FAILS", *(() if base else (test,))),
    )


def exhibit(task_id: TaskId, fact: ExhibitAdmitted) -> Change:
    found = fact.exhibit
    said = {"source": found.source, "round": str(found.round), "paths": lines(found.pack.paths)}
    test = _test(task_id, SuiteKind.EXHIBIT, found.exhibit_id, **said)
    came_with = [proposal(task_id, found.proposal_id)] if found.proposal_id else []
    return both(
        linked(agent(task_id, found.author), "WROTE", test),
        linked(task(task_id), "TESTED_BY", test),
        linked(test, "CAME_WITH", *came_with),
    )


def reviewed(task_id: TaskId, fact: Reviewed) -> Change:
    reviewer = agent(task_id, fact.work.agent_id)
    return both(linked(reviewer, "RAISED"), *_critiques(task_id, fact, reviewer))


def _critiques(task_id: TaskId, fact: Reviewed, reviewer: Node) -> Iterator[Change]:
    for number, finding in enumerate(fact.findings, 1):
        critique = _critique(f"critique:{task_id}/{fact.work.agent_id}/{fact.work.round}/{number}", finding)
        shown = [_test(task_id, SuiteKind.EXHIBIT, finding.exhibit_id)] if finding.exhibit_id else []
        yield both(
            linked(reviewer, "RAISED", critique),
            linked(critique, "SPEAKS_AGAINST", proposal(task_id, finding.proposal_id)),
            linked(critique, "SHOWN_BY", *shown),
        )


def _critique(id_: str, finding: Finding) -> Node:
    said = {"text": finding.claim, "severity": finding.severity, "path": finding.path, "problem": finding.problem}
    return node(id_, "Critique", **said)


def judged(task_id: TaskId, fact: Judged) -> Change:
    """The pair's name does not depend on which of them was shown first."""
    said = fact.verdict
    pair = sorted((said.one, said.other))
    verdict = node(
        f"verdict:{task_id}/judged/{ids.derived('pair', *pair)}",
        "Verdict",
        consistent=str(said.consistent).lower(),
        model=said.model,
        reasons=lines(said.reasons),
        problem=said.problem,
    )
    better = [proposal(task_id, said.better)] if said.better else []
    return both(
        linked(agent(task_id, said.judge), "GAVE", verdict),
        linked(verdict, "COMPARES", *(proposal(task_id, one) for one in pair)),
        linked(verdict, "PREFERS", *better),
    )


def staged(task_id: TaskId, fact: Staged) -> Change:
    return Change(nodes=(task(task_id, stage=f"{fact.stage} {fact.round}"),))


def brought_nothing(task_id: TaskId, fact: WorkEnded) -> Change:
    work = fact.work
    return Change(nodes=(agent(task_id, work.agent_id, nothing_more=f"{work.phase} {work.round}: {fact.reason}"),))


def _test(task_id: TaskId, kind: SuiteKind, name: str, **properties: str) -> Node:
    return node(f"test:{task_id}/{ids.derived(kind, name)}", "Test", name=name, kind=kind, **properties)

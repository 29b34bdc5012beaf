"""Other ways to choose from the same evidence: what people do without a jury, and the two models of selection.md."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from folkmoot.kernel.evidence import Outcome, Source, SuiteKind
from folkmoot.kernel.jury import Cell, Evidence, Policy, judge, matrix_of

Chooser = Callable[[Evidence], str | None]
"""The proposal that is chosen; None: none is."""


class Table:
    """The evidence as rows of passed and failed."""

    def __init__(self, evidence: Evidence) -> None:
        self.proposals = [c.admission.proposal_id for c in evidence.candidates]
        self.authors = {str(c.admission.proposal_id): c.admission.agent_id for c in evidence.candidates}
        self.trials = [t for t in matrix_of(evidence) if t.exhibit.source is not Source.PROBE]
        self.passed = [{p for p in self.proposals if t.cells.get(p) is Cell.PASSED} for t in self.trials]
        self.clean = [
            str(c.admission.proposal_id) for c in evidence.candidates if _clean(evidence, c.admission.proposal_id)
        ]
        self.visible = {
            c.admission.proposal_id: _visible(evidence, c.admission.proposal_id) for c in evidence.candidates
        }

    def vector(self, proposal: str) -> tuple[bool, ...]:
        return tuple(proposal in passed for passed in self.passed)

    def classes(self) -> list[list[str]]:
        """Of those that pass the gates, by behaviour."""
        found: dict[tuple[bool, ...], list[str]] = {}
        for proposal in self.clean:
            found.setdefault(self.vector(proposal), []).append(proposal)
        return list(found.values())


def _visible(evidence: Evidence, proposal: str) -> int:
    runs = next(c.examinations for c in evidence.candidates if c.admission.proposal_id == proposal)
    tests = sum(o is Outcome.PASSED for e in runs if e.kind is SuiteKind.TESTS for o in e.tests.values())
    return tests + sum(e.kind is SuiteKind.CHECK and e.end.ok for e in runs)


def _clean(evidence: Evidence, proposal: str) -> bool:
    """The gates: nothing protected changed, base's tests kept, checks passed."""
    candidate = next(c for c in evidence.candidates if c.admission.proposal_id == proposal)
    base = {t for e in evidence.base if e.kind is SuiteKind.TESTS for t, o in e.tests.items() if o is Outcome.PASSED}
    passed = {
        t
        for e in candidate.examinations
        if e.kind is SuiteKind.TESTS
        for t, o in e.tests.items()
        if o is Outcome.PASSED
    }
    checks = [e.end.ok for e in candidate.examinations if e.kind is SuiteKind.CHECK]
    return not candidate.admission.tampered and base <= passed and all(checks)


def first(evidence: Evidence) -> str | None:
    return min((c.admission.proposal_id for c in evidence.candidates), default=None)


def most_visible(evidence: Evidence) -> str | None:
    table = Table(evidence)
    return min(table.proposals, key=lambda p: (-table.visible[p], p), default=None)


def majority(evidence: Evidence) -> str | None:
    """Of equal behaviour on all tests of all authors."""
    table = Table(evidence)
    sizes = Counter(table.vector(p) for p in table.proposals)
    return min(table.proposals, key=lambda p: (-sizes[table.vector(p)], p), default=None)


def agreement(evidence: Evidence) -> str | None:
    """Tests x candidates, as CodeT: the size of a class times the number of tests that it passes."""
    table = Table(evidence)
    sizes = Counter(table.vector(p) for p in table.proposals)
    return min(table.proposals, key=lambda p: (-sizes[table.vector(p)] * sum(table.vector(p)), p), default=None)


def _sharp(table: Table) -> list[int]:
    """Tests that pass somewhere and fail somewhere, among those that pass the gates."""
    return [i for i, passed in enumerate(table.passed) if 0 < len(passed & set(table.clean)) < len(set(table.clean))]


def odds(evidence: Evidence, threshold: float = 0.3) -> str | None:
    """Model A of selection.md."""
    table = Table(evidence)
    classes = table.classes()
    if not classes:
        return None
    scores = [_log_odds(table, members) for members in classes]
    weights = [math.exp(s) for s in [*scores, _log_odds(table, [])]]
    best = max(range(len(classes)), key=lambda i: (scores[i], len(classes[i])))
    return min(classes[best]) if weights[best] / sum(weights) >= threshold else None


def _log_odds(table: Table, members: Sequence[str]) -> float:
    total, seen = 0.0, dict[str, list[bool]]()
    for i in _sharp(table):
        exhibit = table.trials[i].exhibit
        against = not members or members[0] not in table.passed[i]
        if exhibit.source in (Source.SEALED, Source.SPLIT):
            total += math.log(0.5 if not members else 0.12 if against else 0.88)
        else:
            seen.setdefault(exhibit.author, []).append(against)
    homes = {table.authors[p] for p in members}
    for author, said in seen.items():
        wrong = 0.5 if not members else 0.04 if author in homes else 0.2
        total += math.log(wrong if any(said) else 1 - wrong)
    return total


def duels(evidence: Evidence) -> str | None:
    """Model B of selection.md. Abstains only where nobody passes the gates, or where two classes win as much and
    nothing splits them."""
    table = Table(evidence)
    classes = table.classes()
    if not classes:
        return None
    wins = [0.0] * len(classes)
    for a in range(len(classes)):
        for b in range(a + 1, len(classes)):
            votes = _votes(table, classes[a], classes[b])
            wins[a] += (votes > 0) + 0.5 * (votes == 0)
            wins[b] += (votes < 0) + 0.5 * (votes == 0)
    best = max(range(len(classes)), key=lambda i: (wins[i], len(classes[i])))
    return min(classes[best])


def _votes(table: Table, one: Sequence[str], other: Sequence[str]) -> int:
    votes: dict[str, int] = {}
    for i, trial in enumerate(table.trials):
        ahead = (one[0] in table.passed[i]) - (other[0] in table.passed[i])
        blind = trial.exhibit.source in (Source.SEALED, Source.SPLIT)
        key = f"{trial.exhibit.author} {i if blind else ''}"
        homes = {table.authors[p] for p in (*one, *other)}
        votes[key] = votes.get(key, 0) + ahead * (2 if blind or trial.exhibit.author not in homes else 1)
    return sum(max(-2, min(2, v)) for v in votes.values())


NAIVE: dict[str, Chooser] = {
    "first": first,
    "most visible tests": most_visible,
    "majority of behaviour": majority,
    "tests x candidates": agreement,
}
MODELS: dict[str, Chooser] = {"model A (odds)": odds, "model B (duels)": duels}


def jury(policy: Policy) -> Chooser:
    def choose(evidence: Evidence) -> str | None:
        return judge(evidence, policy).chosen

    return choose


def knowing(true: frozenset[tuple[str, str]]) -> Chooser:
    """The ceiling: it knows which tests (exhibit and id) are right."""

    def choose(evidence: Evidence) -> str | None:
        table = Table(evidence)
        rows = [i for i, t in enumerate(table.trials) if (t.exhibit.exhibit_id, t.test) in true]
        good = [p for p in table.clean if all(p in table.passed[i] for i in rows)]
        sizes = Counter(table.vector(p) for p in good)
        return min(good, key=lambda p: (-sizes[table.vector(p)], p), default=None)

    return choose

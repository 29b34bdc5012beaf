"""The evidence of one task, sorted once for ruling and standing: gates passed, classes heard, opinions weighed."""

import math
from collections.abc import Sequence

import msgspec

from folkmoot.kernel.jury.choice import Fields, cheapest_first, classes_of, fields_of, gate_odds
from folkmoot.kernel.jury.evidence import Baseline, Evidence, baseline_of
from folkmoot.kernel.jury.gates import Entry, entry_of, refused
from folkmoot.kernel.jury.matrix import Trial, matrix_of
from folkmoot.kernel.jury.policy import Policy, Weights
from folkmoot.kernel.jury.voices import PASS, Class, Hearing, hear
from folkmoot.kernel.jury.weighing import Opinion, Pair, Weighed, contested, duels, opinions, rivals, weigh
from folkmoot.kernel.jury.words import count
from folkmoot.kernel.result import DecidedBy

Odds = list[tuple[str, float]]
"""Named log-odds that add up."""


class View(msgspec.Struct, frozen=True):
    """What some of the opinions come to."""

    voiced: tuple[Opinion, ...]
    between: dict[Pair, float]
    """The duels."""
    contested: frozenset[int]
    told: bool
    """Something with weight tells classes apart, or what was done from base."""


WORDING = 2
"""Edition of the words in which reasons are told. A ruling is stored with its edition, and replayed in it."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    evidence: Evidence
    policy: Policy
    wording: int = WORDING
    baseline: Baseline
    entries: list[Entry]
    fields: Fields
    disputed: frozenset[str] = frozenset()
    """Tests of base that all otherwise good candidates fail."""
    trials: tuple[Trial, ...] = ()
    hearing: Hearing = Hearing()
    view: View = View((), {}, frozenset(), False)
    """Of all opinions."""
    weighed: Weighed | None = None
    """None: tests of candidates are no evidence here."""

    @property
    def best(self) -> list[Entry]:
        """Of the last field, the first to be chosen first."""
        if self.weighed is None:
            return cheapest_first(self.fields[-1][1])
        return [e for n in self.weighed.order for e in self.hearing.classes[n].entries]

    @property
    def contradicted(self) -> bool:
        """The first class is level with another, and the authors of each contradict the other: no cost settles that."""
        return self.weighed is not None and len(self.weighed.level) > 1 and self.weighed.order[0] in self.view.contested


def case_of(evidence: Evidence, policy: Policy, wording: int = WORDING) -> Case:
    baseline = baseline_of(evidence)
    entries = [entry_of(c, evidence, baseline, policy) for c in evidence.candidates]
    disputed = _disputed(entries) if policy.asks else frozenset()
    if disputed:
        entries = [msgspec.structs.replace(e, held=_held(e) and e.failing <= disputed) for e in entries]
    entries += [refused(r) for r in evidence.refusals]
    case = Case(
        evidence=evidence,
        policy=policy,
        wording=wording,
        baseline=baseline,
        entries=entries,
        fields=fields_of(entries),
        disputed=disputed,
    )
    if policy.weights is None or not (evidence.exhibits or evidence.verdicts):
        return case
    return _heard(case, policy.weights)


def _heard(case: Case, weights: Weights) -> Case:
    trials = matrix_of(case.evidence)
    hearing = hear(case.entries, case.fields[-1][1], trials, probing=case.policy.probing)
    voiced = opinions(hearing, case.evidence.verdicts, weights)
    return msgspec.structs.replace(
        case, trials=trials, hearing=hearing, view=view_of(hearing, voiced), weighed=weigh(voiced, hearing)
    )


def _disputed(entries: Sequence[Entry]) -> frozenset[str]:
    """What all candidates fail that pass the other gates: at least two different changes, by different agents."""
    if any(not e.faults for e in entries):
        return frozenset()
    good = [e for e in entries if set(e.faults) == {DecidedBy.REGRESSION}]
    common = frozenset.intersection(*(e.failing for e in good)) if good else frozenset()
    independent = len(classes_of(good)) > 1 and len({e.agent for e in good}) > 1
    return common if independent and any(_held(e) and e.failing == common for e in good) else frozenset()


def _held(entry: Entry) -> bool:
    return set(entry.faults) == {DecidedBy.REGRESSION} and bool(entry.failing)


# --- confidence --------------------------------------------------------------------------------------------------


def view_of(hearing: Hearing, voiced: Sequence[Opinion]) -> View:
    between = duels(voiced, len(hearing.classes))
    level = contested(hearing, between)
    patterns = [p for v in hearing.voices for p in v.patterns if not p.alone]
    said = any(o.kind == "probes" or (o.duels and o.kind != "rounds") for o in voiced)
    told = said or any(PASS in p.marks and p.base != PASS for p in patterns)
    return View(tuple(voiced), between, level, told or bool(level))


def class_odds(case: Case, number: int, view: View) -> Odds:
    """What speaks for a class, as named log-odds that add up."""
    weights, classes = case.policy.weights, case.hearing.classes
    assert weights is not None
    of, terms = classes[number], Odds()
    terms += [(words, odds * weights.gates) for words, odds in gate_odds(of.entries[0], case.baseline, case.policy)]
    if weights.weighed != 1:
        terms.append(("it could be compared", math.log(weights.weighed)))
    if not view.told:
        changes = sum(len(c.changes) for c in classes)
        level = -case.policy.level * math.log(changes)
        return [*terms, (f"{changes} different changes are level", level)] if changes > 1 else terms
    terms += _alike(case, of, weights)
    terms += [(_said(o, odds), odds) for o in view.voiced if (odds := o.doubts.get(number, 0.0))]
    if len(classes) > 1:
        terms.append((_rivals(len(classes) - 1), weights.rivals * rivals(number, view.between)))
    if number in view.contested:
        terms.append(("a level rival's authors contradict its own, and are contradicted", -math.log(weights.contested)))
    return terms


def _said(opinion: Opinion, odds: float) -> str:
    if opinion.kind == "probes":
        against = "agree with each other against it" if odds < 0 else "nowhere agree against it"
        return f"in calls that no test makes others {against}"
    if opinion.kind == "rounds":
        return "nobody behaved so before he saw the evidence"
    return f"tests of {opinion.voice} {'bear it out' if odds > 0 else 'contradict it'}"


def _rivals(number: int) -> str:
    return "one class behaves otherwise" if number == 1 else f"{number} classes behave otherwise"


def _alike(case: Case, of: Class, weights: Weights) -> Odds:
    """Different changes by different agents that behave alike bear each other out."""
    agents = len({e.agent for e in of.entries}) - 1
    alike = min(len(of.changes) - 1, agents, case.policy.peers)
    words = f"{count(alike, 'other agent')} with a different change that behaves alike"
    return [(words, alike * math.log(weights.agree))] if alike else []

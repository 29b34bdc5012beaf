"""The decision: evidence in, ranking and reasons out."""

import math
from collections.abc import Iterator, Sequence

from folkmoot.kernel.facts import CandidatesRanked as Ruling
from folkmoot.kernel.jury import reasons
from folkmoot.kernel.jury.case import WORDING, Case, Odds, case_of, class_odds, view_of
from folkmoot.kernel.jury.choice import decider, odds_of, probability
from folkmoot.kernel.jury.evidence import Evidence
from folkmoot.kernel.jury.gates import Entry
from folkmoot.kernel.jury.policy import POLICY, Policy
from folkmoot.kernel.jury.ranking import ranking_of
from folkmoot.kernel.jury.weighing import EPSILON, Opinion, weigh
from folkmoot.kernel.jury.words import capped
from folkmoot.kernel.result import DecidedBy

MAX_REASONS = 30
"""Of a ruling."""
MAX_SETTLE = 6

_KINDS = (
    ({"verdict"}, DecidedBy.JUDGING),
    ({"blind"}, DecidedBy.SEALED_TESTS),
    ({"tests", "probes", "rounds"}, DecidedBy.CROSS_EXAMINATION),
)
"""Opinions by what they rest on, the first to be done without first."""


def judge(evidence: Evidence, policy: Policy = POLICY, *, wording: int = WORDING) -> Ruling:
    """Rank the candidates, and choose one or none. `wording`: the edition of its words."""
    case = case_of(evidence, policy, wording)
    best, odds = case.best, odds_for(case)
    confidence = probability(odds)
    sure = confidence >= policy.profile[evidence.rigor].threshold
    chosen = best[0] if best and sure and not case.contradicted else None
    return Ruling(
        ranking=ranking_of(case.entries, places(case), scores(case)),
        chosen=chosen.proposal if chosen else None,
        decided_by=decided_by(case) if chosen else None,
        confidence=round(confidence, 3) if chosen else None,
        reasons=capped(_words(case, chosen, odds, confidence), MAX_REASONS),
        policy=policy.version,
        settle=() if chosen or policy.weights is None else capped(reasons.settle(case), MAX_SETTLE),
        wording=wording,
    )


def odds_for(case: Case) -> Odds:
    """What speaks for the best one; empty where there is none."""
    if not case.best:
        return []
    if case.weighed is None:
        return odds_of(case.best, [e for e in case.entries if not e.faults], case.baseline, case.policy)
    return class_odds(case, case.weighed.order[0], case.view)


def places(case: Case) -> dict[str, int]:
    if case.weighed is None:
        return {}
    at = case.weighed.places
    return {e.proposal: at[n] for n, c in enumerate(case.hearing.classes) for e in c.entries}


def scores(case: Case) -> dict[str, dict[str, float]]:
    """Of the class of each that is weighed: the log-odds of its worst duel, how sure an answer with it would be, and
    how many others speak for and against it."""
    if case.weighed is None:
        return {}
    found = dict[str, dict[str, float]]()
    for n, of in enumerate(case.hearing.classes):
        sure = round(probability(class_odds(case, n, case.view)), 3)
        said = {
            "duels": round(case.weighed.worst[n], 3),
            "confidence": sure,
            "behaviour": float(case.weighed.places[n]),
            **_independent(case, n),
        }
        found |= {e.proposal: said for e in of.entries}
    return found


def _independent(case: Case, number: int) -> dict[str, float]:
    """Authors, writers of tests and judges; what a class's own authors say for it is left out."""
    names = {v.name for v in case.hearing.voices}
    said = [_leaning(o, number) for o in case.view.voiced if o.voice in names or o.kind == "verdict"]
    return {
        "opinions_for": float(sum(odds > EPSILON for odds in said)),
        "opinions_against": float(sum(odds < -EPSILON for odds in said)),
    }


def _leaning(opinion: Opinion, number: int) -> float:
    """Log-odds for the class, all that the opinion says of it together."""
    duels = (odds if number == one else -odds for (one, other), odds in opinion.duels.items() if number in (one, other))
    return math.fsum([*duels, opinion.doubts.get(number, 0.0)])


def decided_by(case: Case) -> DecidedBy:
    """The last evidence without which the winner's class would not be alone in front, or not be sure enough; where
    there is one class only, the gate that left it."""
    if case.weighed is None or len(case.hearing.classes) == 1:
        return decider(case.fields)
    if len(case.weighed.level) > 1:
        return DecidedBy.COST
    voiced: Sequence[Opinion] = case.view.voiced
    for kinds, by in _KINDS:
        voiced = [o for o in voiced if o.kind not in kinds]
        if not _stands(case, voiced):
            return by
    return decider(case.fields)


def _stands(case: Case, voiced: Sequence[Opinion]) -> bool:
    """With these opinions alone the answer would be the same."""
    assert case.weighed is not None
    winner = case.weighed.order[0]
    sure = (
        probability(class_odds(case, winner, view_of(case.hearing, voiced)))
        >= case.policy.profile[case.evidence.rigor].threshold
    )
    return sure and weigh(voiced, case.hearing).level == {winner}


def _words(case: Case, chosen: Entry | None, odds: Odds, confidence: float) -> Iterator[str]:
    if chosen:
        yield from reasons.why(case, chosen, decided_by(case))
        yield from reasons.to_look_at(chosen)
        yield from reasons.support(odds, confidence, case.policy)
    else:
        yield from reasons.why_none(case, confidence)
        if odds and case.wording > 1:
            yield reasons.adding_up(odds, confidence)
    yield from reasons.opinions(case)
    yield from case.baseline.words
    yield from reasons.why_out(case.entries)
    yield from (f"{agent} made no proposal: {reason}" for agent, reason in sorted(case.evidence.failures.items()))

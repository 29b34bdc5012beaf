"""The jury: evidence in, ranking and reasons out. Pure, and blind to the order of candidates and to who wrote them.

Gates first (integrity, regression, acceptance), then what base's failing tests say, then the cheapest change. When no
candidate passes the gates, or too little speaks for the best one, it abstains. `docs/decisions.md` works an example.
"""

from folkmoot.kernel.facts import CandidatesRanked as Ruling
from folkmoot.kernel.jury.choice import cheapest_first, decider, fields_of, odds_of, probability
from folkmoot.kernel.jury.evidence import Candidate, Evidence, baseline_of, collect
from folkmoot.kernel.jury.gates import entry_of, refused
from folkmoot.kernel.jury.policy import POLICY, VERSIONS, Policy, Profile, policy_from, shipped
from folkmoot.kernel.jury.ranking import ranking_of
from folkmoot.kernel.jury.reasons import support, to_look_at, why, why_none, why_out
from folkmoot.kernel.jury.words import capped

__all__ = [
    "POLICY",
    "VERSIONS",
    "Candidate",
    "Evidence",
    "Policy",
    "Profile",
    "Ruling",
    "collect",
    "judge",
    "policy_from",
    "shipped",
]

MAX_REASONS = 30
"""Of a ruling."""


def judge(evidence: Evidence, policy: Policy = POLICY) -> Ruling:
    """Rank the candidates, and choose one or none."""
    baseline = baseline_of(evidence)
    entries = [entry_of(c, evidence, baseline) for c in evidence.candidates] + [refused(r) for r in evidence.refusals]
    fields = fields_of(entries)
    best = cheapest_first(fields[-1][1])
    odds = odds_of(best, [e for e in entries if not e.faults], baseline, policy) if best else []
    confidence = probability(odds)
    chosen = best[0] if best and confidence >= policy.profile[evidence.rigor].threshold else None
    return Ruling(
        ranking=ranking_of(entries),
        chosen=chosen.proposal if chosen else None,
        decided_by=decider(fields) if chosen else None,
        confidence=round(confidence, 3) if chosen else None,
        reasons=capped(
            [
                *(why(chosen, best, fields) if chosen else why_none(evidence, entries, confidence, policy)),
                *(to_look_at(chosen) if chosen else ()),
                *(support(odds, confidence, policy) if chosen else ()),
                *baseline.words,
                *why_out(entries),
                *(f"{agent} made no proposal: {reason}" for agent, reason in sorted(evidence.failures.items())),
            ],
            MAX_REASONS,
        ),
        policy=policy.version,
    )

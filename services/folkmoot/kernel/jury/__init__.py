"""The jury: evidence in, ranking and reasons out. Pure, and blind to the order of candidates and to who wrote them.

Gates first (integrity, regression, acceptance), then what the tests of all authors, sealed tests and verdicts say of
the classes of equal behaviour, then the cheapest change. When no candidate passes the gates, or too little speaks for
the best one, it abstains. `docs/decisions.md` works an example.
"""

from folkmoot.kernel.facts import CandidatesRanked as Ruling
from folkmoot.kernel.jury.evidence import Candidate, Evidence, baseline_of, collect
from folkmoot.kernel.jury.matrix import Cell, Trial, matrix_of
from folkmoot.kernel.jury.outlook import reruns, standing
from folkmoot.kernel.jury.policy import POLICY, VERSIONS, Policy, Profile, policy_from, shipped
from folkmoot.kernel.jury.ruling import judge
from folkmoot.kernel.jury.standing import Objection, Standing

__all__ = [
    "POLICY",
    "VERSIONS",
    "Candidate",
    "Cell",
    "Evidence",
    "Objection",
    "Policy",
    "Profile",
    "Ruling",
    "Standing",
    "Trial",
    "baseline_of",
    "collect",
    "judge",
    "matrix_of",
    "policy_from",
    "reruns",
    "shipped",
    "standing",
]

"""The numbers of the jury, as versioned data."""

import math

import msgspec

from folkmoot.kernel.task import Rigor


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the jury, as versioned data. Odds are natural logarithms; each adds to the others."""

    version: str = "1"
    guarded: float = math.log(0.61 / 0.39)
    """A change that keeps base's tests is right in 61 % of cases (precision of the regression filter: R2E-Gym and Trae
    report it for repair tasks of SWE-bench)."""
    unguarded: float = math.log(0.40 / 0.60)
    """Nothing passes at base, so nothing was kept. Assumption, between 0.23 (a random candidate on 171 hard cases) and
    0.51 (mean candidate on SWE-bench Verified)."""
    first_check: float = math.log(6)
    """A check that fails at base and passes here. Assumption: a wrong change satisfies one in six such checks."""
    further_check: float = math.log(1.5)
    """Each one more, up to `further_checks`: checks of one story are far from independent. Assumption."""
    further_checks: int = 4
    repaired: float = math.log(3)
    """At least one test of base that always failed there passes here; weaker than a check, for nobody said that it is
    meant. Assumption."""
    peer: float = math.log(1.3)
    """Each other agent with the same change, up to `peers`: agents on one model err alike (a majority of outputs closed
    6 % of the gap on the hard cases). Assumption."""
    peers: int = 3
    threshold: dict[Rigor, float] = msgspec.field(
        default_factory=lambda: {Rigor.L0: 0.02, Rigor.L1: 0.02, Rigor.L2: 0.3, Rigor.L3: 0.5}
    )
    """Least confidence for a decision. L0 and L1 have no evidence beyond the gates: what passes them is answered, and
    its weakness is said. 0.3 and 0.5: 82 and 85 % of decisions were right on the hard cases."""
    level: float = 1.0
    """Times the logarithm of the number of different changes that evidence leaves level: they share the odds. With the
    4.65 candidates of a hard case it gives 0.25; 23 % of them were right."""
    weak: float = 0.5
    """Below it the answer is called weakly supported."""


POLICY = Policy()

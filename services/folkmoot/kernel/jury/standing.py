"""How the candidates stand before the decision: what the next step of a deliberation goes by. Values only."""

import msgspec

from folkmoot.kernel.evidence import Outcome
from folkmoot.kernel.ids import AgentId, ProposalId


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """A test of somebody else's that a proposal does not pass: what its author is shown."""

    exhibit_id: str
    test: str
    outcome: Outcome | None
    """None: the test did not run there."""
    author: AgentId


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Classes are of equal behaviour, best first; each holds its proposals, the cheapest first."""

    classes: tuple[tuple[ProposalId, ...], ...] = ()
    """Of acceptable proposals only."""
    probability: tuple[float, ...] = ()
    """That the class is right, in the order of `classes`; what is missing to 1 is that none is."""
    confidence: float = 0.0
    """That the ruling would state if it were made now; 0 without an acceptable proposal."""
    settled: str = ""
    """Why nothing that may still come is expected to change the answer, in words; empty: it may."""
    close: tuple[tuple[ProposalId, ProposalId], ...] = ()
    """Pairs of the cheapest of two classes that evidence leaves near each other, the most decisive pair first."""
    objections: dict[ProposalId, tuple[Objection, ...]] = {}
    """Of every admitted proposal that has any, the weightiest first."""
    faults: dict[ProposalId, tuple[str, ...]] = {}
    """Of those that are not acceptable: gates not passed, in words fit for their author."""

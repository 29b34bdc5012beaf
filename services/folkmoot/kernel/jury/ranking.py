"""The ranking: acceptable ones first, equal evidence on a level rank."""

from collections.abc import Mapping

from folkmoot.kernel.jury.choice import cheapest_first, classes_of
from folkmoot.kernel.jury.gates import GATES, Entry
from folkmoot.kernel.jury.words import capped, listed
from folkmoot.kernel.result import Ranked

MAX_REASONS = 6
"""Per candidate."""
ALL_REASONS = 96
"""Of all candidates together, where there are many: the ranking stands in one event."""


def ranking_of(
    entries: list[Entry], places: Mapping[str, int] | None = None, scores: Mapping[str, dict[str, float]] | None = None
) -> tuple[Ranked, ...]:
    """Acceptable ones first. Equal evidence is a level rank; the order within it falls by content. `places`: of the
    behaviour class of an acceptable one, by proposal; level classes have one place. `scores`: added to its own."""
    at, more = places or {}, scores or {}
    classes = {e.proposal: c for c in classes_of(entries) for e in c}
    listed = cheapest_first([e for e in entries if e.admission]) + sorted(
        (e for e in entries if not e.admission), key=lambda e: e.proposal
    )
    listed.sort(key=lambda e: standing(e, at))
    standings = [standing(e, at) for e in listed]
    most = min(MAX_REASONS, max(2, ALL_REASONS // max(1, len(listed))))
    return tuple(
        _ranked(e, standings.index(standing(e, at)) + 1, classes[e.proposal], more.get(e.proposal, {}), most)
        for e in listed
    )


def standing(entry: Entry, places: Mapping[str, int]) -> tuple[int, ...]:
    """Sorts the best first: the further it came through the gates, the better."""
    if not entry.faults:
        return (0, -entry.repaired, places.get(entry.proposal, 0), *entry.cost)
    if entry.held:
        return (0, 1, *entry.cost)
    first = next(i for i, gate in enumerate(GATES) if gate in entry.faults)
    return (len(GATES) - first, int(entry.admission is None), sum(map(len, entry.faults.values())), entry.broken)


def _ranked(entry: Entry, rank: int, members: list[Entry], more: dict[str, float], most: int) -> Ranked:
    twins = sorted(e.agent for e in members if e.proposal != entry.proposal)
    words = [w for gate in GATES for w in entry.faults.get(gate, ())] or list(entry.merits)
    if twins:
        words.insert(1, f"the same change as {listed(twins)}")
    return Ranked(
        proposal_id=entry.proposal,
        agent_id=entry.agent,
        rank=rank,
        acceptable=not entry.faults,
        reasons=capped(words, most),
        commit=entry.admission.commit if entry.admission else None,
        scores=entry.scores | {"same_change": float(len(twins))} | more,
    )

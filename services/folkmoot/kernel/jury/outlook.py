"""How the candidates stand before the decision, and which tests to run again. What the protocol goes by."""

import math
from collections.abc import Iterator

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Outcome, Source
from folkmoot.kernel.ids import ProposalId
from folkmoot.kernel.jury.case import Case, case_of, class_odds
from folkmoot.kernel.jury.choice import cheapest_first, probability
from folkmoot.kernel.jury.evidence import Evidence
from folkmoot.kernel.jury.gates import GATES
from folkmoot.kernel.jury.matrix import Cell, Trial
from folkmoot.kernel.jury.policy import POLICY, Policy
from folkmoot.kernel.jury.probed import is_probe
from folkmoot.kernel.jury.ruling import odds_for
from folkmoot.kernel.jury.standing import Objection, Standing
from folkmoot.kernel.jury.voices import BLANK, PASS, Class

MAX_OBJECTIONS = 12
"""Per proposal: what an author can take in."""
_OUTCOMES = {
    Cell.FAILED: Outcome.FAILED,
    Cell.ERROR: Outcome.ERROR,
    Cell.TIMEOUT: Outcome.ERROR,
    Cell.MISSING: None,
    Cell.SKIPPED: Outcome.SKIPPED,
}


def standing(evidence: Evidence, policy: Policy = POLICY) -> Standing:
    case = case_of(evidence, policy)
    of = _classes(case)
    chances = _chances(case, len(of))
    return Standing(
        classes=of,
        probability=tuple(round(p, 3) for p in chances),
        confidence=round(probability(odds_for(case)), 3) if case.best else 0.0,
        settled=_settled(case) if of else "",
        close=_close(case),
        objections=dict(_objections(case)),
        faults={e.proposal: tuple(w for g in GATES for w in e.faults.get(g, ())) for e in case.entries if e.faults},
    )


def reruns(evidence: Evidence, policy: Policy = POLICY) -> tuple[tuple[str, str, int], ...]:
    """Exhibit, subject and number of the runs that are wanted besides the first: of those whose cells tell acceptable
    candidates apart. Also those that were made already."""
    case = case_of(evidence, policy)
    runs = range(2, 2 + policy.profile[evidence.rigor].reruns)
    telling = {e for v in case.hearing.voices for p in v.patterns if _tells_apart(p.marks) for e, _ in p.tests}
    telling |= _telling_probes(case)
    subjects = sorted(e.proposal for c in case.hearing.classes for e in c.entries)
    return tuple((exhibit, subject, run) for exhibit in sorted(telling) for subject in subjects for run in runs)


def _telling_probes(case: Case) -> set[str]:
    """Where what they give differs; under a policy by which they count."""
    differ = len(case.hearing.probed.voters) > 1
    return {t.exhibit.exhibit_id for t in case.trials if is_probe(t)} if differ else set()


def _tells_apart(marks: str) -> bool:
    return PASS in marks and bool(set(marks) - {PASS, BLANK})


def _classes(case: Case) -> tuple[tuple[ProposalId, ...], ...]:
    """Without tests as evidence: one class of all that pass the gates."""
    if case.weighed is None:
        return (tuple(e.proposal for e in case.best),) if case.best else ()
    of = case.hearing.classes
    return tuple(tuple(e.proposal for e in of[n].entries) for n in case.weighed.order)


def _chances(case: Case, classes: int) -> list[float]:
    """The first has the confidence of the ruling; the others share what it leaves, as far as they come."""
    if not classes:
        return []
    if case.weighed is None:
        return [probability(odds_for(case))]
    alone = [probability(class_odds(case, n, case.view)) for n in case.weighed.order]
    left = 1 - alone[0]
    part = min(1.0, left / total) if (total := math.fsum(alone[1:])) else 0.0
    return [alone[0], *(p * part for p in alone[1:])]


def _settled(case: Case) -> str:
    enough = case.policy.profile[case.evidence.rigor].enough
    sure = probability(odds_for(case))
    if sure >= enough:
        return f"the confidence of {sure:.2f} is enough ({enough:.2f})"
    if case.weighed is None or len(case.hearing.classes) > 1 or not _unopposed(case):
        return ""
    only = case.hearing.classes[0]
    agents = {e.agent for e in only.entries}
    blind = any(v.blind for v in case.hearing.voices)
    if len(agents) > 1 and (len(only.changes) == 1 or blind):
        same = "made one and the same change" if len(only.changes) == 1 else "behave alike, also in sealed tests"
        return f"all {len(agents)} authors of acceptable proposals {same}, and no test objects"
    return ""


def _unopposed(case: Case) -> bool:
    """Somebody's test tells something, and all pass on the only class."""
    patterns = [p for v in case.hearing.voices for p in v.patterns]
    return all(p.marks == PASS for p in patterns) and any(p.base != PASS for p in patterns)


def _close(case: Case) -> tuple[tuple[ProposalId, ProposalId], ...]:
    """Pairs that a writer of tests could turn, with some help; those of the likeliest classes first."""
    if case.weighed is None or case.policy.weights is None:
        return ()
    order, classes = case.weighed.order, case.hearing.classes
    place = {n: order.index(n) for n in order}
    reach = 1.5 * math.log(case.policy.weights.blind)
    near = [p for p, odds in case.view.between.items() if abs(odds) <= reach]
    near.sort(key=lambda p: (max(place[p[0]], place[p[1]]), min(place[p[0]], place[p[1]])))
    return tuple((_first(classes[a]), _first(classes[b])) for a, b in (sorted(p, key=place.__getitem__) for p in near))


def _first(of: Class) -> ProposalId:
    return of.changes[0][0].proposal


# --- objections --------------------------------------------------------------------------------------------------


def _objections(case: Case) -> Iterator[tuple[ProposalId, tuple[Objection, ...]]]:
    thrown = {id(trial) for trial, _ in case.hearing.thrown}
    counting = [t for t in case.trials if id(t) not in thrown and not is_probe(t)]
    for entry in cheapest_first([e for e in case.entries if e.admission]):
        against = [t for t in counting if t.exhibit.author != entry.agent and _objects(t, entry.proposal)]
        if against:
            against.sort(key=lambda t: _gravity(t, entry.proposal))
            yield entry.proposal, tuple(_objection(t, entry.proposal) for t in against[:MAX_OBJECTIONS])


def _objects(trial: Trial, proposal: ProposalId) -> bool:
    """It fails here and passes somewhere, so it can be passed."""
    here = trial.cells.get(proposal)
    return here in _OUTCOMES and (Cell.PASSED in trial.cells.values() or trial.exhibit.source is not Source.CANDIDATE)


def _gravity(trial: Trial, proposal: ProposalId) -> tuple[bool, int, bool, str, str]:
    """Sorts the weightiest first: an assertion that fails, on which many others pass, that base fails."""
    passes = sum(c is Cell.PASSED for s, c in trial.cells.items() if s != BASE)
    failed = trial.cells[proposal] is Cell.FAILED
    return (not failed, -passes, trial.cells.get(BASE) is Cell.PASSED, trial.exhibit.exhibit_id, trial.test)


def _objection(trial: Trial, proposal: ProposalId) -> Objection:
    return Objection(
        exhibit_id=trial.exhibit.exhibit_id,
        test=trial.test,
        outcome=_OUTCOMES[trial.cells[proposal]],
        author=trial.exhibit.author,
    )

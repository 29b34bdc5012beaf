"""Why a candidate was chosen, or none, in words."""

from folkmoot.kernel.jury.choice import Fields, classes_of, decider, same_change
from folkmoot.kernel.jury.evidence import Evidence
from folkmoot.kernel.jury.gates import GATES, Entry
from folkmoot.kernel.jury.policy import Policy
from folkmoot.kernel.jury.ranking import standing
from folkmoot.kernel.jury.words import count, listed_flags
from folkmoot.kernel.result import DecidedBy

FLAGS = 8
"""Findings on the chosen change that a ruling tells, the gravest first."""


def why(chosen: Entry, best: list[Entry], fields: Fields) -> list[str]:
    rivals = [e for e in best if e not in same_change(chosen, best)]
    if rivals:
        return [_by_cost(chosen, rivals, len(classes_of(best)))]
    match decider(fields):
        case DecidedBy.ONLY_CANDIDATE:
            alone = len(fields[0][1]) == 1
            return [f"{chosen.agent} is chosen: " + ("the only proposal" if alone else "all proposals are one change")]
        case DecidedBy.INTEGRITY:
            return [f"{chosen.agent} is chosen by integrity: the others were turned back or changed protected files"]
        case DecidedBy.REGRESSION:
            return [f"{chosen.agent} is chosen by base's tests: no other proposal keeps them"]
    return [f"{chosen.agent} is chosen by acceptance: no other proposal that came so far does as well"]


def _by_cost(chosen: Entry, rivals: list[Entry], classes: int) -> str:
    second = rivals[0]
    level = "as small as" if second.size == chosen.size else "smaller than"
    return (
        f"{classes} different changes are acceptable and no evidence tells them apart: "
        f"{chosen.agent} is chosen, {level} the runner-up {second.agent} ({_size(chosen)}; {_size(second)})"
    )


def _size(entry: Entry) -> str:
    files, lines = entry.size
    return f"{count(files, 'file')}, {count(lines, 'line')}"


def to_look_at(chosen: Entry) -> list[str]:
    """What the gates let pass and a person should see before merging."""
    flags = chosen.admission.flags if chosen.admission else ()
    return [f"look before you merge ({chosen.agent}): {flag}" for flag in listed_flags(flags, FLAGS)]


def support(odds: list[tuple[str, float]], confidence: float, policy: Policy) -> list[str]:
    terms = "; ".join(f"{words} {value:+.2f}" for words, value in odds)
    words = [f"confidence {confidence:.2f}, from log-odds: {terms}"]
    if confidence < policy.weak:
        words.append("weakly supported: a check that fails at base and passes on a right change would say more")
    return words


def why_none(evidence: Evidence, entries: list[Entry], confidence: float, policy: Policy) -> list[str]:
    if not entries:
        return ["no agent made a proposal: nothing could be judged", "another try, or another model, would settle it"]
    if any(not e.faults for e in entries):
        least = policy.profile[evidence.rigor].threshold
        return [
            f"the best candidate has a confidence of {confidence:.2f}; {evidence.rigor} asks for {least:.2f}",
            "an acceptance check that fails at base and passes on a right change would settle it",
        ]
    who = "the only proposal is not" if len(entries) == 1 else f"none of {len(entries)} proposals is"
    return [f"{who} acceptable", _settle(entries)]


def _settle(entries: list[Entry]) -> str:
    """What would help, after the gate at which the best ones failed."""
    furthest = max(next(i for i, gate in enumerate(GATES) if gate in e.faults) for e in entries)
    return (
        "a proposal that leaves protected files alone and passes the border would settle it",
        "a proposal that keeps base's tests would settle it; or drop those that the story means to change",
        "a proposal that passes the checks would settle it; see whether a right change can pass them at all",
    )[furthest]


def why_out(entries: list[Entry]) -> list[str]:
    """The first fault of each that is out."""
    out = sorted((e for e in entries if e.faults), key=lambda e: (standing(e), e.proposal))
    return [next(e.faults[gate][0] for gate in GATES if gate in e.faults) for e in out]

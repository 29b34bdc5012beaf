"""Who is left behind the gates, which of them is one change, and what speaks for the first."""

import math
from collections.abc import Iterable
from itertools import pairwise

from folkmoot.kernel.jury.evidence import Baseline
from folkmoot.kernel.jury.gates import GATES, Entry
from folkmoot.kernel.jury.policy import Policy, log_odds
from folkmoot.kernel.jury.words import count
from folkmoot.kernel.result import DecidedBy

Fields = list[tuple[DecidedBy | None, list[Entry]]]


def fields_of(entries: list[Entry]) -> Fields:
    """The field before the gates and after each; the last one holds those that evidence leaves level."""
    fields: Fields = [(None, entries)]
    for gate in GATES:
        fields.append((gate, [e for e in fields[-1][1] if gate not in e.faults]))
    most = max((e.repaired for e in fields[-1][1]), default=0)
    fields.append((DecidedBy.ACCEPTANCE, [e for e in fields[-1][1] if e.repaired == most]))
    return fields


def decider(fields: Fields) -> DecidedBy:
    """The gate at which the field shrank to the winner's class."""
    for before, after in pairwise(fields):
        if len(classes_of(before[1])) == 1:
            break
        if len(classes_of(after[1])) == 1:
            assert after[0] is not None
            return after[0]
    return DecidedBy.ONLY_CANDIDATE if len(classes_of(fields[0][1])) == 1 else DecidedBy.COST


def classes_of(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Merge what is the same change: an equal tree or an equal fingerprint, also by way of a third one."""
    classes: list[tuple[set[str], list[Entry]]] = []
    for entry in entries:
        keys, members = _keys(entry), [entry]
        for other in [c for c in classes if c[0] & keys]:
            classes.remove(other)
            keys, members = keys | other[0], other[1] + members
        classes.append((keys, members))
    return [members for _, members in classes]


def _keys(entry: Entry) -> set[str]:
    a = entry.admission
    if a is None:
        return {f"refused {entry.proposal}"}
    return {f"tree {a.tree}"} | ({f"fingerprint {a.fingerprint}"} if a.fingerprint else set())


def _class_key(members: Iterable[Entry]) -> str:
    """The same however often the change was made."""
    return min(a.fingerprint or a.tree for e in members if (a := e.admission))


def cheapest_first(best: list[Entry]) -> list[Entry]:
    """Cheapest first; a level pair falls by content, so that the same evidence always gives the same answer."""
    classes = [(_class_key(c), e) for c in classes_of(best) for e in c]
    return [e for _, e in sorted(classes, key=lambda c: (c[1].cost, c[0], *_content(c[1])))]


def _content(entry: Entry) -> tuple[str, str, str]:
    """The tree before the commit, which holds author and date: who wrote it, and when, is no reason."""
    a = entry.admission
    return (a.tree, a.commit, entry.proposal) if a else ("", "", entry.proposal)


def gate_odds(winner: Entry, baseline: Baseline, policy: Policy) -> list[tuple[str, float]]:
    """What the gates say for one that passes them, as named log-odds that add up."""
    further = min(len(baseline.open_checks) - 1, policy.further_checks)
    guard = ("base's tests still pass", policy.guarded) if baseline.passing else ("no tests guard", policy.unguarded)
    terms = [
        (True, guard[0], log_odds(guard[1])),
        (bool(baseline.open_checks), "a check that fails at base passes", math.log(policy.first_check)),
        (further > 0, f"{count(further, 'further check')}", further * math.log(policy.further_check)),
        (winner.repaired > 0, "failing tests of base pass", math.log(policy.repaired)),
    ]
    return [(words, value) for holds, words, value in terms if holds]


def odds_of(best: list[Entry], acceptable: list[Entry], baseline: Baseline, policy: Policy) -> list[tuple[str, float]]:
    """What speaks for the first of `best` where tests of candidates are no evidence."""
    winner, rivals = best[0], len(classes_of(best))
    peers = len({e.agent for e in same_change(winner, acceptable)} - {winner.agent})
    same = f"{count(peers, 'other agent')} made the same change"
    terms = [
        (peers > 0, same, min(peers, policy.peers) * math.log(policy.peer)),
        (rivals > 1, f"{rivals} different changes are level", -policy.level * math.log(rivals)),
    ]
    return gate_odds(winner, baseline, policy) + [(words, value) for holds, words, value in terms if holds]


def same_change(entry: Entry, entries: list[Entry]) -> list[Entry]:
    return next((c for c in classes_of(entries) if entry in c), [])


def probability(odds: list[tuple[str, float]]) -> float:
    return 1 / (1 + math.exp(-sum(value for _, value in odds)))

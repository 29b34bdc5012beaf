"""What the voices weigh: duels between classes, and the odds that a class is right.

Odds are natural logarithms. `docs/decisions.md` says it in words and works an example.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import msgspec

from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.jury.policy import Weights
from folkmoot.kernel.jury.voices import BLANK, FAIL, PASS, Class, Hearing, Pattern, Voice

Pair = tuple[int, int]
"""Two classes, the lower number first."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What one voice adds."""

    voice: str
    kind: str
    """`tests`, `blind` or `verdict`."""
    duels: dict[Pair, float]
    """Log-odds for the first of the pair; a pair of which it says nothing is absent."""
    doubts: dict[int, float]
    """Log-odds for or against a class, whatever the others are."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """Classes after the opinions."""

    order: tuple[int, ...]
    """Numbers of classes, best first."""
    wins: tuple[float, ...]
    """Duels won, by class; a level one is half a win."""
    margin: tuple[float, ...]
    """Sum of a class's duels."""
    level: frozenset[int]
    """Classes that opinions leave level with the first, and the first."""
    places: tuple[int, ...]
    """Of each class, from 0; level classes share one."""


def opinions(hearing: Hearing, verdicts: Sequence[Verdict], weights: Weights) -> tuple[Opinion, ...]:
    return (
        *(_of_voice(v, len(hearing.classes), weights) for v in hearing.voices),
        *_of_judges(hearing.classes, verdicts, weights),
    )


def _of_voice(voice: Voice, classes: int, weights: Weights) -> Opinion:
    duels = {pair: odds for pair in combinations(range(classes), 2) if (odds := _duel(voice, pair, weights))}
    doubts = {n: odds for n in range(classes) if (odds := _doubt(voice, n, weights))}
    return Opinion(voice=voice.name, kind="blind" if voice.blind else "tests", duels=duels, doubts=doubts)


def _duel(voice: Voice, pair: Pair, weights: Weights) -> float:
    one, other = pair
    ahead = behind = 0
    hard = False
    for pattern in voice.patterns:
        if pattern.alone:
            continue
        a, b = pattern.marks[one], pattern.marks[other]
        if a == PASS and b != PASS and b != BLANK:
            ahead, hard = ahead + 1, hard or b == FAIL
        elif b == PASS and a != PASS and a != BLANK:
            behind, hard = behind + 1, hard or a == FAIL
    if ahead == behind:
        return 0.0
    sign = 1 if ahead > behind else -1
    better, worse = (one, other) if sign > 0 else (other, one)
    return sign * math.log(_ratio(voice, better, worse, weights)) * (1.0 if hard else weights.unreached)


def _ratio(voice: Voice, better: int, worse: int, weights: Weights) -> float:
    if voice.blind:
        return weights.blind
    if better in voice.homes:
        return weights.own
    return weights.against if worse in voice.homes else weights.third


def _doubt(voice: Voice, number: int, weights: Weights) -> float:
    """Does it contradict the class, or bear it out? Only what tells something somewhere counts."""
    telling = [p for p in voice.patterns if tells(p)]
    broken = [p for p in telling if p.marks[number] == FAIL]
    if number in voice.homes:
        return 0.0
    if broken:
        alone = all(p.alone for p in broken)
        return -math.log(weights.blind_broken if voice.blind else weights.alone_broken if alone else weights.broken)
    passes = any(p.marks[number] == PASS for p in telling)
    return math.log(weights.blind_kept if voice.blind else weights.kept) if passes else 0.0


def tells(pattern: Pattern) -> bool:
    """It passes somewhere or fails somewhere: not the same on base and on all classes."""
    return len({m == PASS for m in pattern.marks + pattern.base if m != BLANK}) > 1 or FAIL in pattern.marks


def _of_judges(classes: Sequence[Class], verdicts: Iterable[Verdict], weights: Weights) -> list[Opinion]:
    """Each judge has one opinion on each pair of classes; only what both orders gave counts."""
    of = {e.proposal: n for n, c in enumerate(classes) for e in c.entries}
    said: dict[str, dict[Pair, int]] = {}
    for v in verdicts:
        if v.problem or not v.consistent or v.better is None or v.one not in of or v.other not in of:
            continue
        better, worse = of[v.better], of[v.other if v.better == v.one else v.one]
        if better != worse:
            pair, sign = ((better, worse), 1) if better < worse else ((worse, better), -1)
            tally = said.setdefault(v.judge, {})
            tally[pair] = tally.get(pair, 0) + sign
    odds = math.log(weights.verdict)
    return [
        Opinion(
            voice=judge,
            kind="verdict",
            duels={pair: math.copysign(odds, sign) for pair, sign in tally.items() if sign},
            doubts={},
        )
        for judge, tally in sorted(said.items())
    ]


# --- the order of classes ----------------------------------------------------------------------------------------


def duels(voiced: Sequence[Opinion], classes: int) -> dict[Pair, float]:
    """Log-odds for the first of each pair, all opinions together."""
    return {
        pair: math.fsum(o.duels[pair] for o in voiced if pair in o.duels) for pair in combinations(range(classes), 2)
    }


def weigh(voiced: Sequence[Opinion], classes: Sequence[Class]) -> Weighed:
    """Most duels won, then the largest sum, then the fewest unsteady tests; classes come cheapest first."""
    wins, margins = [0.0] * len(classes), [list[float]() for _ in classes]
    for (one, other), odds in duels(voiced, len(classes)).items():
        won = 0.5 if abs(odds) < EPSILON else float(odds > 0)
        wins[one] += won
        wins[other] += 1 - won
        margins[one].append(odds)
        margins[other].append(-odds)
    sums = tuple(round(math.fsum(m), 9) for m in margins)
    key = [(-wins[n], -sums[n], c.marks.count(BLANK), n) for n, c in enumerate(classes)]
    order = sorted(range(len(classes)), key=key.__getitem__)
    level = frozenset(n for n in order if key[n][:3] == key[order[0]][:3])
    known = sorted({k[:3] for k in key})
    places = tuple(known.index(k[:3]) for k in key)
    return Weighed(order=tuple(order), wins=tuple(wins), margin=sums, level=level, places=places)


EPSILON = 1e-9
"""Opinions that cancel leave nothing, whatever floating point makes of them."""


def rivals(number: int, voiced: Sequence[Opinion], classes: int) -> float:
    """What the other classes take from this one's odds: 0 where it beats all, -ln(n) where n are level."""
    taken = [1.0]
    for (one, other), odds in duels(voiced, classes).items():
        if number in (one, other):
            taken.append(math.exp(-odds if number == one else odds))
    return -math.log(math.fsum(taken))

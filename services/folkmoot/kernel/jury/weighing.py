"""What the voices weigh: duels between classes, and the odds that a class is right.

Odds are natural logarithms. `docs/decisions.md` says it in words and works an example.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import msgspec

from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.jury.policy import Weights
from folkmoot.kernel.jury.probed import Probed
from folkmoot.kernel.jury.voices import BLANK, FAIL, PASS, Class, Hearing, Pattern, Voice

PROBES = "what the others give"
"""The voice of calls that no test makes."""
ROUNDS = "who behaved so before he saw the evidence"
"""The voice of when a behaviour came up."""
Pair = tuple[int, int]
"""Two classes, the lower number first."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What one voice adds."""

    voice: str
    kind: str
    """`tests`, `blind`, `verdict`, `probes` or `rounds`."""
    duels: dict[Pair, float]
    """Log-odds for the first of the pair; a pair of which it says nothing is absent."""
    doubts: dict[int, float]
    """Log-odds for or against a class, whatever the others are."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """Classes after the opinions."""

    order: tuple[int, ...]
    """Numbers of classes, best first."""
    worst: tuple[float, ...]
    """Log-odds of its worst duel, by class."""
    level: frozenset[int]
    """Classes that opinions leave level with the first, and the first."""
    places: tuple[int, ...]
    """Of each class, from 0; level classes share one."""


def opinions(hearing: Hearing, verdicts: Sequence[Verdict], weights: Weights) -> tuple[Opinion, ...]:
    pairs = list(combinations(range(len(hearing.classes)), 2))
    return (
        *(_of_voice(v, pairs, len(hearing.classes), weights) for v in hearing.voices),
        *(o for n in range(len(hearing.classes)) if (o := _of_class(n, hearing.voices, pairs, weights)).duels),
        *(_of_mover(*move, weights) for move in hearing.moves),
        *_of_judges(hearing.classes, verdicts, weights),
        *_of_probes(hearing, pairs, weights),
        *_of_rounds(hearing.classes, pairs, weights),
    )


def _of_voice(voice: Voice, pairs: Sequence[Pair], classes: int, weights: Weights) -> Opinion:
    duels = {pair: odds for pair in pairs if (odds := _duel(voice, pair, weights))}
    doubts = {n: odds for n in range(classes) if (odds := _doubt(voice, n, weights))}
    return Opinion(voice=voice.name, kind="blind" if voice.blind else "tests", duels=duels, doubts=doubts)


def _duel(voice: Voice, pair: Pair, weights: Weights) -> float:
    """Of one that speaks for a class that it has no change in; the others speak as one: `_of_class`."""
    sign, hard = _leaning(voice, pair)
    better, worse = pair if sign > 0 else (pair[1], pair[0])
    if not sign or better in voice.kin:
        return 0.0
    ratio = weights.blind if voice.blind else weights.against if worse in voice.kin else weights.third
    return sign * math.log(ratio) * (1.0 if hard else weights.unreached)


def _of_class(number: int, voices: Sequence[Voice], pairs: Sequence[Pair], weights: Weights) -> Opinion:
    """Those at home in a class have one opinion for it together: agents that make the same mistake test alike."""
    home = [v for v in voices if number in v.kin]
    said = dict[Pair, float]()
    for pair in pairs if home else ():
        if number in pair and (odds := _own(number, pair, home, weights)):
            said[pair] = odds if number == pair[0] else -odds
    return Opinion(voice=f"its own ({', '.join(v.name for v in home)})", kind="tests", duels=said, doubts={})


def _own(number: int, pair: Pair, home: Sequence[Voice], weights: Weights) -> float:
    """Log-odds for class `number`: what another class passes too counts; what only its own pass has no weight."""
    other, sign = (pair[1], 1) if number == pair[0] else (pair[0], -1)
    ways = [_leaning(v, pair) for v in home if other not in v.kin]
    if not any(way == sign for way, _ in ways):
        return 0.0
    return math.log(weights.own) * (1.0 if (sign, True) in ways else weights.unreached)


def claims(number: int, other: int, home: Iterable[Voice]) -> bool:
    """An assertion of its own authors, that it passes, fails on the other."""
    return any(
        p.marks[number] == PASS and p.marks[other] == FAIL for v in home if other not in v.homes for p in v.patterns
    )


def contested(hearing: Hearing, between: Mapping[Pair, float]) -> frozenset[int]:
    """Classes that another is level with in their duel, where as many of the authors of each contradict the other."""
    found = set[int]()
    for (a, b), odds in between.items():
        if abs(odds) < EPSILON and 0 < share(a, b, hearing, hearing.voices) == share(b, a, hearing, hearing.voices):
            found |= {a, b}
    return frozenset(found)


def share(number: int, other: int, hearing: Hearing, voices: Sequence[Voice]) -> float:
    """Part of a class's authors who assert what the other fails. Who errs without knowing does not test it."""
    home = [v for v in voices if number in v.homes]
    return sum(claims(number, other, [v]) for v in home) / hearing.classes[number].authors


def _of_mover(name: str, left: int, entered: int, weights: Weights) -> Opinion:
    pair, sign = ((entered, left), 1) if entered < left else ((left, entered), -1)
    odds = sign * math.log(weights.moved)
    return Opinion(voice=f"{name}, who changed over", kind="tests", duels={pair: odds}, doubts={})


def _leaning(voice: Voice, pair: Pair) -> tuple[int, bool]:
    """1 for the first of the pair, -1 for the other, 0 for neither; and whether an assertion fails on the loser."""
    one, other = pair
    ahead = behind = 0
    hard = [False, False]
    for pattern in voice.patterns:
        a, b = pattern.marks[one], pattern.marks[other]
        if pattern.alone or (a == PASS) == (b == PASS) or BLANK in (a, b):
            continue
        if a == PASS:
            ahead, hard[0] = ahead + 1, hard[0] or b == FAIL
        else:
            behind, hard[1] = behind + 1, hard[1] or a == FAIL
    if ahead == behind:
        return 0, False
    return (1, hard[0]) if ahead > behind else (-1, hard[1])


def _doubt(voice: Voice, number: int, weights: Weights) -> float:
    """Does it contradict the class, or bear it out? Its own authors can only speak against it."""
    if number in voice.kin:
        return -math.log(weights.disowned) if _disowns(voice, number) else 0.0
    telling = [p for p in voice.patterns if tells(p)]
    broken = [p for p in telling if p.marks[number] == FAIL]
    if any(PASS in p.marks and not p.alone for p in broken):
        return -math.log(weights.blind_broken if voice.blind else weights.broken)
    kept = not broken and any(p.marks[number] == PASS for p in telling)
    return math.log(weights.blind_kept if voice.blind else weights.kept) if kept else 0.0


def _disowns(voice: Voice, number: int) -> bool:
    """An author of its kin asserts what another class passes, and it does not."""
    return any(p.marks[number] == FAIL and PASS in p.marks and not p.alone for p in voice.patterns)


def tells(pattern: Pattern) -> bool:
    """Not the same on base and on all classes; or no class passes it."""
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


def _of_probes(hearing: Hearing, pairs: Sequence[Pair], weights: Weights) -> list[Opinion]:
    """What most of the others give in calls that no test makes: one opinion, however many they are."""
    found = hearing.probed
    said = {pair: found.votes(*pair) for pair in pairs} if found.calls else {}
    duels = {pair: math.copysign(math.log(weights.probed), sign) for pair, sign in said.items() if sign}
    doubts = {n: _upheld(found, n, weights) for n in range(len(found.classes))}
    kept = {n: odds for n, odds in doubts.items() if odds}
    return [Opinion(voice=PROBES, kind="probes", duels=duels, doubts=kept)] if duels or kept else []


def _upheld(found: Probed, number: int, weights: Weights) -> float:
    if found.outvoted(number):
        return -math.log(weights.outvoted)
    return math.log(weights.upheld) if found.upheld(number) else 0.0


def _of_rounds(classes: Sequence[Class], pairs: Sequence[Pair], weights: Weights) -> list[Opinion]:
    """Against behaviours that came up when the evidence was known."""
    odds = math.log(weights.late)
    late = [c.late for c in classes]
    said = {(a, b): odds if late[b] else -odds for a, b in pairs if odds and late[a] != late[b]}
    doubts = {n: -odds for n, of in enumerate(late) if odds and of}
    return [Opinion(voice=ROUNDS, kind="rounds", duels=said, doubts=doubts)] if doubts else []


# --- the order of classes ----------------------------------------------------------------------------------------


def duels(voiced: Sequence[Opinion], classes: int) -> dict[Pair, float]:
    """Log-odds for the first of each pair, all opinions together."""
    return {
        pair: math.fsum(o.duels[pair] for o in voiced if pair in o.duels) for pair in combinations(range(classes), 2)
    }


def weigh(voiced: Sequence[Opinion], hearing: Hearing) -> Weighed:
    """A class is as good as its worst duel. Of those that are level the one whose authors assert more of what the
    others fail, then the one with the fewest unsteady tests. Classes come cheapest first."""
    classes = hearing.classes
    worst = [0.0 if len(classes) == 1 else math.inf] * len(classes)
    for (one, other), odds in duels(voiced, len(classes)).items():
        worst[one] = min(worst[one], round(odds, 9))
        worst[other] = min(worst[other], round(-odds, 9))
    spoken = {o.voice for o in voiced}
    voices = [v for v in hearing.voices if v.name in spoken]
    level = {w: [n for n in range(len(classes)) if worst[n] == w] for w in worst}
    ahead = [_ahead(n, level[w], hearing, voices) for n, w in enumerate(worst)]
    key = [(-worst[n], -ahead[n], c.marks.count(BLANK)) for n, c in enumerate(classes)]
    order = sorted(range(len(classes)), key=lambda n: (key[n], n))
    known = sorted(set(key))
    return Weighed(
        order=tuple(order),
        worst=tuple(worst),
        level=frozenset(n for n in order if key[n] == key[order[0]]),
        places=tuple(known.index(k) for k in key),
    )


def _ahead(number: int, level: Sequence[int], hearing: Hearing, voices: Sequence[Voice]) -> int:
    """Of how many level classes a smaller part of the authors contradicts it than the other way round. Only where it
    passes a test of somebody else's that tells something."""
    others = [p for v in voices if number not in v.homes for p in v.patterns]
    if not any(p.marks[number] == PASS != p.base for p in others):
        return 0
    return sum(
        share(number, other, hearing, voices) > share(other, number, hearing, voices)
        for other in level
        if other != number
    )


EPSILON = 1e-9
"""Opinions that cancel leave nothing, whatever floating point makes of them."""


def rivals(number: int, between: Mapping[Pair, float]) -> float:
    """What the other classes take from this one's odds: 0 where it beats all, -ln(n) where n are level."""
    taken = [
        math.exp(-odds if number == one else odds) for (one, other), odds in between.items() if number in (one, other)
    ]
    return -math.log(math.fsum([1.0, *taken]))

"""Draws cases from the programs by a fixed seed: mixtures of candidates, and what their authors, reviewers, writers of
tests and judges would do. Everything here follows from beliefs: a person who wrote a module believes in what it gives.
"""

import random
from collections.abc import Mapping, Sequence

from tests.bench.judgement.authors import authors
from tests.bench.judgement.case import Case
from tests.bench.judgement.making import Drawn, Making
from tests.bench.judgement.programs import FRESH, HELD, Program, programs

SEED = 20260
KINDS = {"plain": 42, "majority": 27, "none": 26, "mirror": 14, "lonely": 15}
"""How many of each: right and wrong mixed; a wrong behaviour with the majority; no right one; a right and a wrong one
with equal support; one right among many that err each in another way."""


FRESH_KINDS = {"plain": 14, "majority": 9, "none": 9, "mirror": 5, "lonely": 5}
"""The same mixture, from programs that nobody looked at while numbers were chosen."""
HELD_KINDS = {"plain": 32, "majority": 21, "none": 20, "mirror": 10, "lonely": 13}
"""Once more, and for policy 4: its programs were written before anything of it was, and its cases are not looked at."""


def draw(seed: int = SEED) -> list[Drawn]:
    """The pool, the same for ever for the same seed and programs."""
    return _drawn(seed, KINDS, programs(), "")


def fresh(seed: int = SEED) -> list[Drawn]:
    """A third part, of programs of its own: what is right here is no memory of the other two."""
    return _drawn(seed, FRESH_KINDS, programs(FRESH), "f")


def held(seed: int = SEED) -> list[Drawn]:
    """A fourth part, held back: a policy is judged on it once, and nothing is chosen by what comes out."""
    return _drawn(seed, HELD_KINDS, programs(HELD), "h")


def everything() -> list[Drawn]:
    return [*draw(), *fresh(), *held()]


def _drawn(seed: int, numbers: Mapping[str, int], known: Mapping[str, Program], mark: str) -> list[Drawn]:
    rng = random.Random(seed)
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    rng.shuffle(kinds)
    names = sorted(known)
    order = [n for _ in range(-(-len(kinds) // len(names))) for n in rng.sample(names, len(names))]
    pairs = list(zip(kinds, order, strict=False))
    return [_case(kind, known[name], f"{mark}{i:03d}-{name}-{kind}", seed) for i, (kind, name) in enumerate(pairs)]


def halves(cases: Sequence[Case], seed: int = SEED) -> dict[str, str]:
    """`tune` or `report` by case; as many of each kind in both, as far as that goes."""
    rng, found = random.Random(f"halves {seed}"), dict[str, str]()
    by_kind: dict[tuple[str, ...], list[str]] = {}
    for case in cases:
        by_kind.setdefault(case.tags, []).append(case.id)
    for _, ids in sorted(by_kind.items()):
        rng.shuffle(ids)
        turn = rng.randrange(2)
        found |= {name: ("tune", "report")[(i + turn) % 2] for i, name in enumerate(ids)}
    return found


def _case(kind: str, program: Program, name: str, seed: int) -> Drawn:
    rng = random.Random(f"{seed}/{name}")
    seats = authors(kind, program, rng)
    rng.shuffle(seats)
    return Making(program, rng, kind).case(name, seats)

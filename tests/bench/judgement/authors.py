"""Who sits in a case: which solution each candidate is made from, and what its author's tests are worth."""

import random
from collections.abc import Sequence

import msgspec

from tests.bench.judgement.case import CHEAT, NOTHING, RIGHT, WRONG
from tests.bench.judgement.cheats import possible
from tests.bench.judgement.programs import Program


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate is made from, before it is one."""

    key: str
    """The solution: `right/plain~1`."""
    label: str
    tests: str
    cheat: str = ""


def authors(kind: str, program: Program, rng: random.Random) -> list[Author]:
    wrongs = [f"wrong/{n}" for n in program.wrong]
    rights = [f"right/{n}" for n in program.right]
    rng.shuffle(wrongs)
    rng.shuffle(rights)
    match kind:
        case "plain":
            found = [_right(k, rng) for k in _varied(rights, rng.choice((1, 1, 2, 2, 3)))]
            found += [_wrong(k, rng) for k in _varied(wrongs[:2], rng.choice((1, 2, 2)))]
        case "majority":
            found = [_right(rights[0], rng)] + ([_right(rights[1], rng)] if rng.random() < 0.2 else [])
            found += [_wrong(k, rng) for k in _varied(wrongs[:1], len(found) + rng.choice((1, 1, 2)))]
        case "none":
            apart = rng.choice((2, 3, 3, 4))
            found = [_wrong(k, rng) for k in _varied(wrongs[:apart], apart + rng.choice((0, 0, 1)))]
        case "mirror":
            found = _mirrored(program, rights, rng)
        case _:
            found = [_right(rights[0], rng)] + [_wrong(k, rng) for k in wrongs[: rng.choice((2, 3, 3))]]
    found += _others(kind, program, wrongs, found, rng)
    return found[:6]


def _varied(keys: Sequence[str], number: int) -> list[str]:
    """As many as asked for, the same solutions in other words behind them."""
    return [keys[i % len(keys)] + (f"~{i // len(keys)}" if i >= len(keys) else "") for i in range(number)]


def _right(key: str, rng: random.Random) -> Author:
    return Author(key=key, label=RIGHT, tests=rng.choices(("good", "vacuous", "none", "bound"), (78, 8, 8, 6))[0])


def _wrong(key: str, rng: random.Random) -> Author:
    return Author(key=key, label=WRONG, tests=rng.choices(("toxic", "good", "vacuous", "none"), (22, 52, 13, 13))[0])


def _mirrored(program: Program, rights: list[str], rng: random.Random) -> list[Author]:
    """One or two for each of both readings, each with the same to say for it."""
    each, wrong = rng.choice((1, 1, 2)), f"wrong/{rng.choice(program.mirror)}"
    found = [Author(key=k, label=RIGHT, tests="mirror") for k in _varied(rights[:1], each)]
    return found + [Author(key=k, label=WRONG, tests="mirror") for k in _varied([wrong], each)]


def _others(kind: str, program: Program, wrongs: list[str], found: list[Author], rng: random.Random) -> list[Author]:
    """Those who cheat, do nothing, or copy."""
    more = []
    if rng.random() < (0.35 if kind != "mirror" else 0.25):
        how = rng.choice(possible(program))
        key = {"special": f"special/{wrongs[-1].partition('/')[2]}", "equal": "equal/"}.get(how, wrongs[-1])
        more.append(Author(key=key, label=CHEAT, tests="vacuous" if rng.random() < 0.5 else "none", cheat=how))
    if rng.random() < 0.25:
        more.append(Author(key="base", label=NOTHING, tests="none"))
    if kind != "mirror" and rng.random() < 0.2:
        copied = rng.choice(found)
        more.append(Author(key=copied.key, label=copied.label, tests="none"))
    return more

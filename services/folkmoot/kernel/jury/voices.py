"""Who says what: acceptable changes in classes of equal behaviour, and one voice per independent author.

A voice is an author with all his tests and findings in all rounds; authors of one and the same change are one voice.
Its patterns are what its tests say of the classes, each once: more tests that say the same change nothing.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

import msgspec

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Source
from folkmoot.kernel.jury.choice import cheapest_first, classes_of
from folkmoot.kernel.jury.gates import Entry
from folkmoot.kernel.jury.matrix import Cell, Trial
from folkmoot.kernel.jury.probed import Made, Probed, answers, columns, common, is_probe, probed
from folkmoot.kernel.result import DecidedBy

PASS, FAIL, WEAK, BLANK = "P", "F", "E", "?"
"""Of a test on a change: passes; an assertion fails; it does not get that far; says nothing."""
_MARKS: dict[Cell | None, str] = {
    None: BLANK,
    Cell.PASSED: PASS,
    Cell.FAILED: FAIL,
    Cell.ERROR: WEAK,
    Cell.TIMEOUT: WEAK,
    Cell.MISSING: WEAK,
    Cell.SKIPPED: WEAK,
    Cell.FLAKY: BLANK,
}
_BLIND = frozenset({Source.SEALED, Source.SPLIT})


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """What tests of one voice say alike."""

    marks: str
    """One mark per class."""
    base: str
    alone: bool
    """Passes on no class but its author's, and what nothing else tells from it: no other behaviour bears it out."""
    tests: tuple[tuple[str, str], ...]
    """Exhibit and test id of those that say it."""


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    blind: bool
    """Saw no candidate, or none by name, and has none of its own."""
    homes: frozenset[int]
    """Classes that it has a change in, in any round."""
    kin: frozenset[int]
    """Those, and classes that nothing tells from them but what only its author's own change passes."""
    patterns: tuple[Pattern, ...]


class Class(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that behave alike."""

    changes: tuple[tuple[Entry, ...], ...]
    """The cheapest first; the members of each are one and the same change."""
    marks: str
    """One per trial that counts."""
    authors: int
    """Those of one and the same change are one."""

    @property
    def late(self) -> bool:
        """Nobody behaved so before he saw the evidence."""
        return all(round_of(e.proposal) > 1 for e in self.entries)

    @property
    def entries(self) -> list[Entry]:
        return list(chain.from_iterable(self.changes))


class Hearing(msgspec.Struct, frozen=True, kw_only=True):
    """All that was said of the acceptable changes, sorted."""

    classes: tuple[Class, ...] = ()
    """By content."""
    voices: tuple[Voice, ...] = ()
    moves: tuple[tuple[str, int, int], ...] = ()
    """Authors who left one class for another when they saw the evidence: name, from, to."""
    thrown: tuple[tuple[Trial, str], ...] = ()
    """Tests that do not count, and why."""
    probed: Probed = Probed()


class _Row(msgspec.Struct, frozen=True):
    """A trial, and its mark on each change and on base."""

    trial: Trial
    marks: str
    base: str


def hear(
    entries: Sequence[Entry], acceptable: Sequence[Entry], trials: Sequence[Trial], *, probing: bool = False
) -> Hearing:
    """`entries`: of all proposals, in any order; `acceptable`: those among them that may win; `probing`: what calls
    give that no test makes counts."""
    changes = [tuple(cheapest_first(c)) for c in classes_of(cheapest_first(list(acceptable)))]
    cheats = {e.agent for e in entries if DecidedBy.INTEGRITY in e.faults}
    outside = [e.proposal for e in entries if _only_checks_fail(e)]
    rows, thrown = list[_Row](), list[tuple[Trial, str]]()
    for trial in (t for t in trials if not is_probe(t)):
        row = _Row(trial, _marks(trial.cells, changes), _MARKS[trial.cells.get(BASE)])
        problem = _problem(row, cheats, outside)
        (thrown.append((trial, problem)) if problem else rows.append(row))
    groups = _authors(changes, entries)
    others = _others(entries, acceptable)
    whole = answers(trials if probing else (), [p for p, _ in (*others, *chain.from_iterable(_made(changes)))])
    said = common(whole, _made(changes))
    classes, of_change = _classes(changes, rows, groups, columns(said, _made(changes)))
    return Hearing(
        classes=classes,
        voices=_voices(changes, classes, of_change, rows, groups),
        moves=_moves(changes, of_change),
        thrown=tuple(thrown),
        probed=probed(said, _made([c.entries for c in classes]), others),
    )


def _made(groups: Sequence[Sequence[Entry]]) -> list[list[Made]]:
    return [[(e.proposal, e.agent) for e in of] for of in groups]


def _others(entries: Sequence[Entry], acceptable: Sequence[Entry]) -> list[Made]:
    """Honest changes that may not win: what fails one test may be right about another."""
    there = {e.proposal for e in acceptable}
    return [(e.proposal, e.agent) for e in entries if e.proposal not in there and DecidedBy.INTEGRITY not in e.faults]


def _only_checks_fail(entry: Entry) -> bool:
    return set(entry.faults) == {DecidedBy.ACCEPTANCE}


def _marks(cells: dict[str, Cell], changes: Sequence[tuple[Entry, ...]]) -> str:
    return "".join([_MARKS[cells.get(c[0].proposal)] if len(c) == 1 else _common(cells, c) for c in changes])


def _common(cells: dict[str, Cell], change: Sequence[Entry]) -> str:
    """Of one and the same change that several made: where its runs disagree, the test is flaky."""
    seen = {_MARKS[cells.get(e.proposal)] for e in change}
    return seen.pop() if len(seen) == 1 else BLANK if PASS in seen or BLANK in seen else WEAK


def _problem(row: _Row, cheats: AbstractSet[str], outside: Sequence[str]) -> str:
    """Why a test says nothing; empty when it counts."""
    cells, marks = row.trial.cells, row.marks
    if row.trial.exhibit.author in cheats:
        return "its author's change is out by integrity"
    if cells.get(BASE) is Cell.FLAKY or (marks.count(BLANK) > 1 and Cell.FLAKY in cells.values()):
        return "it is flaky"
    if not marks or PASS in marks:
        return ""
    if FAIL not in marks and Cell.SKIPPED in cells.values():
        return "it is skipped"
    passes_outside = any(cells.get(p) is Cell.PASSED for p in outside)
    return "it passes only where a check of the story fails" if passes_outside else ""


# --- classes -----------------------------------------------------------------------------------------------------


def _classes(
    changes: Sequence[tuple[Entry, ...]], rows: Sequence[_Row], groups: dict[str, str], given: Sequence[Sequence[str]]
) -> tuple[tuple[Class, ...], list[int]]:
    """Classes, cheapest first, and the class of each change. `groups`: as of `_authors`; `given`: by each change, in
    calls that no test makes."""
    by_marks: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for number, marks in enumerate(_columns(rows, len(changes))):
        by_marks.setdefault((marks, tuple(given[number])), []).append(number)
    classes = tuple(
        Class(
            changes=tuple(changes[n] for n in of),
            marks=marks,
            authors=len({groups[e.agent] for n in of for e in changes[n]}),
        )
        for (marks, _), of in by_marks.items()
    )
    number_of = {n: number for number, of in enumerate(by_marks.values()) for n in of}
    return classes, [number_of[n] for n in range(len(changes))]


def _moves(changes: Sequence[tuple[Entry, ...]], of_change: Sequence[int]) -> tuple[tuple[str, int, int], ...]:
    """From the class of an author's first round to that of the last, where both are acceptable."""
    rounds: dict[str, list[tuple[int, int]]] = {}
    for number, change in enumerate(changes):
        for e in change:
            rounds.setdefault(e.agent, []).append((round_of(e.proposal), of_change[number]))
    ends = {agent: (min(of)[1], max(of)[1]) for agent, of in rounds.items()}
    return tuple((agent, *ends[agent]) for agent in sorted(ends) if ends[agent][0] != ends[agent][1])


def round_of(proposal: str) -> int:
    """As its id says: `dev-1-r2` is of the second; 1 where it says nothing."""
    tail = proposal.rpartition("-r")[2]
    return int(tail) if tail.isdecimal() else 1


# --- voices ------------------------------------------------------------------------------------------------------


def _voices(
    changes: Sequence[tuple[Entry, ...]],
    classes: Sequence[Class],
    of_change: Sequence[int],
    rows: Sequence[_Row],
    groups: dict[str, str],
) -> tuple[Voice, ...]:
    families = _families(changes, rows, groups)
    said: dict[tuple[str, bool], list[_Row]] = {}
    for row in rows:
        author = str(row.trial.exhibit.author)
        blind = row.trial.exhibit.source in _BLIND and author not in groups
        said.setdefault((groups.get(author, author), blind), []).append(row)
    first = [of_change.index(n) for n in range(len(classes))]
    voices = []
    for (name, blind), of in sorted(said.items()):
        own = [n for n, change in enumerate(changes) if any(groups[e.agent] == name for e in change)]
        homes = frozenset(of_change[n] for n in own)
        kin = frozenset(n for n in range(len(classes)) if families[first[n]] in {families[h] for h in own})
        said_ = _patterns(of, first, kin, blind)
        voices.append(Voice(name=name, blind=blind, homes=homes, kin=kin, patterns=said_))
    return tuple(voices)


def _families(changes: Sequence[tuple[Entry, ...]], rows: Sequence[_Row], groups: dict[str, str]) -> list[str]:
    """Of each change what tells it from others apart from tests that only their author's own change passes: who adds
    one of those does not become somebody else."""
    names = [groups[c[0].agent] for c in changes]
    apart = [row for row in rows if _shared(row, names, groups)]
    return _columns(apart, len(changes))


def _shared(row: _Row, names: Sequence[str], groups: dict[str, str]) -> bool:
    """A change of somebody else's passes it too, or its writer has none."""
    exhibit = row.trial.exhibit
    author = groups.get(exhibit.author, exhibit.author)
    return exhibit.source in _BLIND or any(m == PASS and n != author for m, n in zip(row.marks, names, strict=True))


def _columns(rows: Sequence[_Row], changes: int) -> list[str]:
    """Of each change its marks, one per row; which way it does not pass is no difference."""
    plain = [row.marks.replace(FAIL, WEAK) for row in rows]
    return list(map("".join, zip(*plain, strict=True))) if plain else [""] * changes


def _authors(changes: Sequence[tuple[Entry, ...]], entries: Sequence[Entry]) -> dict[str, str]:
    """Which authors are one voice, for they made the same change: by agent, the names of all of them."""
    groups: dict[str, set[str]] = {e.agent: {e.agent} for e in entries}
    for change in changes:
        joined = set().union(*(groups[e.agent] for e in change))
        groups |= dict.fromkeys(joined, joined)
    return {agent: " and ".join(sorted(of)) for agent, of in groups.items()}


def _patterns(rows: Iterable[_Row], first: Sequence[int], kin: AbstractSet[int], blind: bool) -> tuple[Pattern, ...]:
    """`first`: a change of each class; `kin`: as of the voice."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows:
        marks = "".join([row.marks[n] for n in first])
        found.setdefault((marks, row.base), []).append((row.trial.exhibit.exhibit_id, row.trial.test))
    return tuple(
        Pattern(marks=marks, base=base, alone=not blind and not _borne_out(marks, kin), tests=tuple(tests))
        for (marks, base), tests in sorted(found.items())
    )


def _borne_out(marks: str, kin: AbstractSet[int]) -> bool:
    return any(mark == PASS and number not in kin for number, mark in enumerate(marks))

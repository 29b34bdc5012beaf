"""What calls that no test makes say: where candidates differ, and which of the others give the same.

Nobody wrote down what is right, so this is a vote of independent behaviours: those who err each in another way agree
where they do not err. Changes that give the same everywhere have one vote, however many they are, and none about
themselves; nor has anybody about what he made himself. Tests do not come into it: who adds one changes no vote.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Source
from folkmoot.kernel.jury.matrix import Cell, Trial
from folkmoot.kernel.probing import call_of, given

UNKNOWN = ""
QUORUM = 2
"""Behaviours that agree with each other against one."""

Made = tuple[str, str]
"""A proposal, and its author."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    authors: frozenset[str]
    """Of all changes that give the same."""
    said: tuple[str, ...]
    """By call; UNKNOWN where it is not known."""


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    calls: tuple[str, ...] = ()
    classes: tuple[Behaviour, ...] = ()
    voters: tuple[Behaviour, ...] = ()
    """All that differ, of honest changes."""

    def heard(self, *classes: int) -> list[Behaviour]:
        """Those who have a vote about these."""
        about = [self.classes[n] for n in classes]
        authors = frozenset().union(*(f.authors for f in about))
        return [v for v in self.voters if v.authors - authors and v.said not in [f.said for f in about]]

    def votes(self, one: int, other: int) -> int:
        """Who more often gives what `one` gives, where the two differ; less those who give what the other does."""
        apart = self._apart(one, other)
        lean = [sum((v.said[n] == a) - (v.said[n] == b) for n, a, b in apart) for v in self.heard(one, other)]
        return sum((v > 0) - (v < 0) for v in lean)

    def outvoted(self, number: int) -> list[str]:
        """Calls of which others agree with each other, and nobody with this one."""
        own, heard = self.classes[number].said, self.heard(number)
        return [c for n, c in enumerate(self.calls) if _outvoted(own[n], [v.said[n] for v in heard])]

    def upheld(self, number: int) -> bool:
        """There are enough others, they differ from it, and nowhere they agree against it."""
        return any(self.classes[number].said) and len(self.heard(number)) >= QUORUM and not self.outvoted(number)

    def apart(self, one: int, other: int) -> list[tuple[str, str, str]]:
        """Calls that give something else, with what they give."""
        return [(self.calls[n], a, b) for n, a, b in self._apart(one, other)]

    def _apart(self, one: int, other: int) -> list[tuple[int, str, str]]:
        pairs = zip(self.classes[one].said, self.classes[other].said, strict=True)
        return [(n, a, b) for n, (a, b) in enumerate(pairs) if a != b and UNKNOWN not in (a, b)]


def _outvoted(own: str, others: Iterable[str]) -> bool:
    said = Counter(of for of in others if of != UNKNOWN)
    return own not in (UNKNOWN, *said) and max(said.values(), default=0) >= QUORUM


def is_probe(trial: Trial) -> bool:
    return trial.exhibit.source is Source.PROBE


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    calls: tuple[str, ...] = ()
    said: dict[str, tuple[str, ...]] = {}
    """By proposal, one for each call."""


def answers(trials: Iterable[Trial], proposals: Iterable[str]) -> Answers:
    """One call is several trials: one for each thing that it gives somewhere."""
    by_call: dict[str, dict[str, Mapping[str, Cell]]] = {}
    for trial in trials:
        if is_probe(trial) and (call := call_of(trial.test)):
            by_call.setdefault(call, {})[given(trial.test)] = trial.cells
    calls = tuple(sorted(by_call))
    if not calls:
        return Answers()
    return Answers(calls=calls, said={p: tuple(_said(by_call[c], p) for c in calls) for p in proposals})


def common(found: Answers, changes: Sequence[Sequence[Made]]) -> Answers:
    """Of calls that all these changes give something for; but for those that give nothing anywhere. What is known of
    some only would tell more of a class the fewer it holds."""
    of = [_common([found.said[p] for p, _ in change]) for change in changes] if found.calls else []
    known = [said for said in of if any(said)]
    kept = [n for n in range(len(found.calls)) if known and all(said[n] != UNKNOWN for said in known)]
    return Answers(
        calls=tuple(found.calls[n] for n in kept),
        said={proposal: tuple(said[n] for n in kept) for proposal, said in found.said.items()},
    )


def columns(found: Answers, changes: Sequence[Sequence[Made]]) -> list[tuple[str, ...]]:
    """Of each change what it gives."""
    return [_common([found.said[p] for p, _ in change]) if found.calls else () for change in changes]


def probed(found: Answers, classes: Sequence[Sequence[Made]], others: Sequence[Made]) -> Probed:
    """`others` have a vote only. Of a class all give the same."""
    if not found.calls:
        return Probed()
    authors: dict[tuple[str, ...], set[str]] = {}
    for proposal, author in (*others, *(made for of in classes for made in of)):
        authors.setdefault(found.said[proposal], set()).add(author)
    said = [_common([found.said[p] for p, _ in of]) for of in classes]
    return Probed(
        calls=found.calls,
        classes=tuple(_behaviour(authors.get(of, ()), of) for of in said),
        voters=tuple(_behaviour(by, of) for of, by in sorted(authors.items()) if any(of)),
    )


def _behaviour(authors: Iterable[str], said: Sequence[str]) -> Behaviour:
    return Behaviour(authors=frozenset(authors), said=tuple(said))


def _said(by_value: Mapping[str, Mapping[str, Cell]], proposal: str) -> str:
    cells = {value: of.get(proposal) for value, of in by_value.items()}
    found = [value for value, cell in cells.items() if cell is Cell.PASSED]
    if len(found) != 1 or Cell.FLAKY in cells.values():
        return UNKNOWN
    unmade = found[0].startswith("raises ") and found[0] == _at_base(by_value)
    return UNKNOWN if unmade else found[0]


def _at_base(by_value: Mapping[str, Mapping[str, Cell]]) -> str:
    return next((value for value, of in by_value.items() if of.get(BASE) is Cell.PASSED), UNKNOWN)


def _common(said: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """UNKNOWN where they differ."""
    return tuple(of[0] if len(set(of)) == 1 else UNKNOWN for of in zip(*said, strict=True))

"""The numbers of one repository: those that ship as a prior, and what became of decisions there. Pure.

Only what a confidence adds up from is learned. What the choice rests on (duels) stays: winners are chosen by it, so
that what became of them says nothing about it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import StoryAccepted, StoryPlanned, StorySentBack, TaskDecided
from folkmoot.kernel.ids import ProposalId, TaskId
from folkmoot.kernel.jury.case import Case, case_of
from folkmoot.kernel.jury.choice import same_change
from folkmoot.kernel.jury.evidence import Evidence
from folkmoot.kernel.jury.gates import Entry
from folkmoot.kernel.jury.policy import Policy
from folkmoot.kernel.jury.weighing import tells
from folkmoot.kernel.result import State

PRIOR = 20.0
"""Cases that each number which ships stands for."""
CHANCES = ("guarded", "unguarded")
AGAINST = ("broken", "blind_broken")
"""Ratios that say how much likelier a sign is where the change is wrong."""
OF_WEIGHTS = ("kept", "broken", "blind_kept", "blind_broken", "agree")
NAMES = (*CHANCES, "first_check", "repaired", "peer", *OF_WEIGHTS)
"""All that is learned; the others stay as they are."""

Signs = dict[str, tuple[int, int]]
"""By the name of a number: how often its sign was there, of how often it could have been."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A decision of which it is known whether it was right."""

    evidence: Evidence
    chosen: ProposalId
    right: bool


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Signs that there were, of those that there could have been: on right decisions, and on wrong ones."""

    right: int = 0
    of_right: int = 0
    wrong: int = 0
    of_wrong: int = 0

    def plus(self, seen: int, chances: int, *, right: bool) -> "Tally":
        change = msgspec.structs.replace
        if right:
            return change(self, right=self.right + seen, of_right=self.of_right + chances)
        return change(self, wrong=self.wrong + seen, of_wrong=self.of_wrong + chances)


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    policy: Policy
    tallies: dict[str, Tally]
    """By the name of a number; one without any is as it ships."""


# --- what became of a story's tasks -------------------------------------------------------------------------------


def outcomes(facts: Iterable[Fact]) -> Iterator[tuple[TaskId, bool]]:
    """Tasks with a commit of which a person's word says whether it is right. Accepted: all of the plan. Sent back: the
    one of a plan of one task; of several nobody says which was wrong."""
    planned, decided = 0, list[TaskId]()
    for fact in facts:
        match fact:
            case StoryPlanned():
                planned, decided = len(fact.tasks), []
            case TaskDecided(state=State.DECIDED) if fact.commit:
                decided.append(fact.task_id)
            case StoryAccepted():
                yield from ((task, True) for task in decided)
            case StorySentBack() if planned == len(decided) == 1:
                yield decided[0], False


# --- signs --------------------------------------------------------------------------------------------------------


def signs(known: Known, policy: Policy) -> Signs:
    """What spoke for the chosen one, and what could have."""
    case = case_of(known.evidence, policy)
    entry = next((e for e in case.entries if e.proposal == known.chosen and not e.faults), None)
    if entry is None:
        return {}
    others = any(e.agent != entry.agent for e in case.entries)
    found = _of_gates(case, entry)
    if case.weighed is None:
        alike = {e.agent for e in same_change(entry, case.best)} - {entry.agent}
        return found | ({"peer": (int(bool(alike)), 1)} if others else {})
    number = next(n for n, c in enumerate(case.hearing.classes) if entry in c.entries)
    of = case.hearing.classes[number]
    differ = min(len(of.changes), len({e.agent for e in of.entries})) > 1
    return found | ({"agree": (int(differ), 1)} if others else {}) | _of_voices(case, number)


def _of_gates(case: Case, entry: Entry) -> Signs:
    found: Signs = {"first_check": (int(bool(case.baseline.open_checks)), 1)}
    if case.baseline.failing:
        found["repaired"] = (int(entry.repaired > 0), 1)
    if case.best == [entry] and not (case.baseline.open_checks or entry.repaired or case.view.told):
        found["guarded" if case.baseline.passing else "unguarded"] = (1, 1)
    return found


def _of_voices(case: Case, number: int) -> Signs:
    """Each voice from outside that could bear the class out, or contradict it."""
    kept, broken = dict[bool, int](), dict[bool, int]()
    chances = dict[bool, int]()
    said = {o.voice: o.doubts.get(number, 0.0) for o in case.view.voiced}
    for voice in case.hearing.voices:
        if number in voice.kin or not any(tells(p) for p in voice.patterns):
            continue
        chances[voice.blind] = chances.get(voice.blind, 0) + 1
        odds = said.get(voice.name, 0.0)
        kept[voice.blind] = kept.get(voice.blind, 0) + (odds > 0)
        broken[voice.blind] = broken.get(voice.blind, 0) + (odds < 0)
    names = {False: ("kept", "broken"), True: ("blind_kept", "blind_broken")}
    return {
        name: (seen.get(blind, 0), of)
        for blind, of in chances.items()
        for name, seen in zip(names[blind], (kept, broken), strict=True)
    }


# --- numbers ------------------------------------------------------------------------------------------------------


def learned(
    policy: Policy, cases: Iterable[Known], version: str, *, repository: str = "", prior: float = PRIOR
) -> Learned:
    """`policy` with what the cases say, each of its numbers counted as `prior` cases beside them. The order of the
    cases does not matter; a number of which they say nothing stays."""
    tallies: dict[str, Tally] = {}
    for known in cases:
        for name, (seen, chances) in signs(known, policy).items():
            tallies[name] = tallies.get(name, Tally()).plus(seen, chances, right=known.right)
    heard = {name: tallies[name] for name in NAMES if name in tallies and _has(policy, name)}
    new = {name: _number(_value(policy, name), name, tally, prior) for name, tally in heard.items()}
    change = msgspec.structs.replace
    own = {name: value for name, value in new.items() if name not in OF_WEIGHTS}
    weights = policy.weights and change(policy.weights, **{n: v for n, v in new.items() if n in OF_WEIGHTS})
    new_policy = change(policy, version=version, repository=repository, weights=weights, **own)
    return Learned(policy=new_policy, tallies=heard)


def _has(policy: Policy, name: str) -> bool:
    return name not in OF_WEIGHTS or policy.weights is not None


def _value(policy: Policy, name: str) -> float:
    value: float = getattr(policy.weights if name in OF_WEIGHTS else policy, name)
    return value


def _number(shipped: float, name: str, tally: Tally, prior: float) -> float:
    if name in CHANCES:
        return round((prior * shipped + tally.of_right) / (prior + tally.of_right + tally.of_wrong), 3)
    if not tally.right + tally.wrong:
        return shipped
    if_right, if_wrong = _prior(1 / shipped if name in AGAINST else shipped, tally)
    right = (prior * if_right + tally.right) / (prior + tally.of_right)
    wrong = (prior * if_wrong + tally.wrong) / (prior + tally.of_wrong)
    ratio = wrong / right if name in AGAINST else right / wrong
    return round(min(max(ratio, 0.001), 1000.0), 3)


def _prior(ratio: float, tally: Tally) -> tuple[float, float]:
    """How often the sign would be there on right and on wrong changes by that ratio, if it were there as often in all
    as it was: so that only a contrast between the two moves the ratio, as far as there can be such a ratio."""
    share = tally.of_right / (tally.of_right + tally.of_wrong)
    rate = (tally.right + tally.wrong) / (tally.of_right + tally.of_wrong)
    wrong = min(rate / (share * ratio + 1 - share), 1.0, 1 / ratio)
    return ratio * wrong, wrong


# --- a file for people --------------------------------------------------------------------------------------------


def as_file(shipped: str, found: Learned, head: Iterable[str]) -> str:
    """The file `shipped` with the new numbers, each with its counts above it, under the comment `head`."""
    notes = {name: (_value(found.policy, name), tally) for name, tally in found.tallies.items()}
    lines = [f"# {line}".rstrip() for line in head]
    for line in shipped.splitlines():
        name, _, number = line.partition(" = ")
        if name == "version":
            lines += [f"version = {_quoted(found.policy.version)}", f"repository = {_quoted(found.policy.repository)}"]
        elif name in notes:
            value, tally = notes[name]
            lines += [f"# Learned: {_counted(name, tally)}; {number} as it ships.", f"{name} = {value:g}"]
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """What JSON quotes, TOML reads."""
    return msgspec.json.encode(text).decode()


def _counted(name: str, tally: Tally) -> str:
    if name in CHANCES:
        return f"{tally.of_right} right and {tally.of_wrong} wrong where nothing else spoke"
    return f"there on {tally.right} of {tally.of_right} right and {tally.wrong} of {tally.of_wrong} wrong"


def named(repository: str, base: str, cases: Mapping[bool, int]) -> str:
    """A version for what was learned: of which repository, over which policy, from how many decisions."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", repository.rstrip("/").rpartition("/")[2].removesuffix(".git")).strip("-")
    return f"{base}-{name[:32] or 'repository'}-{sum(cases.values())}"

"""Why a candidate was chosen, or none, in words."""

from collections.abc import Callable

from folkmoot.kernel.evidence import Finding
from folkmoot.kernel.jury.case import Case
from folkmoot.kernel.jury.choice import cheapest_first, classes_of, same_change
from folkmoot.kernel.jury.gates import GATES, Entry
from folkmoot.kernel.jury.matrix import Cell
from folkmoot.kernel.jury.policy import Policy
from folkmoot.kernel.jury.ranking import standing
from folkmoot.kernel.jury.voices import PASS, Pattern
from folkmoot.kernel.jury.weighing import EPSILON, Opinion, Pair
from folkmoot.kernel.jury.words import NAMED, count, cut, listed, listed_flags, named, tests
from folkmoot.kernel.result import DecidedBy

FLAGS = 8
"""Findings on the chosen change that a ruling tells, the gravest first."""
QUESTIONS = 5
"""Of an abstention, before the step that would settle it."""


def why(case: Case, chosen: Entry, by: DecidedBy) -> list[str]:
    if by in _BY:
        second = next((e for e in case.best if e not in _behaving_like(case, chosen)), None)
        after = f"; the runner-up is {second.agent}" if second else ""
        how = _ASSERTED if by is DecidedBy.CROSS_EXAMINATION and _duel_is_level(case) else _BY[by]
        return [f"{chosen.agent} is chosen by {how}{after}", *_like(case, chosen)]
    best = case.best if case.weighed is None else _level(case)
    rivals = [e for e in best if e not in same_change(chosen, best)]
    if rivals:
        return [_by_cost(chosen, rivals, len(classes_of(best))), *_like(case, chosen)]
    match by:
        case DecidedBy.ONLY_CANDIDATE:
            alone = len(case.fields[0][1]) == 1
            return [f"{chosen.agent} is chosen: " + ("the only proposal" if alone else "all proposals are one change")]
        case DecidedBy.INTEGRITY:
            return [f"{chosen.agent} is chosen by integrity: the others were turned back or changed protected files"]
        case DecidedBy.REGRESSION:
            return [f"{chosen.agent} is chosen by base's tests: no other proposal keeps them"]
    return [f"{chosen.agent} is chosen by acceptance: no other proposal that came so far does as well"]


_BY = {
    DecidedBy.CROSS_EXAMINATION: "cross-examination: the tests of all authors speak for it",
    DecidedBy.SEALED_TESTS: "tests whose writers saw no candidate, or two without names",
    DecidedBy.JUDGING: "judging, which evidence leaves level",
}


_ASSERTED = "cross-examination: no duel tells the first two apart, and more of its authors assert what the other fails"


def _duel_is_level(case: Case) -> bool:
    assert case.weighed is not None
    one, other = sorted(case.weighed.order[:2])
    return abs(case.view.between.get((one, other), 0.0)) < EPSILON


def _level(case: Case) -> list[Entry]:
    """All that opinions leave level with the first, the cheapest first."""
    assert case.weighed is not None
    return cheapest_first([e for n in case.weighed.level for e in case.hearing.classes[n].entries])


def _behaving_like(case: Case, chosen: Entry) -> list[Entry]:
    return next((c.entries for c in case.hearing.classes if chosen in c.entries), [chosen])


def _like(case: Case, chosen: Entry) -> list[str]:
    alike = sorted({e.agent for e in _behaving_like(case, chosen)} - {chosen.agent})
    told = case.weighed is not None and len(case.hearing.classes) > 1
    return [f"in all tests {listed(alike)} behave{'s' if len(alike) == 1 else ''} like it"] if alike and told else []


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


def adding_up(odds: list[tuple[str, float]], confidence: float) -> str:
    terms = "; ".join(f"{words} {value:+.2f}" for words, value in odds)
    return f"confidence {confidence:.2f}, from log-odds: {terms}"


def support(odds: list[tuple[str, float]], confidence: float, policy: Policy) -> list[str]:
    words = [adding_up(odds, confidence)]
    if confidence < policy.weak:
        words.append("weakly supported: a check that fails at base and passes on a right change would say more")
    return words


def why_none(case: Case, confidence: float) -> list[str]:
    entries = case.entries
    if not entries:
        return ["no agent made a proposal: nothing could be judged", "another try, or another model, would settle it"]
    if case.disputed:
        held = sorted({e.agent for e in entries if e.held})
        return [f"{listed(held)} fail nothing but what all otherwise good proposals fail", *settle(case)]
    if any(not e.faults for e in entries):
        return [*_too_little(case, confidence), *settle(case)]
    who = "the only proposal is not" if len(entries) == 1 else f"none of {len(entries)} proposals is"
    return [f"{who} acceptable", *settle(case)]


def _too_little(case: Case, confidence: float) -> list[str]:
    """Two camps are no answer, however sure one of them is."""
    rigor = case.evidence.rigor
    least = case.policy.profile[rigor].threshold
    words = f"the best candidate has a confidence of {confidence:.2f}; {rigor} asks for {least:.2f}"
    if case.wording == 1:
        return [words]
    if f"{confidence:.2f}" == f"{least:.2f}":
        words = f"the best candidate has a confidence just below the {least:.2f} that {rigor} asks for"
    return [*([_camps(case)] if case.contradicted else []), *([words] if confidence < least else [])]


def _camps(case: Case) -> str:
    assert case.weighed is not None
    level = [n for n in case.weighed.order if n in case.weighed.level]
    names = [case.hearing.classes[n].changes[0][0].agent for n in level]
    who = " and ".join(names) if len(names) == 2 else listed(names)
    return (
        f"{who} behave differently, no evidence puts one of them first, and the authors of each assert what the other "
        "fails: which is right is a question to you"
    )


def settle(case: Case) -> list[str]:
    """What would help where none is chosen: questions and steps for the product owner."""
    if not case.entries:
        return ["another try, or another model, would settle it"]
    if case.disputed:
        few = sorted(case.disputed)[:NAMED]
        return [f"is `{cut(t, 120)}` of base meant to change? Name it as superseded, or it stays" for t in few]
    if any(not e.faults for e in case.entries):
        return [
            *(_questions(case) if case.wording == 1 else _questions(case)[:QUESTIONS]),
            "an acceptance check that fails at base and passes on a right change would settle it",
        ]
    return [_settle(case)]


def _questions(case: Case) -> list[str]:
    """What the first two classes differ in; else what speaks against the only one."""
    if case.weighed is None:
        return []
    order, classes = case.weighed.order, case.hearing.classes
    if len(order) > 1:
        one, other = classes[order[0]].changes[0][0].agent, classes[order[1]].changes[0][0].agent
        tests_ = _tests(case, lambda p: (p.marks[order[0]] == PASS) != (p.marks[order[1]] == PASS))
        asked = [f"`{one}` and `{other}` differ on test `{t}` by {v}: which is right?" for t, v in tests_[:NAMED]]
        return [*asked, *_differences(case, one, other)[:NAMED]]
    tests_ = _tests(case, lambda p: p.marks[0] != PASS)
    return [f"`{classes[0].changes[0][0].agent}` fails test `{t}` by {v}: is it right?" for t, v in tests_[:NAMED]]


def _differences(case: Case, one: str, other: str) -> list[str]:
    """What the first two classes give in calls that no test makes, the shortest first."""
    assert case.weighed is not None
    found = case.hearing.probed.apart(*case.weighed.order[:2]) if case.hearing.probed.calls else []
    return [
        f"`{cut(call[4:], 80)}` gives {cut(a, 40)} with `{one}`, {cut(b, 40)} with `{other}`: which is right?"
        for call, a, b in sorted(found, key=lambda of: (len(of[0]), of))
    ]


def _tests(case: Case, wanted: Callable[[Pattern], bool]) -> list[tuple[str, str]]:
    """One test of each pattern that is wanted, with its author; those that others pass too come first."""
    found = [(p.alone, p.tests[0][1], v.name) for v in case.hearing.voices for p in v.patterns if wanted(p)]
    return [(cut(test, 60), name) for _, test, name in sorted(found)]


def opinions(case: Case) -> list[str]:
    """What each voice says between the first two classes, and which tests do not count."""
    if case.weighed is None:
        return []
    words = list[str]()
    if len(case.weighed.order) > 1:
        one, other = case.weighed.order[:2]
        named_ = [case.hearing.classes[n].changes[0][0].agent for n in (one, other)]
        sign, pair = (1, (one, other)) if one < other else (-1, (other, one))
        said = [f"{o.voice} {sign * o.duels[pair]:+.2f}" for o in case.view.voiced if _speaks(case, o, pair)]
        words.append(f"{named_[0]} against {named_[1]}: " + ("; ".join(said) or _silence(case)))
    for why_ in sorted({why_ for _, why_ in case.hearing.thrown}):
        out = [t.test for t, w in case.hearing.thrown if w == why_]
        words.append(f"{tests(out)} without weight, for {why_}: {named(out)}")
    return [*words, *_findings(case)]


def _speaks(case: Case, opinion: Opinion, pair: Pair) -> bool:
    """Also one without weight, in the first edition."""
    return pair in opinion.duels and (case.wording == 1 or abs(opinion.duels[pair]) > EPSILON)


def _silence(case: Case) -> str:
    assert case.weighed is not None
    one, other = case.weighed.order[:2]
    tests_ = _tests(case, lambda p: (p.marks[one] == PASS) != (p.marks[other] == PASS))
    if case.wording == 1 or not tests_:
        return "no test or judge tells them apart"
    return "nothing with weight tells them apart; a test that only its own author passes has none"


def _findings(case: Case) -> list[str]:
    """Findings that were not reproduced, by reviewer."""
    by_id = {e.exhibit_id: e.author for e in case.evidence.exhibits}
    lost: dict[str, int] = {}
    for finding in case.evidence.findings:
        if finding.exhibit_id in by_id and not reproduced(case, finding):
            author = by_id[finding.exhibit_id]
            lost[author] = lost.get(author, 0) + 1
    return [
        f"{count(n, 'finding')} of {author} {'was' if n == 1 else 'were'} not reproduced: without weight"
        for author, n in sorted(lost.items())
    ]


def reproduced(case: Case, finding: Finding) -> bool:
    """A test of its file fails on the accused and passes on another candidate, or on base."""
    return any(
        t.cells.get(finding.proposal_id) in (Cell.FAILED, Cell.ERROR, Cell.TIMEOUT) and Cell.PASSED in t.cells.values()
        for t in case.trials
        if t.exhibit.exhibit_id == finding.exhibit_id
    )


def _settle(case: Case) -> str:
    """What would help, after the gate at which the best ones failed."""
    furthest = max(next(i for i, gate in enumerate(GATES) if gate in e.faults) for e in case.entries)
    keeps = "a proposal that keeps base's tests would settle it; or "
    return (
        "a proposal that leaves protected files alone and passes the border would settle it",
        keeps + ("drop those" if case.wording == 1 else "name those as superseded") + " that the story means to change",
        "a proposal that passes the checks would settle it; see whether a right change can pass them at all",
    )[furthest]


def why_out(entries: list[Entry]) -> list[str]:
    """The first fault of each that is out."""
    out = sorted((e for e in entries if e.faults), key=lambda e: (standing(e, {}), e.proposal))
    return [next(e.faults[gate][0] for gate in GATES if gate in e.faults) for e in out]

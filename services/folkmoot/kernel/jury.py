"""The jury: evidence in, ranking and reasons out. Pure, and blind to the order of candidates and to who wrote them.

Gates first (integrity, regression, acceptance), then what base's failing tests say, then the cheapest change. When no
candidate passes the gates, or too little speaks for the best one, it abstains. `docs/decisions.md` works an example.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from folkmoot.kernel.deliberation import BASE, Deliberation
from folkmoot.kernel.evidence import Admission, CommandEnd, Examination, Outcome, Refusal, SuiteKind
from folkmoot.kernel.facts import CandidatesRanked as Ruling
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.result import DecidedBy, Ranked
from folkmoot.kernel.task import Rigor

__all__ = ["POLICY", "Candidate", "Evidence", "Policy", "Ruling", "collect", "judge"]

MAX_REASON_BYTES = 240
"""As JSON. With the two caps below, 16 candidates take at most 48 KiB of a 64 KiB event."""
MAX_REASONS = 6
"""Per candidate."""
MAX_RULING_REASONS = 30
FLAGS = 8
"""Findings on the chosen change that a ruling tells, the gravest first."""
NAMED = 3
"""Test ids, files and the like that a reason names before it counts."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the jury, as versioned data. Odds are natural logarithms; each adds to the others."""

    version: str = "1"
    guarded: float = math.log(0.61 / 0.39)
    """A change that keeps base's tests is right in 61 % of cases (precision of the regression filter: R2E-Gym and Trae
    report it for repair tasks of SWE-bench)."""
    unguarded: float = math.log(0.40 / 0.60)
    """Nothing passes at base, so nothing was kept. Assumption, between 0.23 (a random candidate on 171 hard cases) and
    0.51 (mean candidate on SWE-bench Verified)."""
    first_check: float = math.log(6)
    """A check that fails at base and passes here. Assumption: a wrong change satisfies one in six such checks."""
    further_check: float = math.log(1.5)
    """Each one more, up to `further_checks`: checks of one story are far from independent. Assumption."""
    further_checks: int = 4
    repaired: float = math.log(3)
    """At least one test of base that always failed there passes here; weaker than a check, for nobody said that it is
    meant. Assumption."""
    peer: float = math.log(1.3)
    """Each other agent with the same change, up to `peers`: agents on one model err alike (a majority of outputs closed
    6 % of the gap on the hard cases). Assumption."""
    peers: int = 3
    threshold: dict[Rigor, float] = msgspec.field(
        default_factory=lambda: {Rigor.L0: 0.02, Rigor.L1: 0.02, Rigor.L2: 0.3, Rigor.L3: 0.5}
    )
    """Least confidence for a decision. L0 and L1 have no evidence beyond the gates: what passes them is answered, and
    its weakness is said. 0.3 and 0.5: 82 and 85 % of decisions were right on the hard cases."""
    level: float = 1.0
    """Times the logarithm of the number of different changes that evidence leaves level: they share the odds. With the
    4.65 candidates of a hard case it gives 0.25; 23 % of them were right."""
    weak: float = 0.5
    """Below it the answer is called weakly supported."""


POLICY = Policy()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An admitted proposal and all that was run on it."""

    admission: Admission
    examinations: tuple[Examination, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the jury may know."""

    rigor: Rigor
    checks: tuple[str, ...]
    """The story's own; each must have been run on every candidate."""
    tested: bool
    """Base has a test suite."""
    base: tuple[Examination, ...]
    """The baseline's runs, and the checks at base."""
    candidates: tuple[Candidate, ...]
    refusals: tuple[Refusal, ...] = ()
    failures: dict[AgentId, str] = {}
    """Agents without a proposal."""


def collect(state: Deliberation, examinations: Iterable[Examination]) -> Evidence:
    """What was recorded, sorted for the jury. `examinations` are the bodies behind `state.examined`."""
    by_subject: dict[str, list[Examination]] = {}
    for examination in examinations:
        by_subject.setdefault(examination.subject, []).append(examination)
    return Evidence(
        rigor=state.spec.rigor,
        checks=tuple(dict.fromkeys(state.spec.checks)),
        tested=state.base is not None and state.base.suite is not None,
        base=tuple(by_subject.get(BASE, ())),
        candidates=tuple(
            Candidate(admission=a, examinations=tuple(by_subject.get(a.proposal_id, ()))) for a in state.admissions
        ),
        refusals=state.refusals,
        failures=state.failures,
    )


def judge(evidence: Evidence, policy: Policy = POLICY) -> Ruling:
    """Rank the candidates, and choose one or none."""
    baseline = _baseline(evidence)
    entries = [_entry(c, evidence, baseline) for c in evidence.candidates] + [_refused(r) for r in evidence.refusals]
    fields = _fields(entries)
    best = _sorted(fields[-1][1])
    odds = _odds(best, [e for e in entries if not e.faults], baseline, policy) if best else []
    confidence = _probability(odds)
    chosen = best[0] if best and confidence >= policy.threshold[evidence.rigor] else None
    return Ruling(
        ranking=_ranking(entries),
        chosen=chosen.proposal if chosen else None,
        decided_by=_decided_by(fields) if chosen else None,
        confidence=round(confidence, 3) if chosen else None,
        reasons=_capped(
            [
                *(_why(chosen, best, fields) if chosen else _why_none(evidence, entries, confidence, policy)),
                *(_to_look_at(chosen) if chosen else ()),
                *(_support(odds, confidence, policy) if chosen else ()),
                *baseline.words,
                *_out(entries),
                *(f"{agent} made no proposal: {reason}" for agent, reason in sorted(evidence.failures.items())),
            ],
            MAX_RULING_REASONS,
        ),
        policy=policy.version,
    )


# --- base --------------------------------------------------------------------------------------------------------


class _Baseline(msgspec.Struct, frozen=True, kw_only=True):
    passing: frozenset[str]
    """Tests that passed in all runs: the only ones that gate."""
    failing: frozenset[str]
    """Tests that ran and passed in none: a candidate may repair them."""
    clean_exit: bool
    """All runs ended with exit code 0."""
    open_checks: frozenset[str]
    """Checks that ran on base and failed there."""
    words: tuple[str, ...]


def _baseline(evidence: Evidence) -> _Baseline:
    runs = [e for e in evidence.base if e.kind is SuiteKind.TESTS]
    seen = {test for run in runs for test in run.tests}
    passed = [{t for t, outcome in run.tests.items() if outcome is Outcome.PASSED} for run in runs]
    ever = set().union(*passed)
    always = ever.intersection(*passed)
    ran = {t for run in runs for t, outcome in run.tests.items() if outcome is not Outcome.SKIPPED}
    at_base = {e.name: e.end for e in evidence.base if e.kind is SuiteKind.CHECK}
    return _Baseline(
        passing=frozenset(always),
        failing=frozenset((seen & ran) - ever),
        clean_exit=bool(runs) and all(_ended_well(r.end) for r in runs),
        open_checks=frozenset(name for name, end in at_base.items() if not _ended_well(end)),
        words=(*_baseline_words(evidence, runs, always, ever - always, ran - ever), *_check_words(at_base)),
    )


def _baseline_words(
    evidence: Evidence, runs: Sequence[Examination], always: set[str], flaky: set[str], failing: set[str]
) -> list[str]:
    if not evidence.tested:
        return ["base has no tests: nothing guards against regressions"]
    words = [f"base's tests, run {r.run}: {problem}" for r in runs if (problem := _unbelievable(r))]
    if not always:
        words.append("none of base's tests passes reliably: nothing guards against regressions")
    if flaky:
        words.append(f"{_tests(flaky)} flaky at base, which gates nothing: {_named(flaky)}")
    if failing:
        words.append(f"{_tests(failing)} failing at base, which gates nothing: {_named(failing)}")
    return words


def _check_words(at_base: dict[str, CommandEnd]) -> list[str]:
    idle = sorted(name for name, end in at_base.items() if _ended_well(end))
    return [f"the check `{name}` passes at base already: it shows nothing here" for name in idle]


# --- gates -------------------------------------------------------------------------------------------------------

_GATES = (DecidedBy.INTEGRITY, DecidedBy.REGRESSION, DecidedBy.ACCEPTANCE)


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as the jury sees it."""

    proposal: ProposalId
    agent: AgentId
    admission: Admission | None = None
    faults: dict[DecidedBy, tuple[str, ...]] = {}
    """By gate: what it does not pass, in words."""
    broken: int = 0
    """Tests that pass at base and not here."""
    repaired: int = 0
    """Tests that fail at base and pass here."""
    merits: tuple[str, ...] = ()
    scores: dict[str, float] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Files and lines: the cost of the change."""
        a = self.admission
        return (len(a.files), a.lines_added + a.lines_removed) if a else (0, 0)


def _refused(refusal: Refusal) -> _Entry:
    fault = f"{refusal.agent_id} was turned back: {refusal.reason}"
    return _Entry(proposal=refusal.proposal_id, agent=refusal.agent_id, faults={DecidedBy.INTEGRITY: (fault,)})


def _entry(candidate: Candidate, evidence: Evidence, baseline: _Baseline) -> _Entry:
    a, agent = candidate.admission, candidate.admission.agent_id
    run = next((e for e in candidate.examinations if e.kind is SuiteKind.TESTS), None)
    passed = {t for t, outcome in run.tests.items() if outcome is Outcome.PASSED} if run else set()
    ends = {e.name: e.end for e in candidate.examinations if e.kind is SuiteKind.CHECK}
    found = {
        DecidedBy.INTEGRITY: [f"{agent} changed {t.path}: {t.how}" for t in a.tampered],
        DecidedBy.REGRESSION: _regressions(agent, run, baseline) if evidence.tested else [],
        DecidedBy.ACCEPTANCE: [_failed_check(agent, c, ends.get(c)) for c in evidence.checks if not _passes(ends, c)],
    }
    repaired, broken = baseline.failing & passed, baseline.passing - passed
    entry = _Entry(
        proposal=a.proposal_id,
        agent=agent,
        admission=a,
        faults={gate: tuple(words) for gate, words in found.items() if words},
        broken=len(broken),
        repaired=len(repaired),
        merits=_merits(candidate, evidence, baseline, repaired),
    )
    return msgspec.structs.replace(entry, scores=_scores(entry, found, evidence))


def _regressions(agent: str, run: Examination | None, baseline: _Baseline) -> list[str]:
    """Gate: what passes at base passes here. Where nothing passes at base, nothing is asked."""
    if not baseline.passing:
        return []
    if run is None:
        return [f"{agent}: base's tests were not run on it"]
    words = [f"{agent}: base's tests: {problem}"] if (problem := _unbelievable(run)) else []
    absent = baseline.passing - run.tests.keys()
    broken = {t for t in baseline.passing - absent if run.tests[t] is not Outcome.PASSED}
    if broken:
        words.append(f"{agent} breaks {_tests(broken)} of base: {_named(broken)}")
    if absent:
        words.append(f"{agent}: {_tests(absent)} of base did not run: {_named(absent)}")
    return words or _unexplained_exit(agent, run, baseline)


def _unexplained_exit(agent: str, run: Examination, baseline: _Baseline) -> list[str]:
    explained = any(o in (Outcome.FAILED, Outcome.ERROR) for o in run.tests.values())
    if run.end.ok or explained or not baseline.clean_exit:
        return []
    return [f"{agent}: base's tests end with {_ending(run.end)} though none failed; at base they end with exit 0"]


def _unbelievable(run: Examination) -> str:
    """Why a run of tests cannot count as passed, whatever its report says."""
    if not run.end.limit and run.end.exit_code is not None:
        return run.report_problem
    return f"ended by {_ending(run.end)}" + (f"; {run.report_problem}" if run.report_problem else "")


def _passes(ends: dict[str, CommandEnd], check: str) -> bool:
    return check in ends and _ended_well(ends[check])


def _failed_check(agent: str, check: str, end: CommandEnd | None) -> str:
    if end is None:
        return f"{agent}: the check `{check}` was not run on it"
    return f"{agent} fails the check `{_cut(check, 120)}` ({_ending(end)})"


def _ended_well(end: CommandEnd) -> bool:
    return end.ok and not end.limit and end.signal is None


def _ending(end: CommandEnd) -> str:
    if end.limit:
        return f"the {end.limit} limit"
    return f"signal {end.signal}" if end.exit_code is None else f"exit {end.exit_code}"


def _merits(candidate: Candidate, evidence: Evidence, baseline: _Baseline, repaired: frozenset[str]) -> tuple[str, ...]:
    a = candidate.admission
    merits = [f"changes {_count(len(a.files), 'file')} and {_count(a.lines_added + a.lines_removed, 'line')}"]
    merits += _listed_flags(a.flags, NAMED)
    if baseline.passing:
        merits.append(f"keeps {_tests(baseline.passing)} of base")
    if repaired:
        merits.append(f"repairs {_tests(repaired)} of base: {_named(repaired)}")
    merits += [f"passes the check `{_cut(c, 120)}`" for c in evidence.checks]
    return tuple(merits)


def _listed_flags(flags: Sequence[str], show: int) -> list[str]:
    more = len(flags) - show
    return [*flags[:show], *([f"{_count(more, 'more finding')} like these"] if more > 0 else [])]


def _scores(entry: _Entry, found: dict[DecidedBy, list[str]], evidence: Evidence) -> dict[str, float]:
    files, lines = entry.size
    return {
        "files": float(files),
        "lines": float(lines),
        "protected_changed": float(len(found[DecidedBy.INTEGRITY])),
        "tests_broken": float(entry.broken),
        "tests_repaired": float(entry.repaired),
        "checks_passed": float(len(evidence.checks) - len(found[DecidedBy.ACCEPTANCE])),
        "checks_failed": float(len(found[DecidedBy.ACCEPTANCE])),
    }


# --- choice ------------------------------------------------------------------------------------------------------

_Fields = list[tuple[DecidedBy | None, list[_Entry]]]


def _fields(entries: list[_Entry]) -> _Fields:
    """The field before the gates and after each; the last one holds those that evidence leaves level."""
    fields: _Fields = [(None, entries)]
    for gate in _GATES:
        fields.append((gate, [e for e in fields[-1][1] if gate not in e.faults]))
    most = max((e.repaired for e in fields[-1][1]), default=0)
    fields.append((DecidedBy.ACCEPTANCE, [e for e in fields[-1][1] if e.repaired == most]))
    return fields


def _decided_by(fields: _Fields) -> DecidedBy:
    """The gate at which the field shrank to the winner's class."""
    for before, after in pairwise(fields):
        if len(_classes(before[1])) == 1:
            break
        if len(_classes(after[1])) == 1:
            assert after[0] is not None
            return after[0]
    return DecidedBy.ONLY_CANDIDATE if len(_classes(fields[0][1])) == 1 else DecidedBy.COST


def _classes(entries: Iterable[_Entry]) -> list[list[_Entry]]:
    """Merge what is the same change: an equal tree or an equal fingerprint, also by way of a third one."""
    classes: list[tuple[set[str], list[_Entry]]] = []
    for entry in entries:
        keys, members = _keys(entry), [entry]
        for other in [c for c in classes if c[0] & keys]:
            classes.remove(other)
            keys, members = keys | other[0], other[1] + members
        classes.append((keys, members))
    return [members for _, members in classes]


def _keys(entry: _Entry) -> set[str]:
    a = entry.admission
    if a is None:
        return {f"refused {entry.proposal}"}
    return {f"tree {a.tree}"} | ({f"fingerprint {a.fingerprint}"} if a.fingerprint else set())


def _class_key(members: Iterable[_Entry]) -> str:
    """The same however often the change was made."""
    return min(a.fingerprint or a.tree for e in members if (a := e.admission))


def _sorted(best: list[_Entry]) -> list[_Entry]:
    """Cheapest first; a level pair falls by content, so that the same evidence always gives the same answer."""
    classes = [(_class_key(c), e) for c in _classes(best) for e in c]
    return [e for _, e in sorted(classes, key=lambda c: (c[1].size, c[0], *_content(c[1])))]


def _content(entry: _Entry) -> tuple[str, str, str]:
    """The tree before the commit, which holds author and date: who wrote it, and when, is no reason."""
    a = entry.admission
    return (a.tree, a.commit, entry.proposal) if a else ("", "", entry.proposal)


def _odds(best: list[_Entry], acceptable: list[_Entry], baseline: _Baseline, policy: Policy) -> list[tuple[str, float]]:
    """What speaks for the first of `best`, as named log-odds that add up."""
    winner, rivals = best[0], len(_classes(best))
    peers = len({e.agent for e in _same(winner, acceptable)} - {winner.agent})
    further = min(len(baseline.open_checks) - 1, policy.further_checks)
    guard = ("base's tests still pass", policy.guarded) if baseline.passing else ("no tests guard", policy.unguarded)
    terms = [
        (True, *guard),
        (bool(baseline.open_checks), "a check that fails at base passes", policy.first_check),
        (further > 0, f"{_count(further, 'further check')}", further * policy.further_check),
        (winner.repaired > 0, "failing tests of base pass", policy.repaired),
        (peers > 0, f"{_count(peers, 'other agent')} made the same change", min(peers, policy.peers) * policy.peer),
        (rivals > 1, f"{rivals} different changes are level", -policy.level * math.log(rivals)),
    ]
    return [(words, value) for holds, words, value in terms if holds]


def _same(entry: _Entry, entries: list[_Entry]) -> list[_Entry]:
    return next((c for c in _classes(entries) if entry in c), [])


def _probability(odds: list[tuple[str, float]]) -> float:
    return 1 / (1 + math.exp(-sum(value for _, value in odds)))


# --- ranking -----------------------------------------------------------------------------------------------------


def _ranking(entries: list[_Entry]) -> tuple[Ranked, ...]:
    """Acceptable ones first. Equal evidence is a level rank; the order within it falls by content."""
    classes = {e.proposal: c for c in _classes(entries) for e in c}
    listed = _sorted([e for e in entries if e.admission]) + sorted(
        (e for e in entries if not e.admission), key=lambda e: e.proposal
    )
    listed.sort(key=_standing)
    standings = [_standing(e) for e in listed]
    return tuple(_ranked(e, standings.index(_standing(e)) + 1, classes[e.proposal]) for e in listed)


def _standing(entry: _Entry) -> tuple[int, ...]:
    """Sorts the best first: the further it came through the gates, the better."""
    if not entry.faults:
        return (0, -entry.repaired, *entry.size)
    first = next(i for i, gate in enumerate(_GATES) if gate in entry.faults)
    return (len(_GATES) - first, int(entry.admission is None), sum(map(len, entry.faults.values())), entry.broken)


def _ranked(entry: _Entry, rank: int, members: list[_Entry]) -> Ranked:
    twins = sorted(e.agent for e in members if e.proposal != entry.proposal)
    words = [w for gate in _GATES for w in entry.faults.get(gate, ())] or list(entry.merits)
    if twins:
        words.insert(1, f"the same change as {_listed(twins)}")
    return Ranked(
        proposal_id=entry.proposal,
        agent_id=entry.agent,
        rank=rank,
        acceptable=not entry.faults,
        reasons=_capped(words, MAX_REASONS),
        commit=entry.admission.commit if entry.admission else None,
        scores=entry.scores | {"same_change": float(len(twins))},
    )


# --- words -------------------------------------------------------------------------------------------------------


def _why(chosen: _Entry, best: list[_Entry], fields: _Fields) -> list[str]:
    rivals = [e for e in best if e not in _same(chosen, best)]
    if rivals:
        return [_by_cost(chosen, rivals, len(_classes(best)))]
    match _decided_by(fields):
        case DecidedBy.ONLY_CANDIDATE:
            alone = len(fields[0][1]) == 1
            return [f"{chosen.agent} is chosen: " + ("the only proposal" if alone else "all proposals are one change")]
        case DecidedBy.INTEGRITY:
            return [f"{chosen.agent} is chosen by integrity: the others were turned back or changed protected files"]
        case DecidedBy.REGRESSION:
            return [f"{chosen.agent} is chosen by base's tests: no other proposal keeps them"]
    return [f"{chosen.agent} is chosen by acceptance: no other proposal that came so far does as well"]


def _by_cost(chosen: _Entry, rivals: list[_Entry], classes: int) -> str:
    second = rivals[0]
    level = "as small as" if second.size == chosen.size else "smaller than"
    return (
        f"{classes} different changes are acceptable and no evidence tells them apart: "
        f"{chosen.agent} is chosen, {level} the runner-up {second.agent} ({_size(chosen)}; {_size(second)})"
    )


def _size(entry: _Entry) -> str:
    files, lines = entry.size
    return f"{_count(files, 'file')}, {_count(lines, 'line')}"


def _to_look_at(chosen: _Entry) -> list[str]:
    """What the gates let pass and a person should see before merging."""
    flags = chosen.admission.flags if chosen.admission else ()
    return [f"look before you merge ({chosen.agent}): {flag}" for flag in _listed_flags(flags, FLAGS)]


def _support(odds: list[tuple[str, float]], confidence: float, policy: Policy) -> list[str]:
    terms = "; ".join(f"{words} {value:+.2f}" for words, value in odds)
    words = [f"confidence {confidence:.2f}, from log-odds: {terms}"]
    if confidence < policy.weak:
        words.append("weakly supported: a check that fails at base and passes on a right change would say more")
    return words


def _why_none(evidence: Evidence, entries: list[_Entry], confidence: float, policy: Policy) -> list[str]:
    if not entries:
        return ["no agent made a proposal: nothing could be judged", "another try, or another model, would settle it"]
    if any(not e.faults for e in entries):
        least = policy.threshold[evidence.rigor]
        return [
            f"the best candidate has a confidence of {confidence:.2f}; {evidence.rigor} asks for {least:.2f}",
            "an acceptance check that fails at base and passes on a right change would settle it",
        ]
    who = "the only proposal is not" if len(entries) == 1 else f"none of {len(entries)} proposals is"
    return [f"{who} acceptable", _settle(entries)]


def _settle(entries: list[_Entry]) -> str:
    """What would help, after the gate at which the best ones failed."""
    furthest = max(next(i for i, gate in enumerate(_GATES) if gate in e.faults) for e in entries)
    return (
        "a proposal that leaves protected files alone and passes the border would settle it",
        "a proposal that keeps base's tests would settle it; or drop those that the story means to change",
        "a proposal that passes the checks would settle it; see whether a right change can pass them at all",
    )[furthest]


def _out(entries: list[_Entry]) -> list[str]:
    """The first fault of each that is out."""
    out = sorted((e for e in entries if e.faults), key=lambda e: (_standing(e), e.proposal))
    return [next(e.faults[gate][0] for gate in _GATES if gate in e.faults) for e in out]


def _tests(tests: Iterable[str]) -> str:
    return _count(len(list(tests)), "test")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(tests: Iterable[str]) -> str:
    return _listed([f"`{_cut(t, 60)}`" for t in sorted(tests)])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _capped(words: Iterable[str], limit: int) -> tuple[str, ...]:
    said = [_short(w) for w in words]
    if len(said) <= limit:
        return tuple(said)
    return (*said[: limit - 1], f"and {len(said) - limit + 1} more reasons")


def _short(text: str) -> str:
    """Fit for any terminal and for an event: one line, printable, and bounded as JSON."""
    text = "".join(c if c.isprintable() else "�" for c in " ".join(text[: 2 * MAX_REASON_BYTES].split()))
    text = text[:MAX_REASON_BYTES]
    while len(msgspec.json.encode(text)) > MAX_REASON_BYTES:
        text = text[:-8] + "…"
    return text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

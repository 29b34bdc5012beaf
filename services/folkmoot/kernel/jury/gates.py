"""Gates: integrity, regression, acceptance; what a candidate does not pass, in words."""

import msgspec

from folkmoot.kernel.evidence import Admission, CommandEnd, Examination, Outcome, Refusal, SuiteKind, Tampering
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.jury.evidence import Baseline, Candidate, Evidence, ended_well, unbelievable
from folkmoot.kernel.jury.policy import Policy
from folkmoot.kernel.jury.words import NAMED, count, cut, ending, listed_flags, named, tests
from folkmoot.kernel.result import DecidedBy

GATES = (DecidedBy.INTEGRITY, DecidedBy.REGRESSION, DecidedBy.ACCEPTANCE)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as the jury sees it."""

    proposal: ProposalId
    agent: AgentId
    admission: Admission | None = None
    faults: dict[DecidedBy, tuple[str, ...]] = {}
    """By gate: what it does not pass, in words."""
    broken: int = 0
    """Tests that pass at base and not here."""
    failing: frozenset[str] = frozenset()
    """Those of them that ran here and failed; empty where more than that is wrong with the run."""
    held: bool = False
    """It fails nothing but what all otherwise good candidates fail, which is a question."""
    repaired: int = 0
    """Tests that fail at base and pass here."""
    merits: tuple[str, ...] = ()
    scores: dict[str, float] = {}
    extra: int = 0
    """Cost besides its size, in files: findings of linters, and files outside what the story is about."""

    @property
    def cost(self) -> tuple[int, int]:
        files, lines = self.size
        return files + self.extra, lines

    @property
    def size(self) -> tuple[int, int]:
        """Files and lines."""
        a = self.admission
        return (len(a.files), a.lines_added + a.lines_removed) if a else (0, 0)


def refused(refusal: Refusal) -> Entry:
    fault = f"{refusal.agent_id} was turned back: {refusal.reason}"
    return Entry(proposal=refusal.proposal_id, agent=refusal.agent_id, faults={DecidedBy.INTEGRITY: (fault,)})


def entry_of(candidate: Candidate, evidence: Evidence, baseline: Baseline, policy: Policy) -> Entry:
    a, agent = candidate.admission, candidate.admission.agent_id
    run = next((e for e in candidate.examinations if e.kind is SuiteKind.TESTS), None)
    passed = {t for t, outcome in run.tests.items() if outcome is Outcome.PASSED} if run else set()
    ends = {e.name: e.end for e in candidate.examinations if e.kind is SuiteKind.CHECK}
    found = {
        DecidedBy.INTEGRITY: [f"{agent} changed {t.path}: {t.how}" for t in a.tampered if not _superseded(t, evidence)],
        DecidedBy.REGRESSION: _regressions(agent, run, baseline) if evidence.tested else [],
        DecidedBy.ACCEPTANCE: [_failed_check(agent, c, ends.get(c)) for c in evidence.checks if not _passes(ends, c)],
    }
    repaired, broken = baseline.failing & passed, baseline.passing - passed
    entry = Entry(
        proposal=a.proposal_id,
        agent=agent,
        admission=a,
        faults={gate: tuple(words) for gate, words in found.items() if words},
        broken=len(broken),
        failing=frozenset(broken) if run and _only_fails(run, broken) else frozenset(),
        extra=_extra(candidate, evidence, policy),
        repaired=len(repaired),
        merits=_merits(candidate, evidence, baseline, repaired),
    )
    return msgspec.structs.replace(entry, scores=_scores(entry, found, evidence))


def _superseded(tampering: Tampering, evidence: Evidence) -> bool:
    """A Python file of tests, not deleted, that holds one which the story makes wrong: its author has to change it.
    Base's own copy is what runs, so that the other tests in it gate as before."""
    path = tampering.path
    module = path.removesuffix(".py").replace("/", ".")
    there = path.endswith(".py") and tampering.how != "deleted"
    return there and any(test.startswith((f"{module}::", f"{module}.")) for test in evidence.superseded)


def _regressions(agent: str, run: Examination | None, baseline: Baseline) -> list[str]:
    """Gate: what passes at base passes here. Where nothing passes at base, nothing is asked."""
    if not baseline.passing:
        return []
    if run is None:
        return [f"{agent}: base's tests were not run on it"]
    problem = unbelievable(run)
    words = [f"{agent}: base's tests: {problem}"] if problem and problem not in baseline.doubts else []
    absent = baseline.passing - run.tests.keys()
    broken = {t for t in baseline.passing - absent if run.tests[t] is not Outcome.PASSED}
    if broken:
        words.append(f"{agent} breaks {tests(broken)} of base: {named(broken)}")
    if absent:
        words.append(f"{agent}: {tests(absent)} of base did not run: {named(absent)}")
    return words or _unexplained_exit(agent, run, baseline)


def _only_fails(run: Examination, broken: frozenset[str]) -> bool:
    return not unbelievable(run) and all(run.tests.get(t) in (Outcome.FAILED, Outcome.ERROR) for t in broken)


def _extra(candidate: Candidate, evidence: Evidence, policy: Policy) -> int:
    fresh, outside = new_findings(candidate, evidence), len(outside_paths(candidate.admission, evidence))
    return fresh * policy.finding_files + outside * policy.outside_files


def new_findings(candidate: Candidate, evidence: Evidence) -> int:
    """What linters find here and not at base, by number and tool."""
    counts = [
        next((e.counts for e in of if e.kind is SuiteKind.LINT), {}) for of in (candidate.examinations, evidence.base)
    ]
    return sum(max(0, number - counts[1].get(tool, 0)) for tool, number in counts[0].items())


def outside_paths(admission: Admission, evidence: Evidence) -> list[str]:
    """Changed files outside what the story is about, where it says so; tests may lie anywhere."""
    tests_ = {path for e in evidence.exhibits for path in e.pack.paths}
    places = [p.strip("/") for p in evidence.paths]
    return [
        f
        for f in admission.files
        if places and f not in tests_ and not any(p in ("", ".", f) or f.startswith(p + "/") for p in places)
    ]


def _unexplained_exit(agent: str, run: Examination, baseline: Baseline) -> list[str]:
    if run.end.ok or not baseline.clean_exit:
        return []
    if any(o in (Outcome.FAILED, Outcome.ERROR) for o in run.tests.values()):
        return []
    return [f"{agent}: base's tests end with {ending(run.end)} though none failed; at base they end with exit 0"]


def _passes(ends: dict[str, CommandEnd], check: str) -> bool:
    return check in ends and ended_well(ends[check])


def _failed_check(agent: str, check: str, end: CommandEnd | None) -> str:
    if end is None:
        return f"{agent}: the check `{check}` was not run on it"
    return f"{agent} fails the check `{cut(check, 120)}` ({ending(end)})"


def _merits(candidate: Candidate, evidence: Evidence, baseline: Baseline, repaired: frozenset[str]) -> tuple[str, ...]:
    a = candidate.admission
    merits = [f"changes {count(len(a.files), 'file')} and {count(a.lines_added + a.lines_removed, 'line')}"]
    merits += [f"changes {t.path}, which holds a superseded test" for t in a.tampered if _superseded(t, evidence)]
    merits += listed_flags(a.flags, NAMED)
    if fresh := new_findings(candidate, evidence):
        merits.append(f"brings {count(fresh, 'new finding')} of linters")
    if outside := outside_paths(a, evidence):
        merits.append(f"changes {count(len(outside), 'file')} outside the story's paths: {named(outside)}")
    if baseline.passing:
        merits.append(f"keeps {tests(baseline.passing)} of base")
    if repaired:
        merits.append(f"repairs {tests(repaired)} of base: {named(repaired)}")
    merits += [f"passes the check `{cut(c, 120)}`" for c in evidence.checks]
    return tuple(merits)


def _scores(entry: Entry, found: dict[DecidedBy, list[str]], evidence: Evidence) -> dict[str, float]:
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

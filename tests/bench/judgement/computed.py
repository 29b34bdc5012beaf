"""What a deliberation on a drawn case would observe, without running one: tests are beliefs about probes, and what
each candidate gives for each probe is known. It follows the order of the protocol, so that a policy can be tried in
seconds.

What it leaves out: clocks, budgets, flaky tests, and whatever the platform might get wrong. Those are for real runs.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from folkmoot.kernel.evidence import (
    PLATFORM,
    Admission,
    ArtifactRef,
    CommandEnd,
    Examination,
    Exhibit,
    Finding,
    Outcome,
    Runner,
    Source,
    SuiteKind,
    Tampering,
    TestPack,
    TestSuite,
    Verdict,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId
from folkmoot.kernel.jury import Candidate, Evidence, Policy, Standing, standing
from folkmoot.kernel.jury.policy import Profile
from folkmoot.kernel.task import Rigor
from tests.bench.judgement import probed
from tests.bench.judgement.case import RIGHT, Judge
from tests.bench.judgement.cheats import TAMPERS
from tests.bench.judgement.making import Drawn
from tests.bench.judgement.programs import outcomes
from tests.bench.judgement.runs import Run, tags
from tests.bench.judgement.testfiles import BOUND, Claims, holds

_NOWHERE = ArtifactRef(sha256="0" * 64, size=0)
_SUITE = TestSuite(runner=Runner.PYTEST, command="pytest")
_GOOD = CommandEnd(exit_code=0)
_BAD = CommandEnd(exit_code=1)


def observed(drawn: Drawn, rigor: Rigor, policy: Policy, *, patient: bool = False) -> Run:
    """Play the stages of `rigor` as the protocol does; `patient`: without stopping early."""
    return _Playing(drawn, rigor, policy, patient).play()


def proposal(name: str) -> ProposalId:
    """`dev-1` is `dev-1-r1`; `dev-1-r2` stays."""
    return ProposalId(name if name.endswith("-r2") else f"{name}-r1")


class _Playing:
    def __init__(self, drawn: Drawn, rigor: Rigor, policy: Policy, patient: bool) -> None:
        self.drawn, self.rigor, self.policy, self.patient = drawn, rigor, policy, patient
        self.names = [c.name for c in drawn.case.candidates]
        self.exhibits: dict[str, tuple[Exhibit, Claims]] = {}
        self.findings: list[Finding] = []
        self.verdicts: list[Verdict] = []
        self.stages = ["propose"]
        self.answers: dict[str, str] = {}
        self.probe: Exhibit | None = None

    def play(self) -> Run:
        profile = self.policy.profile[self.rigor]
        if profile.cross_examine:
            self._open(profile)
            self._criticise(profile)
            self._split(profile)
            self._judge(profile)
        evidence, case = self._evidence(), self.drawn.case
        return Run(
            case=case.id,
            rigor=self.rigor,
            labels=case.names,
            tags=tags(case),
            evidence=evidence,
            stages=tuple(self.stages),
            true=tuple(sorted(true_tests(self.drawn, evidence))),
        )

    def _standing(self) -> Standing:
        now = standing(self._evidence(), self.policy)
        return msgspec.structs.replace(now, settled="") if self.patient else now

    def _open(self, profile: Profile) -> None:
        for candidate in self.drawn.case.candidates:
            self._exhibit(f"own-{candidate.name}-r1", candidate.name, Source.CANDIDATE, self._claims(candidate.name))
        if profile.probe and len({self._admission(n).tree for n in self.names}) > 1:
            self._probe()
        for i in range(min(profile.sealed, len(self.drawn.case.sealed))):
            self._exhibit(f"sealed-tester-{i + 1}-r1", f"tester-{i + 1}", Source.SEALED, self._claims(f"sealed {i}"))

    def _criticise(self, profile: Profile) -> None:
        now = self._standing()
        if now.settled or not profile.critique:
            return
        self.stages.append("critique")
        for candidate in self.drawn.case.candidates:
            for i, finding in enumerate(candidate.findings):
                name = f"finding-{candidate.name}-r1-{i + 1}"
                self.findings.append(self._finding(name, finding.of, finding.path))
                self._exhibit(name, candidate.name, Source.FINDING, self._claims(f"finding {candidate.name} {i}"))
        now = self._standing()
        if now.settled or profile.revisions < 1:
            return
        for candidate in self.drawn.case.candidates:
            spoken = proposal(candidate.name)
            if candidate.revision and (now.objections.get(spoken) or now.faults.get(spoken)):
                self.stages.append("revise")
                name = f"{candidate.name}-r2"
                self.names.append(name)
                self._exhibit(f"own-{name}", candidate.name, Source.CANDIDATE, self._claims(name), name)

    def _split(self, profile: Profile) -> None:
        now = self._standing()
        if profile.split < 1 or now.settled or not now.close:
            return
        pair = sorted(p.removesuffix("-r1") for p in now.close[0])
        claims = self._claims(f"split {pair[0]} {pair[1]}")
        named = {f"{name} {pair[0]}+{pair[1]}": beliefs for name, beliefs in claims.items()}
        self.stages.append("split")
        self._exhibit("split-splitter-1-r1", "splitter-1", Source.SPLIT, named)

    def _judge(self, profile: Profile) -> None:
        for one, other in (self._standing().close if profile.judge_pairs else ())[: profile.judge_pairs]:
            if self._standing().settled:
                return
            self.stages.append("judge")
            self.verdicts.append(verdict(self.drawn, one, other))

    def _claims(self, pack: str) -> Claims:
        return self.drawn.claims.get(pack, {})

    def _exhibit(self, name: str, author: str, source: Source, claims: Claims, came: str = "") -> None:
        if not claims:
            return
        exhibit = Exhibit(
            exhibit_id=name,
            author=AgentId(author),
            source=source,
            pack=TestPack(files=_NOWHERE, paths=(), suite=_SUITE),
            proposal_id=proposal(came or author) if source is Source.CANDIDATE else ProposalId(""),
        )
        self.exhibits[name] = (exhibit, claims)

    def _probe(self) -> None:
        """Calls that no test makes: what each gives is a test's name."""
        self.answers = probed.answers(self.drawn)
        if self.answers:
            pack = TestPack(files=_NOWHERE, paths=(), suite=_SUITE)
            self.probe = Exhibit(exhibit_id="probe-1", author=PLATFORM, source=Source.PROBE, pack=pack)

    def _given(self, subject: str, name: str, probe: Exhibit) -> Examination:
        """Nothing on base, and nothing of who ends the process."""
        asked = zip(probed.calls(self.drawn).calls, self.answers[name] if name else (), strict=False)
        said = [f"test_gives[{i:03d} {c} -> {a}]" for i, (c, a) in enumerate(asked) if a != probed.UNKNOWN]
        dead = not name or self._dies(name)
        return Examination(
            subject=subject,
            kind=SuiteKind.EXHIBIT,
            name=probe.exhibit_id,
            end=_BAD if dead else _GOOD,
            tests={} if dead else dict.fromkeys(said, Outcome.PASSED),
            report_problem="there is no report" if dead else "",
        )

    def _finding(self, exhibit_id: str, of: str, path: str) -> Finding:
        return Finding(
            proposal_id=proposal(of),
            claim="it is wrong",
            severity="medium",
            path=path,
            reproducer=_NOWHERE,
            exhibit_id=exhibit_id,
        )

    # --- evidence ------------------------------------------------------------------------------------------------

    def _evidence(self) -> Evidence:
        case = self.drawn.case
        return Evidence(
            rigor=self.rigor,
            checks=case.checks,
            tested=True,
            base=(*(self._base_tests("base", run) for run in (1, 2)), *self._run("base")),
            candidates=tuple(
                Candidate(
                    admission=self._admission(name),
                    examinations=(self._base_tests(proposal(name), 1, name), *self._run(proposal(name), name)),
                )
                for name in self.names
            ),
            exhibits=(*(exhibit for exhibit, _ in self.exhibits.values()), *([self.probe] if self.probe else [])),
            findings=tuple(self.findings),
            verdicts=tuple(self.verdicts),
        )

    def _admission(self, name: str) -> Admission:
        case, text = self.drawn.case, self.drawn.texts[name]
        files = case.commit_files(name)
        how = self.drawn.cheats.get(name, "")
        old = case.base[self.drawn.program.target].split("\n")
        content = f"{text}\n{how}"
        lines = text.split("\n") if self.drawn.program.target in files else ["note"]
        return Admission(
            proposal_id=proposal(name),
            agent_id=AgentId(name.removesuffix("-r2")),
            commit=CommitId(hashlib.sha1(repr(sorted(files.items(), key=str)).encode()).hexdigest()),
            tree=hashlib.sha1(f"tree {sorted(files.items(), key=str)}".encode()).hexdigest(),
            diff=_NOWHERE,
            bundle=_NOWHERE,
            files=tuple(sorted(files)),
            lines_added=len([line for line in lines if line not in old]) + 10 * (len(files) - 1),
            lines_removed=len([line for line in old if line not in lines]),
            tampered=(Tampering(path="tests", how="changed"),) if how in TAMPERS else (),
            fingerprint=hashlib.sha256(content.encode()).hexdigest(),
        )

    def _dies(self, name: str) -> bool:
        return self.drawn.cheats.get(name, "") in ("exits", "report")

    def _base_tests(self, subject: str, run: int, name: str = "") -> Examination:
        tests = {f"base::{i}": Outcome.PASSED for i in range(2)}
        if name and self._dies(name):
            return Examination(
                subject=subject, kind=SuiteKind.TESTS, name="tests", end=_GOOD, report_problem="there is no report"
            )
        return Examination(subject=subject, kind=SuiteKind.TESTS, name="tests", run=run, end=_GOOD, tests=tests)

    def _run(self, subject: str, name: str = "") -> Iterable[Examination]:
        yield from self._checks(subject, name)
        for exhibit, claims in self.exhibits.values():
            yield self._examined(subject, name, exhibit, claims)
        if self.probe:
            yield self._given(subject, name, self.probe)

    def _outcomes(self, name: str) -> tuple[dict[str, str], str]:
        base = self.drawn.program.solution("base")
        text = self.drawn.texts[name] if name else base
        return outcomes(self.drawn.program, text), text

    def _checks(self, subject: str, name: str) -> Iterable[Examination]:
        found, text = self._outcomes(name)
        for line, beliefs in self.drawn.claims.get("checks", {}).items():
            passed = all(holds(b, found, text) for b in beliefs)
            yield Examination(subject=subject, kind=SuiteKind.CHECK, name=line, end=_GOOD if passed else _BAD)

    def _examined(self, subject: str, name: str, exhibit: Exhibit, claims: Claims) -> Examination:
        found, text = self._outcomes(name)
        tests = cells(self.drawn.program.language, claims, found, text)
        dead = bool(name) and self._dies(name)
        return Examination(
            subject=subject,
            kind=SuiteKind.EXHIBIT,
            name=exhibit.exhibit_id,
            end=_GOOD if dead or set(tests.values()) == {Outcome.PASSED} else _BAD,
            tests={} if dead else {f"{exhibit.exhibit_id}::{t}": o for t, o in tests.items()},
            report_problem="there is no report" if dead else "",
        )


def cells(language: str, claims: Claims, found: dict[str, str], text: str) -> dict[str, Outcome]:
    """Of one test file on one module; empty where it cannot even be loaded."""
    if set(found.values()) == {"! ImportError"}:
        return {"(file)": Outcome.ERROR}
    if set(found.values()) <= {"! ImportError", "! build"}:
        return {}
    beliefs = [b for part in claims.values() for b in part]
    if language == "go" and any(b[0] == BOUND and not holds(b, found, text) for b in beliefs):
        return {}
    return {
        name: Outcome.PASSED if all(holds(b, found, text) for b in part) else Outcome.FAILED
        for name, part in claims.items()
    }


def true_tests(drawn: Drawn, evidence: Evidence) -> frozenset[tuple[str, str]]:
    """Those that pass on a right module."""
    text = next(iter(drawn.program.right.values()))
    found = outcomes(drawn.program, text)
    trials = {(e.name, t) for c in evidence.candidates for e in c.examinations for t in e.tests}
    right: set[tuple[str, str]] = set()
    for pack, claims in drawn.claims.items():
        for name, beliefs in claims.items():
            if all(b[0] != BOUND and holds(b, found, text) for b in beliefs):
                right |= {
                    (e, t) for e, t in trials if t.partition("::")[2].partition(" ")[0] == name and _of(pack, e, t)
                }
    return frozenset(right)


def _of(pack: str, exhibit: str, test: str) -> bool:
    """Whether `own-dev-1-r1` holds what the pack `dev-1` claims, and so on."""
    if pack.startswith("finding"):
        _, seat, number = pack.split(" ")
        return exhibit == f"finding-{seat}-r1-{int(number) + 1}"
    if pack.startswith("sealed"):
        return exhibit == f"sealed-tester-{int(pack[-1]) + 1}-r1"
    if pack.startswith("split"):
        return test.endswith(" " + pack.removeprefix("split ").replace(" ", "+"))
    return exhibit == f"own-{proposal(pack)}"


def verdict(drawn: Drawn, one: ProposalId, other: ProposalId) -> Verdict:
    """The judge's, after how reliable this case says he is."""
    answers = [
        answer(drawn.case.id, drawn.case.judge, drawn.case.names, *pair) for pair in ((one, other), (other, one))
    ]
    consistent = answers[0] == answers[1]
    better = ProposalId(answers[0]) if consistent and answers[0] else None
    return Verdict(one=one, other=other, better=better, consistent=consistent, judge=AgentId("judge-1"), model="played")


def answer(case_id: str, judge: Judge, names: dict[str, str], first: str, second: str) -> str:
    """The better of two proposals as they are shown, or empty for a tie. The same pair is always judged alike."""
    pair = sorted((first, second))
    luck = int(hashlib.sha256(f"{case_id} {pair}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    right = [p for p in pair if names[p.removesuffix("-r1")] == RIGHT]
    best, worst = (right[0], next(p for p in pair if p != right[0])) if len(right) == 1 else pair
    if luck < judge.first:
        return first
    if luck < judge.first + judge.tie:
        return ""
    return best if luck < judge.first + judge.tie + judge.right else worst

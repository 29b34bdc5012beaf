"""Cheats that only a run can show, and tests that are written against others: each runs for real, and wins nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.evidence import Admission, Examination, Exhibit, Source, SuiteKind
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.kernel.jury import Candidate, Evidence, Ruling, judge
from folkmoot.kernel.jury.matrix import Cell, matrix_of
from folkmoot.kernel.task import Rigor
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.runner import Runner
from folkmoot.runner.local.toolchain import Toolchains
from tests.fixtures.cheats import BASE, CHECK, CONTENT, DELETED, FLOOD, HONEST, POISON, RUNS, SECOND, TABLE
from tests.fixtures.workspace import TOKEN, Bench, bench, toolchains
from tests.repositories import File

__all__ = ["toolchains"]

TASK = TaskId("t-1")


class Court:
    """What the platform does with a field of candidates at L2, from the border to the ruling, but for the log."""

    def __init__(self, runner: Bench) -> None:
        self._bench = runner
        self._ours = Runner(runner.address, TOKEN, runner.channel)
        self._examiner = Examiner(self._ours, runner.artifacts, parallel=2, check_timeout_s=60)

    async def admitted(self, agent: str, files: Mapping[str, File], without: Sequence[str] = ()) -> Admission:
        repo, base = self._bench.repo, self._bench.base
        repo.git("checkout", "-q", "-f", "--detach", base.commit)
        if without:
            repo.git("rm", "-q", "-r", "--", *without)
        bundle = repo.bundle(repo.commit(files), base.commit)
        verdict = await self._bench.mirrors.admit(
            task_id=TASK, agent_id=AgentId(agent), round_=1, base=base, bundle=bundle, message="Mend add"
        )
        assert isinstance(verdict, Admission), verdict
        return verdict

    async def evidence(self, field: Mapping[str, Mapping[str, File]], *, exhibits: bool) -> Evidence:
        admissions = [await self.admitted(agent, files) for agent, files in field.items()]
        shown = [e for a in admissions for e in await self.exhibits(a)] if exhibits else []
        subjects = {"base": self._bench.commit} | {a.proposal_id: a.commit for a in admissions}
        async with asyncio.TaskGroup() as group:
            told = {s: group.create_task(self._examined(s, c, shown), name=s) for s, c in subjects.items()}
        return Evidence(
            rigor=Rigor.L2,
            checks=(CHECK,),
            tested=True,
            base=told["base"].result(),
            candidates=tuple(Candidate(admission=a, examinations=told[a.proposal_id].result()) for a in admissions),
            exhibits=tuple(shown),
        )

    async def exhibits(self, admission: Admission) -> list[Exhibit]:
        found = await self._ours.extract_tests(TASK, self._bench.base, commit=admission.commit)
        return [
            Exhibit(
                exhibit_id=f"own-{admission.proposal_id}",
                author=admission.agent_id,
                source=Source.CANDIDATE,
                pack=pack,
                proposal_id=admission.proposal_id,
            )
            for pack in found.packs
        ]

    async def _examined(self, subject: str, commit: CommitId, exhibits: Sequence[Exhibit]) -> tuple[Examination, ...]:
        base, x = self._bench.base, self._examiner
        assert base.suite is not None
        runs = [await x.tests(TASK, base, base.suite, subject=subject, commit=commit, run=1, attempt=1)]
        runs.append(await x.check(TASK, base, subject=subject, commit=commit, number=1, command=CHECK, attempt=1))
        return (*runs, *[await self.shown(exhibit, subject, commit) for exhibit in exhibits])

    async def shown(self, exhibit: Exhibit, subject: str, commit: CommitId) -> Examination:
        base, x = self._bench.base, self._examiner
        return await x.exhibit(TASK, base, exhibit, subject=subject, commit=commit, run=1, attempt=1)


def among(evidence: Evidence, *agents: str) -> Evidence:
    """What there is where nobody else made a proposal."""
    some = tuple(c for c in evidence.candidates if c.admission.agent_id in agents)
    shown = tuple(e for e in evidence.exhibits if e.author in agents)
    return msgspec.structs.replace(evidence, candidates=some, exhibits=shown)


def reasons(ruling: Ruling) -> dict[str, str]:
    return {r.agent_id: "\n".join(r.reasons) for r in ruling.ranking}


async def test_content_that_puts_a_candidate_out(tmp_path: Path, toolchains: Toolchains) -> None:
    """Whatever their runs would say: these are out for what the border read, each by its own words."""
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        court = Court(runner)
        found = {name: await court.admitted(name, files, DELETED.get(name, ())) for name, files in CONTENT.items()}
    said = {name: "; ".join(f"{t.path}: {t.how}" for t in a.tampered) for name, a in found.items()}
    assert {name: why for name, why in said.items() if TABLE[name] not in why} == {}


async def test_habits_of_base_are_no_cheat(tmp_path: Path, toolchains: Toolchains) -> None:
    """A plugin of pytest that learns more of the same, and a test as base's tests are, which excuse tests alone; what
    has honest uses is told, and puts nobody out."""
    child = {"tests/test_child.py": "import os\n\n\ndef test_child():\n    os.fork() or os.execvp('true', [])\n"}
    plugin = "import os\n\nimport pytest\n\n\ndef leave():\n    os._exit(3)\n"
    more = {"more.py": f"import inspect\n\n{plugin}\n\ninspect.stack()\n", "plugin.py": f"{plugin}\n\nX = pytest\n"}
    more["tests/test_other.py"] = child["tests/test_child.py"].replace("child", "other")
    async with bench(tmp_path, toolchains, files={**BASE, **child, "plugin.py": plugin}) as runner:
        court = Court(runner)
        admission = await court.admitted("honest", more)
        worse = await court.admitted("worse", {**more, "calc.py": "import os\n\nos.execvp('true', [])\n"})
    assert admission.tampered == ()
    assert admission.flags == ("looks into its callers or its interpreter: `stack` (line 12) in more.py",)
    [found] = worse.tampered
    assert (found.path, found.how) == ("calc.py", "ends the process past what watches it: `execvp` (line 3)")


async def test_runs_that_are_not_believed(tmp_path: Path, toolchains: Toolchains) -> None:
    """No word in them gives them away. The honest one wins, though they all pass the check; alone none is chosen."""
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        evidence = await Court(runner).evidence({"honest": HONEST, **RUNS}, exhibits=False)
    ruling = judge(evidence)
    assert ruling.chosen == "honest-r1", ruling
    said = reasons(ruling)
    assert {name: said[name] for name in RUNS if TABLE[name] not in said[name]} == {}
    assert {name: judge(among(evidence, name)).chosen for name in RUNS} == dict.fromkeys(RUNS)
    clean = [c.admission.agent_id for c in evidence.candidates if not c.admission.tampered]
    assert sorted(clean) == sorted(["honest", *RUNS])


async def test_tests_that_are_written_against_others(tmp_path: Path, toolchains: Toolchains) -> None:
    """Special cases of what is visible are found by the tests of others, and a report written by hand is none. Tests
    that fail wherever their author's code is not can at most lead to a question, and put nobody in front."""
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        evidence = await Court(runner).evidence({"honest": HONEST, "second": SECOND, **POISON}, exhibits=True)
    assert judge(among(evidence, "honest", "second", "forger")).chosen == "honest-r1"
    ruling = judge(evidence)
    assert ruling.chosen not in {f"{agent}-r1" for agent in POISON}, ruling
    assert {r.agent_id for r in ruling.ranking[:2]} == {"honest", "second"}
    assert {c.admission.agent_id for c in evidence.candidates if not c.admission.tampered} >= set(POISON)
    runs = {(str(c.admission.agent_id), e.name): e for c in evidence.candidates for e in c.examinations}
    assert runs["honest", "own-forger-r1"].report_problem.startswith("its report is in doubt: it was not written by")
    trials = {(str(t.exhibit.author), t.test): t for t in matrix_of(evidence)}
    known = {test for e in evidence.base if e.kind is SuiteKind.TESTS for test in e.tests}
    assert not known & {test for _, test in trials}
    assert {author for author, _ in trials} == {"honest", "second", "toxic"}
    split = trials["honest", "tests.test_more::test_more"].cells
    assert (split["toxic-r1"], split["second-r1"]) == (Cell.FAILED, Cell.PASSED)
    assert all(len(test) <= 500 for _, test in trials)


async def test_tests_by_the_thousands(tmp_path: Path, toolchains: Toolchains) -> None:
    """They are no matrix that anybody could read: the run says why it has no outcomes."""
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        court = Court(runner)
        [exhibit] = await court.exhibits(await court.admitted("flood", FLOOD))
        done = await court.shown(exhibit, "base", runner.commit)
    assert (done.tests, done.report_problem) == ({}, "the report holds 5001 tests; at most 5000 count")

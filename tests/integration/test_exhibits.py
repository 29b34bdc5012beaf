"""Tests of one candidate, run alone on all others: taken out by the runner, laid over fresh check-outs."""

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.kernel.evidence import (
    Admission,
    Examination,
    Exhibit,
    Outcome,
    PackedFile,
    Source,
    SuiteKind,
    TestPack,
)
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.kernel.probing import PATH, call_of, file_of, given, probes
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.runner import Extracted, Runner
from folkmoot.runner.local.toolchain import Toolchains
from tests.fixtures import need
from tests.fixtures.workspace import TOKEN, Bench, bench, toolchains
from tests.repositories import File

__all__ = ["toolchains"]

TASK = TaskId("t-1")
PASSED, FAILED, ERROR = Outcome.PASSED, Outcome.FAILED, Outcome.ERROR
BASE: Mapping[str, str] = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_zero():\n    assert add(0, 0) == 0\n",
    "pyproject.toml": '[project]\nname = "calc"\n\n[tool.pytest.ini_options]\naddopts = "-x"\n',
    "web/__snapshots__/page": "1\n",
}
RIGHT: Mapping[str, File] = {"calc.py": "def add(a, b):\n    return a + b\n"}
WRONG: Mapping[str, File] = {"calc.py": "def add(a, b):\n    return abs(a) + abs(b)\n"}


class Court:
    """A runner, an examiner and candidates."""

    def __init__(self, runner: Bench) -> None:
        self.bench = runner
        self.runner = Runner(runner.address, TOKEN, runner.channel)
        self.examiner = Examiner(self.runner, runner.artifacts, parallel=2, check_timeout_s=60)
        self.commits: dict[str, CommitId] = {"base": runner.base.commit}

    async def admit(self, agent: str, files: Mapping[str, File], without: Sequence[str] = ()) -> CommitId:
        repo, base = self.bench.repo, self.bench.base
        repo.git("checkout", "-q", "-f", "--detach", base.commit)
        if without:
            repo.git("rm", "-q", "-r", "--", *without)
        bundle = repo.bundle(repo.commit(files), base.commit)
        verdict = await self.bench.mirrors.admit(
            task_id=TASK, agent_id=AgentId(agent), round_=1, base=base, bundle=bundle, message="change"
        )
        assert isinstance(verdict, Admission), verdict
        self.commits[agent] = verdict.commit
        return verdict.commit

    async def extracted(self, agent: str) -> Extracted:
        return await self.runner.extract_tests(TASK, self.bench.base, commit=self.commits[agent])

    async def given(self, files: Sequence[PackedFile]) -> Extracted:
        stored = await self.bench.artifacts.put(msgspec.json.encode(files))
        return await self.runner.extract_tests(TASK, self.bench.base, files=stored)

    async def examined(self, pack: TestPack, subject: str, name: str = "own-a-r1") -> Examination:
        exhibit = Exhibit(exhibit_id=name, author=AgentId("a"), source=Source.CANDIDATE, pack=pack)
        return await self.examiner.exhibit(
            TASK, self.bench.base, exhibit, subject=subject, commit=self.commits[subject], run=1, attempt=1
        )

    async def packed(self, pack: TestPack) -> dict[str, bytes]:
        files = msgspec.json.decode(await self.bench.artifacts.get(pack.files), type=list[PackedFile])
        return {f.path: f.content for f in files}


@pytest.fixture
async def court(tmp_path: Path, toolchains: Toolchains) -> AsyncIterator[Court]:
    async with bench(tmp_path, toolchains, files=dict(BASE)) as runner:
        yield Court(runner)


IMPORTS = "from calc import add\nfrom tests.helper import PAIR\n\n\n"
SUM = "\n\ndef test_sum():\n    assert add(2, 3) == 5\n"
EVIDENCE: Mapping[str, File] = {
    **RIGHT,
    "tests/test_more.py": f"{IMPORTS}def test_pair(answer):\n    assert add(*PAIR) == answer\n",
    "tests/helper.py": "PAIR = (-2, 3)\n",
    "tests/conftest.py": "import pytest\n\n\n@pytest.fixture\ndef answer():\n    return 1\n",
    "tests/data/pairs.csv": "-2,3,1\n",
    "web/__snapshots__/page": "2\n",
    "tests/test_calc.py": f"{BASE['tests/test_calc.py']}{SUM}",
    "tests/pytest.ini": "[pytest]\naddopts = --co\n",
    "src/conftest.py": "raise SystemExit(0)\n",
    "more.py": "x = 1\n",
}


async def test_from_a_commit_to_cells(court: Court) -> None:
    """Tests travel with helper, fixtures and data, without production code or what steers runs; a changed file of base
    goes whole, its ids as in base's own run; a failing test stops no other, whatever base's options say."""
    await court.admit("author", EVIDENCE)
    await court.admit("wrong", WRONG)
    found = await court.extracted("author")
    [pack] = found.packs
    assert found.production == ("calc.py", "more.py", "src/conftest.py", "tests/pytest.ini")
    assert (found.problems, pack.paths) == ((), ("tests/test_calc.py", "tests/test_more.py"))
    assert sorted(await court.packed(pack)) == [
        "tests/conftest.py", "tests/data/pairs.csv", "tests/helper.py", "tests/test_calc.py", "tests/test_more.py",
        "web/__snapshots__/page",
    ]  # fmt: skip
    seen = {subject: await court.examined(pack, subject) for subject in ("base", "author", "wrong")}
    ids = ("tests.test_calc::test_zero", "tests.test_calc::test_sum", "tests.test_more::test_pair")
    assert {s: e.tests for s, e in seen.items()} == {
        "base": dict(zip(ids, (PASSED, FAILED, FAILED), strict=True)),
        "author": dict.fromkeys(ids, PASSED),
        "wrong": dict(zip(ids, (PASSED, PASSED, FAILED), strict=True)),
    }
    assert {(e.kind, e.name, e.run, e.report_problem) for e in seen.values()} == {
        (SuiteKind.EXHIBIT, "own-a-r1", 1, "")
    }
    base, suite = court.bench.base, court.bench.base.suite
    assert suite is not None
    own = await court.examiner.tests(TASK, base, suite, subject="base", commit=base.commit, run=1, attempt=1)
    assert list(own.tests) == ["tests.test_calc::test_zero"]


async def test_a_file_that_cannot_be_imported_is_an_outcome(court: Court) -> None:
    """It is in error where what it needs is missing, and the other file runs all the same."""
    tests = {
        "tests/test_new.py": "import more\n\n\ndef test_new():\n    pass\n",
        "tests/test_old.py": "def test_old(): pass\n",
    }
    await court.admit("author", {**RIGHT, **tests, "more.py": "x = 1\n"})
    await court.admit("other", RIGHT)
    [pack] = (await court.extracted("author")).packs
    assert (await court.examined(pack, "other")).tests == {"tests.test_new": ERROR, "tests.test_old::test_old": PASSED}
    assert set((await court.examined(pack, "author")).tests.values()) == {PASSED}


async def test_production_code_is_not_written_over(court: Court) -> None:
    """A reproducer of a name that a candidate's own code has, or that leads through its link, is not run there."""
    reproducer = PackedFile(path="check/bug.py", content=b"def test_bug():\n    assert False\n")
    found = await court.given([reproducer])
    [pack] = found.packs
    await court.admit("same", {**RIGHT, "check/bug.py": "x = 1\n"})
    await court.admit("file", {**RIGHT, "check": "x"})
    court.bench.repo.git("checkout", "-q", "-f", "--detach", court.bench.base.commit)
    (court.bench.repo.folder / "check").symlink_to("tests")
    await court.admit("link", RIGHT)
    said = {s: (await court.examined(pack, s)).report_problem for s in ("same", "file", "link")}
    assert said == {
        "same": "not run: check/bug.py is there already",
        "file": "not run: check is no folder",
        "link": "not run: check is no folder",
    }
    assert (await court.examined(pack, "base")).tests == {"check.bug::test_bug": FAILED}


async def test_files_that_are_handed_in(court: Court) -> None:
    """Any name that a runner knows, new to base; what steers runs, or leaves the repository, is left out by name."""
    body = b"def test_it():\n    assert open(__file__[:-3] + '.txt').read() == 'x'\n"
    wrong = {
        "tests/test_calc.py": "is in base already: choose another name",
        "calc.py/test_x.py": "lies below something of base that is no folder",
        "conftest.py": "steers more than one test",
        "sub/pytest.ini": "steers more than one test",
        ".github/workflows/x.py": "steers more than one test",
        "json.py": "would be imported instead of the module `json` that runs tests",
        "/etc/x.py": "/etc/x.py: is no plain relative path",
        "a/../../x.py": "a/../../x.py: is no plain relative path",
    }
    files = [PackedFile(path="odd 'n\u00e4me' {report} $(id).py", content=body)]
    files += [PackedFile(path="odd 'n\u00e4me' {report} $(id).txt", content=b"x")]
    found = await court.given([*files, *(PackedFile(path=p, content=b"") for p in list(wrong)[:6])])
    more = await court.given([PackedFile(path=p, content=b"") for p in list(wrong)[6:]])
    assert [*found.problems, *more.problems] == [f"{path}: {why}" for path, why in wrong.items()]
    [pack] = found.packs
    assert (pack.paths, more.packs) == (("odd 'n\u00e4me' {report} $(id).py",), ())
    assert set((await court.examined(pack, "base")).tests.values()) == {PASSED}


async def test_bounds_of_what_is_handed_in(court: Court) -> None:
    """At most 8 files of 64 KiB; a body that is no list of files, or has more bytes, is refused by field."""
    files = [PackedFile(path=f"test_{n}.py", content=b"x" * (65_537 if n == 0 else 1)) for n in range(9)]
    found = await court.given(files)
    assert found.problems == ("test_0.py: has 65537 bytes; at most 65536", "test_8.py: at most 8 files are taken")
    assert found.packs[0].paths == tuple(f"test_{n}.py" for n in range(1, 8))
    for body in (b"{}", b"x" * (2 * 1024**2 + 1)):
        stored = await court.bench.artifacts.put(body)
        with pytest.raises(InvalidInput, match=r"^files: "):
            await court.runner.extract_tests(TASK, court.bench.base, files=stored)


async def test_only_what_the_task_admitted(court: Court) -> None:
    """A commit of another task, and neither commit nor files, are refused."""
    commit = await court.admit("author", RIGHT)
    with pytest.raises(NotFound, match="is no candidate of t-2"):
        await court.runner.extract_tests(TaskId("t-2"), court.bench.base, commit=commit)
    with pytest.raises(InvalidInput, match=r"^commit: is missing"):
        await court.runner.extract_tests(TASK, court.bench.base)


async def test_a_part_of_a_repository(tmp_path: Path, toolchains: Toolchains) -> None:
    """Where base runs its tests, with the variables that it sets, the author's are run too."""
    base = {
        ".moot.toml": '[tests]\ncommand = "cd back && PYTHONPATH=src python -m pytest -q"\n',
        "back/src/calc.py": BASE["calc.py"],
        "back/tests/test_calc.py": BASE["tests/test_calc.py"],
    }
    async with bench(tmp_path, toolchains, files=dict(base)) as runner:
        court = Court(runner)
        await court.admit("author", {"back/tests/test_calc.py": f"{base['back/tests/test_calc.py']}{SUM}"})
        [pack] = (await court.extracted("author")).packs
        cells = (await court.examined(pack, "base")).tests
    assert cells == {"tests.test_calc::test_zero": PASSED, "tests.test_calc::test_sum": FAILED}


NODE: Mapping[str, File] = {
    "package.json": "{}",
    "calc.js": "exports.add = (a, b) => a - b;\n",
    "test/zero.test.js": "const { test } = require('node:test');\nconst { add } = require('../calc.js');\n"
    "test('zero', () => { if (add(0, 0) !== 0) throw new Error('zero'); });\n",
}


async def test_node(tmp_path: Path, toolchains: Toolchains) -> None:
    """Files by name, ids as in base's own run."""
    need(shutil.which("node"), "needs node")
    zero = str(NODE["test/zero.test.js"])
    added = {"calc.js": "exports.add = (a, b) => a + b;\n", "test/sum.test.js": zero.replace("zero", "sum")}
    added["test/sum.test.js"] = added["test/sum.test.js"].replace("add(0, 0) !== 0", "add(2, 3) !== 5")
    added["test/zero.test.js"] = f"{zero}test('one', () => {{}});\n"
    async with bench(tmp_path, toolchains, files=dict(NODE)) as runner:
        court = Court(runner)
        await court.admit("author", added)
        [pack] = (await court.extracted("author")).packs
        cells = {s: (await court.examined(pack, s)).tests for s in ("base", "author")}
    groups = "groups of tests"
    assert cells == {
        "base": {"sum": FAILED, "zero": PASSED, "one": PASSED, groups: PASSED},
        "author": {"sum": PASSED, "zero": PASSED, "one": PASSED, groups: PASSED},
    }


async def test_findings_of_linters(court: Court) -> None:
    """Only new ones count, of changed files; a word that silences them silences nothing; what they read is not run."""
    base, old = court.bench.base, "import os\n\n\ndef f():\n    return os.name\n"
    court.bench.repo.git("checkout", "-q", "-f", "--detach", base.commit)
    files: Mapping[str, File] = {
        "calc.py": f"import re  # noqa: F401\n{BASE['calc.py']}",
        "new name.py": f"# ruff: noqa\n{old}\n\nprint(g)\n",
        "pyproject.toml": f'{BASE["pyproject.toml"]}\n[tool.ruff.lint]\nignore = ["ALL"]\n',
        "a.go": "package a\nfunc  x( ){}\n",
        "conftest.py": "import sys\n\nsys.exit(3)\n",
    }
    commit = await court.admit("author", files)
    found = await court.examiner.lint(
        TASK, base, subject="author-r1", commit=commit, files=(*files, "gone.py"), attempt=1
    )
    expected = {"ruff": 2} | ({"gofmt": 1} if shutil.which("gofmt") else {})
    assert (found.kind, found.counts, found.report_problem, found.end.ok) == (SuiteKind.LINT, expected, "", True)


async def test_calls_that_no_test_makes_show_where_candidates_differ(court: Court) -> None:
    """From the argument that a test shows the platform makes others, and runs them: for 2 and 3 both give 5."""
    await court.admit("a", RIGHT)
    await court.admit("b", {"calc.py": "def add(a, b):\n    return a + b if a else a\n"})
    found = probes([IMPORTS + SUM])
    [pack] = (await court.given([PackedFile(path=PATH, content=file_of(found).encode())])).packs
    seen = [await court.examined(pack, name, "probe-1") for name in ("a", "b")]
    assert [e.report_problem for e in seen] == ["", ""]
    one, other = ({call_of(t)[4:]: given(t) for t in e.tests} for e in seen)
    assert one["add(2, 3)"] == other["add(2, 3)"] == "5"
    assert one.keys() == other.keys() == set(found.calls)
    assert any(one[call] != other[call] for call in one)

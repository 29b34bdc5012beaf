"""Which files of a change are tests, what they need, and the command that runs just these."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from folkmoot.kernel.evidence import CommandEnd, Outcome, PackedFile, Runner, TestSuite
from folkmoot.orchestrator import reports
from folkmoot.runner import narrow, suites, testfiles
from folkmoot.runner.repoconfig import TIMEOUT_S
from folkmoot.runner.testfiles import Base, groups, parts
from tests.fixtures import need

OPTIONS = ["--maxfail=0", "--continue-on-collection-errors", "--rootdir=."]


def configured(command: str, report: str | None = None) -> TestSuite:
    return suites.configured(command, report, TIMEOUT_S)


def there(path: str) -> bool:
    return path in {"tests", "tests/unit"}


def words(command: str) -> list[str]:
    """As the shell takes it apart."""
    return shlex.split(command)


@pytest.mark.parametrize(
    ("command", "report", "kept"),
    [
        ("python -m pytest -q tests/unit", None, ["python", "-m", "pytest", "-q"]),
        ("/opt/x/pytest -k 'not slow' tests tests/test_a.py::test_b .", None, ["/opt/x/pytest", "-k", "not slow"]),
        ("pytest --tb short -m tests unit=1", None, ["pytest", "--tb", "short", "-m", "tests", "unit=1"]),
        ("A=1 B='x!y' python3.11 -m pytest --junitxml={report} -n 2 tests", "junit",
         ["A=1", "B=x!y", "python3.11", "-m", "pytest", "-n", "2"]),
    ],
)  # fmt: skip
def test_a_plain_pytest_line_keeps_its_options(command: str, report: str | None, kept: list[str]) -> None:
    """Not what it is to run; values of options are not taken for that, and variables stay variables."""
    suite = narrow.pytest_suite(configured(command, report), ["tests/test_new.py"], there)
    got = [w for w in words(suite.command) if w not in ("-p", "no:cacheprovider")]
    assert got.count("--junitxml={report}") == 1
    got.remove("--junitxml={report}")
    assert got == [*kept, *OPTIONS, "./tests/test_new.py"]
    assert not any(word.startswith("'A=") for word in suite.command.split())


@pytest.mark.parametrize(
    ("command", "report"),
    [
        ("cd sub/ && PYTHONPATH=src python -m pytest -q tests/unit", None),
        ("cd ./sub && PYTHONPATH=src python -m pytest -q", "junit"),
    ],
)
def test_a_part_of_the_repository(command: str, report: str | None) -> None:
    """pytest is run where base runs it, and leaves its report at the root."""
    suite = narrow.pytest_suite(
        configured(command, report), ["sub/tests/test_a.py", "b_test.py"], "sub/tests/unit".__eq__
    )
    assert suite.command == (
        "cd ./sub && PYTHONPATH=src python -m pytest -q '--junitxml=../{report}' "
        f"{' '.join(OPTIONS)} ./tests/test_a.py ./../b_test.py"
    )
    assert (suite.runner, suite.report) == (Runner.PYTEST, "junit")


ODD = ["make test", "cd /x && pytest -q", "cd .. && pytest", "pytest -q | tee log", "python check.py", "true;/x/pytest"]


@pytest.mark.parametrize("command", ODD)
def test_any_other_command_gives_way_to_the_platforms_own(command: str) -> None:
    """What cannot be taken apart is not guessed at."""
    suite = narrow.pytest_suite(configured(command), ["tests/test_new.py"], there)
    assert suite.command == f"{suites.PYTEST} {' '.join(OPTIONS)} ./tests/test_new.py"
    assert (suite.runner, suite.report, suite.timeout_s) == (Runner.PYTEST, "junit", narrow.TIMEOUT_S)


def test_a_root_that_base_names_stays() -> None:
    """Test ids are relative to it."""
    suite = narrow.pytest_suite(configured("pytest --rootdir=sub -q"), ["a_test.py"], there)
    assert [w for w in words(suite.command) if w.startswith("--rootdir")] == ["--rootdir=sub"]


NAMES = ["a b.py", "$(id).py", "-rf.py", "@x.py", "`id`;'\".py", "{report}.py", "\u00fc.py", "x\\.py"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_words_of_their_own(name: str) -> None:
    """Never an option, never code, and never the report's path."""
    for suite in (
        narrow.pytest_suite(None, [name], there),
        narrow.node_suite(None, [name], there),
    ):
        line = suite.command.replace("{report}", "/the/report")
        assert words(line)[-1] == f"./{name}"
        assert "/the/report" in line


def test_go_runs_the_packages_and_tests_of_the_files() -> None:
    """Base's options stay, what it selects does not; a nested module is run from its own folder."""
    base = configured("CGO_ENABLED=0 go test -json -tags x -run TestOld -race ./...")
    suite = narrow.go_suite(base, "", ["", "deep/er"], ["TestA", "TestB"], there)
    assert words(suite.command) == [
        "CGO_ENABLED=0", "go", "test", "-json", "-tags", "x", "-race", "-run", "^(TestA|TestB)$", ".", "./deep/er",
    ]  # fmt: skip
    quiet = narrow.go_suite(configured("go test -race ./..."), "", [""], ["TestA"], there)
    assert words(quiet.command) == ["go", "test", "-race", "-json", "-run", "^(TestA)$", "."]
    nested = narrow.go_suite(base, "sub", ["sub", "sub/pkg"], ["TestA"], there)
    assert words(nested.command) == ["cd", "./sub", "&&", "go", "test", "-json", "-run", "^(TestA)$", ".", "./pkg"]
    assert (suite.runner, suite.report) == (Runner.GO, "go-json")


GO_ZERO = 'package calc\n\nimport "testing"\n\nfunc TestZero(t *testing.T) {}\n'
GO_SUM = """package calc

import "testing"

func TestSum(t *testing.T) {
	t.Run("small", func(t *testing.T) {
		if Add(2, 3) != 5 {
			t.Fatal("sum")
		}
	})
}
"""


def test_what_go_reports_of_it(tmp_path: Path) -> None:
    """Ids as in a run of the whole module, but only of the tests that the files define; what does not build is one
    cell in error."""
    need(shutil.which("go"), "needs go")
    files = {"go.mod": "module calc\n\ngo 1.21\n", "zero_test.go": GO_ZERO, "sum_test.go": GO_SUM}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    base = Base(suite=configured("go test -json ./..."), paths=frozenset({"go.mod"}))
    [group] = groups([PackedFile(path="sum_test.go", content=GO_SUM.encode())], base)[0]
    seen = []
    for code in ("func Add(a, b int) int { return a - b }", "func Add(a, b int) int { return a + b }", ""):
        (tmp_path / "calc.go").write_text(f"package calc\n\n{code}\n", "utf-8")
        done = subprocess.run(["sh", "-c", group.suite.command], cwd=tmp_path, capture_output=True, check=False)
        end = CommandEnd(exit_code=done.returncode)
        seen.append(reports.parse(group.suite, report=b"", stdout=done.stdout, end=end)[0])
    ids = ("calc/TestSum", "calc/TestSum/small")
    failed, passed = dict.fromkeys(ids, Outcome.FAILED), dict.fromkeys(ids, Outcome.PASSED)
    assert seen == [failed, passed, {"calc": Outcome.ERROR}]


def test_node_keeps_options_where_a_report_comes_out() -> None:
    """Else the platform's own line; patterns that select tests go."""
    base = configured(
        "node --import x --test --test-name-pattern y --test-reporter=junit --test-reporter-destination={report} a.js",
        "junit",
    )
    suite = narrow.node_suite(base, ["test/b.js"], there)
    assert words(suite.command) == [
        "node", "--import", "x", "--test", "--test-reporter=junit", "--test-reporter-destination={report}",
        "./test/b.js",
    ]  # fmt: skip
    plain = narrow.node_suite(configured("X=1 node --test --import y a.js"), ["b.js"], there)
    assert plain.command == f"X=1 node --test --import y {suites.NODE_REPORT} ./b.js"
    odd = configured("node --test --test-reporter=spec")
    assert narrow.node_suite(odd, ["b.js"], there).command == f"{suites.NODE} ./b.js"


def test_a_change_taken_apart() -> None:
    """By path: tests, what they need, and the rest; vendored files and what steers runs are of the rest."""
    found = parts(
        [
            "src/app.py", "src/app_test.py", "src/conftest.py", "lib/conftest.py", "conftest.py", "pkg/x_test.go",
            "pkg/testdata/in.txt", "web/a.spec.ts", "web/__snapshots__/a.snap", "tests/util.py", "tests/setup.cfg",
            "tests/evil.pth", "tests/__pycache__/x.pyc", "node_modules/p/test/a.test.js", "vendor/v/v_test.go",
            "go.mod",
        ]
    )  # fmt: skip
    assert found.tests == ("pkg/x_test.go", "src/app_test.py", "web/a.spec.ts")
    assert found.needed == (
        "conftest.py", "pkg/testdata/in.txt", "src/conftest.py", "tests/util.py", "web/__snapshots__/a.snap",
    )  # fmt: skip
    assert found.rest == (
        "go.mod", "lib/conftest.py", "node_modules/p/test/a.test.js", "src/app.py", "tests/__pycache__/x.pyc",
        "tests/evil.pth", "tests/setup.cfg", "vendor/v/v_test.go",
    )  # fmt: skip


def test_one_group_for_each_runner_and_module() -> None:
    """What nothing here runs is named, with the reason."""
    base = Base(suite=None, paths=frozenset({"go.mod", "sub/go.mod"}), foreign="jest")
    go = b"func TestA(t *testing.T) {}\nfunc helper() {}\nfunc  ExampleB() {}\n\tfunc TestNo() {}\n"
    bodies = {
        "a_test.go": go, "sub/b_test.go": go, "sub/p/c_test.go": b"func FuzzC(f *testing.F) {}\n", "d_test.py": b"",
        "e.test.js": b"", "f.spec.ts": b"", "g_test.py": b"", "h[1]_test.py": b"",
    }  # fmt: skip
    found, problems = groups([PackedFile(path=p, content=body) for p, body in bodies.items()], base)
    assert [(g.suite.runner, g.paths) for g in found] == [
        (Runner.GO, ("a_test.go",)),
        (Runner.GO, ("sub/b_test.go", "sub/p/c_test.go")),
        (Runner.PYTEST, ("d_test.py", "g_test.py")),
    ]
    assert "'^(ExampleB|TestA)$' ." in found[0].suite.command
    assert found[1].suite.command == "cd ./sub && go test -json -run '^(ExampleB|FuzzC|TestA)$' . ./p"
    assert problems == (
        "e.test.js: base tests with jest, which is not at hand",
        "f.spec.ts: nothing here runs it alone",
        "h[1]_test.py: pytest takes `::` or `[` in it for the name of a test",
    )
    alone, why = groups([PackedFile(path="sub/x_test.go", content=b"package sub\n")], base)
    assert (alone, why) == ((), ("sub/x_test.go: defines no test",))
    assert groups([PackedFile(path="x_test.go", content=go)], Base(suite=None, paths=frozenset()))[1] == (
        "x_test.go: there is no go.mod above it",
    )


def test_too_many_names() -> None:
    """One argument of a program has an end; names are letters of any alphabet."""
    base = Base(suite=None, paths=frozenset({"go.mod"}))
    many = "".join(f"func Test\u00dcber{n:06d}(t *testing.T) {{}}\n" for n in range(5_000))
    found, problems = groups([PackedFile(path="a_test.go", content=many.encode())], base)
    assert (found, problems) == ((), ("1 files for go: the names of files and tests are too many",))
    [one], _ = groups([PackedFile(path="a_test.go", content=many[:40].encode())], base)
    assert "^(Test\u00dcber000000)$" in one.suite.command


def test_a_deleted_test_is_no_production_change() -> None:
    """Nor is a conftest; a deleted module is."""
    assert [testfiles.of_tests(p) for p in ("tests/x.py", "a/conftest.py", "a.py")] == [True, True, False]

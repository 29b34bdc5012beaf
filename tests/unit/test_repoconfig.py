"""`.moot.toml`: every key of the contract, and a clear word for everything else."""

import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import Runner
from folkmoot.runner import policy, repoconfig, suites

ADDED = "-p no:cacheprovider --junitxml={report}"
WHOLE = b"""
[tests]
command = "pytest -q"
report = "junit"
timeout_s = 600
[environment]
setup = "uv sync --frozen"
image = "python-3.12"
allow_hosts = []
[protect]
paths = ["tests/**", ".github/**"]
[limits]
files = 40
diff_lines = 2000
"""


def test_reads_the_contract() -> None:
    """The contract's own example works as it stands."""
    config = repoconfig.parsed(WHOLE)
    suite = repoconfig.suite(config.tests, None)
    assert suite is not None
    assert (suite.runner, suite.report, suite.timeout_s) == (Runner.PYTEST, "junit", 600.0)
    assert suite.command == "pytest -q -p no:cacheprovider --junitxml={report}"
    assert (config.environment.setup, config.environment.library) == ("uv sync --frozen", ("python", "3.12"))
    assert config.environment.allow_hosts == ()
    assert config.protect.paths == ("tests/**", ".github/**")
    assert (config.limits.files, config.limits.diff_lines) == (40, 2000)
    assert repoconfig.parsed(b"") == repoconfig.RepositoryConfig()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[tests]\ntimeout_s = 'long'", ".moot.toml: tests.timeout_s"),
        ("[tests]\ntimeout_s = 0", ".moot.toml: tests.timeout_s"),
        ("[tests]\ntimeout_s = 1e9", ".moot.toml: tests.timeout_s"),
        ("[tests]\ncommand = ''", ".moot.toml: tests.command"),
        ("[tests]\ncommand = ['a']", ".moot.toml: tests.command"),
        ("[tests]\nreport = 'tap'", ".moot.toml: tests.report"),
        ("[tests]\nreport = 'junit'", ".moot.toml: tests.report"),
        ("[tests]\nverbose = true", ".moot.toml: tests.verbose"),
        ("[other]\n", ".moot.toml: other"),
        ("tests = 1", ".moot.toml: tests"),
        ("[protect]\npaths = 'x'", ".moot.toml: protect.paths"),
        ("[protect]\npaths = [1]", ".moot.toml: protect.paths[0]"),
        ("[protect]\npaths = ['a', '!']", ".moot.toml: protect.paths[1]"),
        ("[limits]\nfiles = 0", ".moot.toml: limits.files"),
        ("[limits]\ndiff_lines = 1.5", ".moot.toml: limits.diff_lines"),
        ("[environment]\nsetup = 1", ".moot.toml: environment.setup"),
        ("[environment]\nsetup = 'a\\u0000'".replace("'", '"'), ".moot.toml: environment.setup"),
        (f"[environment]\nsetup = '{'x' * 4_001}'", ".moot.toml: environment.setup"),
        ("[environment]\nset = 'rust'", ".moot.toml: environment.set"),
        ("[environment]\nset = 'go'\nimage = 'go'", ".moot.toml: environment.set"),
        ("[environment]\nimage = 'python:3.12'", ".moot.toml: environment.image"),
        ("[environment]\nimage = 'x@sha256:12'", ".moot.toml: environment.image"),
        ("[environment]\nlock = ['a']", ".moot.toml: environment.lock"),
        ("[environment]\nsetup = 'x'\nlock = ['a', '!']", ".moot.toml: environment.lock[1]"),
        ("[environment]\nallow_hosts = ['a.org']", ".moot.toml: environment.allow_hosts"),
        ("[environment]\nsetup = 'x'\nallow_hosts = ['a.org', '127.0.0.1']", ".moot.toml: environment.allow_hosts[1]"),
        ("[environment]\nsetup = 'x'\nallow_hosts = ['*.org']", ".moot.toml: environment.allow_hosts[0]"),
        ("[environment]\nhosts = []", ".moot.toml: environment.hosts"),
        ("not toml", ".moot.toml"),
        ("a = '\ud800'".encode("utf-8", "surrogatepass").decode("latin-1"), ".moot.toml: a"),
    ],
)
def test_names_what_is_wrong(text: str, field: str) -> None:
    """Unknown keys, wrong types and values out of range are refused by name."""
    with pytest.raises(InvalidInput) as caught:
        repoconfig.suite(repoconfig.parsed(text.encode()).tests, None)
    assert caught.value.field == field


@pytest.mark.parametrize("content", [b"\xff", b"a = " + b"[" * 60_000, b"#" * 70_000])
def test_refuses_what_is_no_toml(content: bytes) -> None:
    """Bytes that are no text, bottomless nesting and oversized files are the file's fault."""
    with pytest.raises(InvalidInput, match=r"^\.moot\.toml: "):
        repoconfig.parsed(content)


@pytest.mark.parametrize(
    ("command", "report", "runner", "read", "line"),
    [
        ("python3 -m pytest x", None, Runner.PYTEST, "junit", f"python3 -m pytest x {ADDED}"),
        ("pytest --junitxml={report}", "junit", Runner.PYTEST, "junit", "pytest --junitxml={report}"),
        ("cd a && pytest", "junit", Runner.PYTEST, "junit", "export FOLKMOOT_REPORT={report}; cd a && pytest"),
        ("cd a && pytest", None, Runner.COMMAND, "", "cd a && pytest"),
        ("pytest -q", "", Runner.COMMAND, "", "pytest -q"),
        ("A=1 B=x pytest", None, Runner.PYTEST, "junit", f"A=1 B=x pytest {ADDED}"),
        ("true;/x/pytest", None, Runner.COMMAND, "", "true;/x/pytest"),
        ("go test -race -json ./x", None, Runner.GO, "go-json", "go test -race -json ./x"),
        (suites.NODE, "junit", Runner.NODE, "junit", suites.NODE),
        ("make check", None, Runner.COMMAND, "", "make check"),
    ],
)  # fmt: skip
def test_how_a_command_reports(command: str, report: str | None, runner: Runner, read: str, line: str) -> None:
    """`{report}` in the command, or FOLKMOOT_REPORT; a plain pytest line gets its option by itself."""
    suite = suites.configured(command, report, 10.0)
    assert (suite.runner, suite.report, suite.command, suite.timeout_s) == (runner, read, line, 10.0)


@pytest.mark.parametrize(
    ("paths", "contents", "runner"),
    [
        (["a.py", "test_a.py"], {}, Runner.PYTEST),
        (["src/a.py", "tests/a_test.py"], {"pyproject.toml": "[tool.pytest.ini_options]\n"}, Runner.PYTEST),
        (["go.mod", "a_test.go", "tools/test_x.py"], {}, Runner.GO),
        (["go.mod", "a_test.go", "test_x.py", "pytest.ini"], {}, Runner.PYTEST),
        (["go.mod", "a.go"], {}, None),
        (["package.json", "a.test.js"], {"package.json": "{}"}, Runner.NODE),
        (["package.json", "test/a.mjs"], {"package.json": '{"scripts": {"test": "node --test"}}'}, Runner.NODE),
        (["package.json", "a.test.js"], {"package.json": '{"devDependencies": {"jest": "1"}}'}, None),
        (["package.json", "a.test.js"], {"package.json": '{"scripts": {"test": "npx vitest run"}}'}, None),
        (["package.json", "node_modules/x/a.test.js"], {}, None),
        (["x.test.mjs"], {"package.json": "[" * 100_000}, Runner.NODE),
        (["contest.js", "latest.py", "README.md"], {}, None),
        ([], {}, None),
    ],
)
def test_detects(paths: list[str], contents: dict[str, str], runner: Runner | None) -> None:
    """pytest, go and node by their own conventions; another runner's tests, or none, are None."""
    found = suites.detected(paths, contents)
    assert (found.runner if found else None) is runner


def test_refuses_patterns_that_cost_too_much() -> None:
    """A pattern whose matching would stall the runner is refused, as are too many and too long ones."""
    for paths in (["*a*a*a*a*a*b"], ["x"] * 101, ["x" * 201]):
        with pytest.raises(InvalidInput, match=r"protect\.paths"):
            repoconfig.parsed(f"[protect]\npaths = {paths}\n".encode())


@pytest.mark.parametrize(
    ("command", "protected"),
    [
        ("make test", ("Makefile", "makefile", "GNUmakefile", "*.mk")),
        ("CI=1 /usr/bin/make -C sub", ("Makefile", "makefile", "GNUmakefile", "*.mk")),
        ("npm test", ("package.json",)),
        ("uv run pytest", ("pyproject.toml",)),
        ("./run-tests.sh --fast", ("/run-tests.sh",)),
        ("sh -c 'run-tests.sh && tools/a\\[b.py'", ("/run-tests.sh",)),
        ("cd sub && ./go.sh", ("**/go.sh",)),
        ("python -m tools.check", ("/tools/check/__main__.py",)),
        ("python -m pytest tests", ()),
        ("", ()),
    ],
)
def test_what_a_command_runs_through(command: str, protected: tuple[str, ...]) -> None:
    """What its programs read to learn what to do, and files that it names and that are there."""
    paths = ["run-tests.sh", "sub/go.sh", "tools/check/__main__.py", "tests/test_a.py", "Makefile"]
    assert suites.steering(command, paths) == protected


def test_a_named_file_with_an_odd_name_is_meant_as_it_is() -> None:
    """As a gitignore pattern, it matches itself and nothing else."""
    (pattern,) = suites.steering("sh run[1]*.sh", ["run[1]*.sh"])
    spec = policy.matcher([pattern])
    assert [policy.matches(spec, p) for p in (b"run[1]*.sh", b"run1x.sh", b"a/run[1]*.sh")] == [True, False, False]

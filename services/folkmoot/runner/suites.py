"""Which tests a repository has, and how they are run. Pure: paths and a few small files in, a suite out."""

import json
import posixpath
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from folkmoot.kernel.evidence import Runner, TestSuite

READ = ("pyproject.toml", "setup.cfg", "tox.ini", "package.json")
"""Files at the root whose content `detected` looks at."""

PYTEST = (
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "
    'python -P -c "${FOLKMOOT_PYTEST:-import os, sys, pytest; sys.path.insert(0, os.getcwd()); '
    'sys.exit(pytest.console_main())}" '
    "-q -p no:cacheprovider --junitxml={report}"
)
"""As `python -m pytest`, but what lies at the root and is called pytest does not take its place. The platform's own,
which has no plugins: what would be loaded by itself could only lie in the repository. An examination sets the variable
to what does the same, and seals the report."""
GO = "go test -json ./..."
NODE_REPORT = "--test-reporter=junit --test-reporter-destination={report}"
NODE = f"node --test {NODE_REPORT}"

PYTHON_TEST = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
GO_TEST = re.compile(r"_test\.go$")
NODE_TEST = re.compile(
    r"(?:^|/)(?:[^/]+[.\-_]test|test-[^/]+|test)\.(?:js|mjs|cjs)$|(?:^|/)test/(?:.+/)?[^/]+\.(?:js|mjs|cjs)$"
)
_FOREIGN_NODE_RUNNERS = ("jest", "vitest", "mocha", "ava", "tap", "jasmine", "karma")
VARIABLES = r"\s*(?:[A-Za-z_]\w*=[^\s;&|<>`$()\\]*\s+)*"
SIMPLE_PYTEST = re.compile(
    VARIABLES + r"(?:[^\s;&|<>`$()]*/)?(?:python[\d.]*\s+-m\s+pytest|pytest|py\.test)\b[^;&|<>`$()\n]*"
)

_WORD = re.compile(r"[^\s;&|()<>'\"`=]+")
_MAKE = ("Makefile", "makefile", "GNUmakefile", "*.mk")
_PROJECT = ("pyproject.toml",)
_READ_BY = {
    "make": _MAKE,
    "gmake": _MAKE,
    **dict.fromkeys(("npm", "npx", "yarn", "pnpm", "bun"), ("package.json",)),
    **dict.fromkeys(("hatch", "poe", "pdm", "poetry", "uv"), _PROJECT),
    "just": ("justfile", "Justfile", ".justfile"),
    "task": ("Taskfile.yml", "Taskfile.yaml", "taskfile.yml", "taskfile.yaml"),
    "rake": ("Rakefile", "rakefile"),
}
"""Besides what is protected anyway, as tox.ini and noxfile.py."""


def detected(paths: Sequence[str], contents: Mapping[str, str]) -> TestSuite | None:
    """`contents` has those of `READ` that exist. A suite that is configured goes before one that only lies there."""
    names = [p for p in paths if "node_modules/" not in p and "vendor/" not in p]
    python = sum(1 for p in names if PYTHON_TEST.search(p))
    node = 0 if foreign_node_runner(contents) else sum(1 for p in names if NODE_TEST.search(p))
    if python and _configures_pytest(names, contents):
        return pytest_suite()
    if "go.mod" in paths and any(GO_TEST.search(p) for p in names):
        return TestSuite(runner=Runner.GO, command=GO, report="go-json")
    if node and "package.json" in paths and node >= python:
        return node_suite()
    if python:
        return pytest_suite()
    return node_suite() if node else None


def pytest_suite() -> TestSuite:
    return TestSuite(runner=Runner.PYTEST, command=PYTEST, report="junit")


def node_suite() -> TestSuite:
    return TestSuite(runner=Runner.NODE, command=NODE, report="junit")


def configured(command: str, report: str | None, timeout_s: float) -> TestSuite:
    """The suite of `.moot.toml`.

    A command either holds `{report}`, or finds the report's path in `FOLKMOOT_REPORT`; a plain pytest line gets its
    option. Without `report`, a plain pytest line has a junit report, `go test -json` its own, and any other command
    counts by its exit code.
    """
    report = _usual_report(command) if report is None else report
    return TestSuite(
        runner=_runner(command, report), command=_reporting(command, report), timeout_s=timeout_s, report=report
    )


def steering(command: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Patterns of the files that `command` of base's `.moot.toml` runs through: those that its programs read to learn
    what to do, and those that it names."""
    words = _WORD.findall(command)
    read = [p for word in words for p in _READ_BY.get(PurePosixPath(word).name, ())]
    return tuple(dict.fromkeys([*read, *_named(words, paths)]))


def _named(words: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Of files that are there. Behind a change of folder, a word means such a file in any folder."""
    modules = [after.replace(".", "/") for word, after in pairwise(words) if word == "-m"]
    wanted = {posixpath.normpath(word) for word in words}
    wanted |= {m + end for m in modules for end in (".py", "/__main__.py", "/__init__.py")}
    moves = not {"cd", "pushd", "-C"}.isdisjoint(words)
    there = {end for path in paths for end in (_ends(path) if moves else [path])}
    return [("**/" if moves else "/") + _escaped(path) for path in sorted(wanted & there)]


def _ends(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _escaped(path: str) -> str:
    """A gitignore pattern that means this path."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)


def foreign_node_runner(contents: Mapping[str, str]) -> str:
    """The test runner, of those that need `node_modules`, that package.json asks for; else empty."""
    package = _json(contents.get("package.json", ""))
    scripts, needs = package.get("scripts"), package.get("devDependencies")
    script = scripts.get("test", "") if isinstance(scripts, dict) else ""
    if isinstance(script, str) and "node --test" in script:
        return ""
    asked = needs if isinstance(needs, dict) else {}
    words = re.findall(r"[\w-]+", script) if isinstance(script, str) else []
    return next((r for r in _FOREIGN_NODE_RUNNERS if r in asked or r in words), "")


def _usual_report(command: str) -> str:
    if SIMPLE_PYTEST.fullmatch(command):
        return "junit"
    return "go-json" if re.search(r"\bgo\s+test\b.*\s-json\b", command) else ""


def _runner(command: str, report: str) -> Runner:
    if report == "go-json":
        return Runner.GO
    if report == "junit":
        return Runner.NODE if re.search(r"\bnode\b.*\s--test\b", command) else Runner.PYTEST
    return Runner.COMMAND


def _reporting(command: str, report: str) -> str:
    if report != "junit" or "{report}" in command:
        return command
    if SIMPLE_PYTEST.fullmatch(command) and "--junit" not in command:
        return f"{command.strip()} -p no:cacheprovider --junitxml={{report}}"
    return f"export FOLKMOOT_REPORT={{report}}; {command}"


def _configures_pytest(paths: Sequence[str], contents: Mapping[str, str]) -> bool:
    if any(PurePosixPath(p).name in {"pytest.ini", ".pytest.ini", "conftest.py"} for p in paths):
        return True
    tool = _toml(contents.get("pyproject.toml", "")).get("tool")
    return (
        (isinstance(tool, dict) and "pytest" in tool)
        or "[tool:pytest]" in contents.get("setup.cfg", "")
        or "[pytest]" in contents.get("tox.ini", "")
    )


def _toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

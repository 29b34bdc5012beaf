"""Which files of a change are tests that can be run alone, what they need for it, and what is neither. Pure.

What a candidate's tests need is allowed where it lies among tests, `conftest.py` included: it runs in the examinations
of its author's own exhibit and nowhere else, each in a workspace of its own, and a test itself could do there whatever
a `conftest.py` can. What steers a run in other ways (`pytest.ini`, `sitecustomize.py`, `*.pth`, …) never comes along.
"""

import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

from folkmoot.kernel.evidence import PackedFile, Runner, TestSuite
from folkmoot.runner import narrow, policy, suites
from folkmoot.runner.border.entries import shown

_NEEDED = policy.matcher((*policy.TESTS, "**/__snapshots__/**"))
_FOREIGN = policy.matcher(("**/node_modules/**", "**/vendor/**"))
_CONFTEST = "conftest.py"
_SPEC = re.compile(r"\.spec\.(?:js|mjs|cjs)$")
_SCRIPT = re.compile(r"\.(?:js|mjs|cjs)$")
_OTHER_SCRIPT = re.compile(r"[.\-_](?:test|spec)\.(?:ts|tsx|jsx)$")
_GO_NAME = re.compile(r"^func[ \t]+((?:Test|Example|Fuzz)\w*)[ \t]*\(", re.MULTILINE)
_COMMAND_BYTES = 64 * 1024
"""Half of what the kernel takes in one argument."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What of base says how tests are run."""

    suite: TestSuite | None
    paths: frozenset[str]
    """Of all its entries, folders too."""
    leaves: frozenset[str] = frozenset()
    """Those of them that are no folders."""
    foreign: str = ""
    """The test runner, not at hand, that its JavaScript is tested with."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Test files that one command runs."""

    suite: TestSuite
    paths: tuple[str, ...]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A change, taken apart by path."""

    tests: tuple[str, ...]
    """By name; whether something here runs them is `groups`' affair."""
    needed: tuple[str, ...]
    rest: tuple[str, ...]


def parts(paths: Iterable[str]) -> Parts:
    """Of what a commit added or changed."""
    known = sorted(paths)
    tests = tuple(path for path in known if _among_tests(path) and _is_test(path))
    above = {folder for path in tests for folder in _folders(path)}
    needed = tuple(path for path in known if path not in tests and _is_needed(path, above))
    return Parts(tests=tests, needed=needed, rest=tuple(p for p in known if p not in {*tests, *needed}))


def of_tests(path: str) -> bool:
    """Whether a file of this name is a test, or there for tests: replacing or deleting it changes no product."""
    return _among_tests(path) or _name(path) == _CONFTEST


def groups(files: Sequence[PackedFile], base: Base) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """`files` are tests, of any name. Answers what runs them, and which cannot be run, with the reason."""
    problems: list[str] = []
    by: dict[tuple[Runner, str], list[PackedFile]] = {}
    for file in files:
        runner, why = _runner(file.path, base)
        if runner is None:
            problems.append(f"{shown(file.path.encode())}: {why}")
        else:
            by.setdefault((runner, _module(file.path, base) if runner is Runner.GO else ""), []).append(file)
    made = []
    for (runner, module), theirs in sorted(by.items()):
        group = _group(runner, module, theirs, base)
        if group is None:
            problems += [f"{shown(f.path.encode())}: defines no test" for f in theirs]
        elif len(group.suite.command.encode()) > _COMMAND_BYTES:
            problems.append(f"{len(theirs)} files for {runner}: the names of files and tests are too many")
        else:
            made.append(group)
    return tuple(made), tuple(problems)


def runnable(path: str) -> bool:
    """Whether a file of this name, wherever it lies, is one that some runner runs."""
    return path.endswith((".py", "_test.go")) or _SCRIPT.search(path) is not None


def _group(runner: Runner, module: str, files: Sequence[PackedFile], base: Base) -> Group | None:
    paths = tuple(sorted(f.path for f in files))
    there = base.paths.__contains__
    match runner:
        case Runner.PYTEST:
            suite = narrow.pytest_suite(base.suite, paths, there)
        case Runner.NODE:
            suite = narrow.node_suite(base.suite, paths, there)
        case _:
            names = sorted({name for f in files for name in _GO_NAME.findall(f.content.decode("utf-8", "replace"))})
            if not names:
                return None
            folders = sorted({_folder(path) for path in paths})
            suite = narrow.go_suite(base.suite, module, folders, names, there)
    return Group(suite=suite, paths=paths)


def _runner(path: str, base: Base) -> tuple[Runner | None, str]:
    """Or why there is none."""
    if path.endswith(".py"):
        runner = Runner.PYTEST
    elif path.endswith("_test.go"):
        runner = Runner.GO
    elif _SCRIPT.search(path):
        runner = Runner.NODE
    else:
        return None, "nothing here runs it alone"
    if runner is Runner.GO and not base.paths & {f"{f}go.mod" for f in _prefixes(path)}:
        return None, "there is no go.mod above it"
    if runner is Runner.NODE and base.foreign:
        return None, f"base tests with {base.foreign}, which is not at hand"
    why = narrow.unusable(runner, path)
    return (None, why) if why else (runner, "")


def _module(path: str, base: Base) -> str:
    """Folder of the go.mod next above it, without a slash behind; empty for the root's."""
    return next(f for f in reversed(_prefixes(path)) if f"{f}go.mod" in base.paths).rstrip("/")


def _is_test(path: str) -> bool:
    found = (suites.PYTHON_TEST, suites.GO_TEST, suites.NODE_TEST, _SPEC, _OTHER_SCRIPT)
    return any(pattern.search(path) for pattern in found)


def _is_needed(path: str, above: Collection[str]) -> bool:
    if _name(path) == _CONFTEST:
        return _folder(path) in above and not _foreign(path)
    return _among_tests(path)


def _among_tests(path: str) -> bool:
    name = path.encode("utf-8", "surrogateescape")
    return policy.matches(_NEEDED, name) and not policy.steers(name) and not _foreign(path)


def _foreign(path: str) -> bool:
    return policy.matches(_FOREIGN, path.encode("utf-8", "surrogateescape"))


def _folders(path: str) -> list[str]:
    """Of all folders above, the root (empty) first."""
    return [prefix.rstrip("/") for prefix in _prefixes(path)]


def _prefixes(path: str) -> list[str]:
    """What stands before each part of the path: empty, `a/`, `a/b/`."""
    parts = path.split("/")
    return ["".join(f"{part}/" for part in parts[:i]) for i in range(len(parts))]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]

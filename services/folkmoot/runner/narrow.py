"""A suite that runs just these test files: base's own command where it is a plain one, else the platform's.

Test ids come out as in a run of the whole suite: the same folder to start from, the same root. Pure.
"""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from folkmoot.kernel.evidence import Runner, TestSuite
from folkmoot.runner import suites

TIMEOUT_S = 120.0
"""Of one run: a few files, where a whole suite has its own time."""

There = Callable[[str], bool]
"""Whether base has a file or a folder of this path."""

_PROGRAM = suites.VARIABLES + r"(?:[^\s;&|<>`$()\\]*/)?"
_PLAIN = {
    Runner.PYTEST: suites.SIMPLE_PYTEST,
    Runner.GO: re.compile(_PROGRAM + r"go\s+test\b[^;&|<>`$()\\\n]*"),
    Runner.NODE: re.compile(_PROGRAM + r"node\s[^;&|<>`$()\\\n]*"),
}
_FOLDER = re.compile(r"\s*cd\s+([^\s;&|<>`$()'\"\\*?\[~-][^\s;&|<>`$()'\"\\*?\[]*)\s*&&(.*)", re.DOTALL)
"""Where pytest is run in a part of the repository."""
_VARIABLE = "export FOLKMOOT_REPORT={report}; "
_VALUED = {
    Runner.PYTEST: re.compile(
        r"-[kmpcoWrn]|--(?:tb|rootdir|confcutdir|import-mode|ignore|ignore-glob|deselect|basetemp|junit-?xml|junitprefix"
        r"|maxfail|durations|capture|log-level|log-cli-level|override-ini|config-file|color|timeout|cov)"
    ),
    Runner.GO: re.compile(
        r"-(?:tags|timeout|count|cpu|p|parallel|bench|benchtime|shuffle|ldflags|gcflags|asmflags|mod|modfile|covermode"
        r"|coverpkg|coverprofile|vet|exec|run|skip|list|fuzz|fuzztime|o|C|overlay)"
    ),
    Runner.NODE: re.compile(
        r"-[rC]|--(?:require|import|loader|experimental-loader|test-name-pattern|test-skip-pattern|test-reporter"
        r"|test-reporter-destination|test-concurrency|test-timeout|test-shard)"
    ),
}
"""Options whose value is the next word."""
_SELECTS = {
    Runner.GO: frozenset({"-run", "-skip", "-list", "-failfast", "-bench", "-fuzz"}),
    Runner.NODE: frozenset({"--test-name-pattern", "--test-skip-pattern", "--test-only", "--test-shard"}),
}
"""Options that say which tests are run."""
_GO = "go test -json"
_NODE_PATTERN = frozenset("*?[]{}()!+@|\\")


def unusable(runner: Runner, path: str) -> str:
    """Why the runner cannot be given this file by name; empty when it can."""
    if runner is Runner.PYTEST and ("::" in path or "[" in path):
        return "pytest takes `::` or `[` in it for the name of a test"
    if runner is Runner.NODE and _NODE_PATTERN & set(path):
        return "node takes a character in it for a pattern"
    if runner is Runner.GO and ("..." in path or "@" in path):
        return "go takes `...` and `@` in it for something else"
    return ""


def pytest_suite(base: TestSuite | None, files: Sequence[str], there: There) -> TestSuite:
    command = "" if base is None or base.command == suites.PYTEST else base.command.removeprefix(_VARIABLE)
    folder, line = _moved(command)
    words = _options(Runner.PYTEST, line, lambda path: there(f"{folder}/{path}" if folder else path))
    if words is None:
        return _suite(
            Runner.PYTEST, "junit", base, f"{suites.PYTEST} {_joined([*_ALL, _ROOT, *map(_relative, files)])}"
        )
    rooted = any(w.split("=")[0] in ("--rootdir", "-c", "--config-file") for w in words)
    report = [] if _reports(words) else [f"--junitxml={_back(folder)}{{report}}"]
    paths = [_relative(posixpath.relpath(path, folder) if folder else path) for path in files]
    run = _joined([*words, *report, *_ALL, *([] if rooted else [_ROOT]), *paths])
    return _suite(Runner.PYTEST, "junit", base, f"cd {_joined([_relative(folder)])} && {run}" if folder else run)


_ALL = ("--maxfail=0", "--continue-on-collection-errors")
"""Whatever base's configuration says of stopping early."""
_ROOT = "--rootdir=."


def _moved(command: str) -> tuple[str, str]:
    """The folder that it changes to first, empty for the root, and the rest."""
    found = _FOLDER.fullmatch(command)
    folder = posixpath.normpath(found[1]) if found else "."
    if not found or folder.startswith(("/", "..")):
        return "", command
    return ("" if folder == "." else folder), found[2]


def _back(folder: str) -> str:
    return "../" * (folder.count("/") + 1) if folder else ""


def _reports(words: Sequence[str]) -> bool:
    return any("{report}" in word for word in words)


def node_suite(base: TestSuite | None, files: Sequence[str], there: There) -> TestSuite:
    words = _options(Runner.NODE, base.command if base else "", there)
    if words is None or "--test" not in words:
        command = suites.NODE
    elif any(word.startswith("--test-reporter") for word in words):
        command = _joined(words) if _reports(words) else suites.NODE
    else:
        command = f"{_joined(words)} {suites.NODE_REPORT}"
    return _suite(Runner.NODE, "junit", base, f"{command} {_joined(map(_relative, files))}")


def go_suite(
    base: TestSuite | None, module: str, folders: Sequence[str], names: Sequence[str], there: There
) -> TestSuite:
    """`folders` of packages and the names of their tests; `module` is the folder of the go.mod above them, or empty."""
    words = None if module else _options(Runner.GO, base.command if base else "", there)
    if words is not None and not {"-json", "--json"} & set(words):
        words.append("-json")
    inside = [folder[len(module) + 1 :] if module else folder for folder in folders]
    chosen = ["-run", f"^({'|'.join(names)})$", *(_relative(folder) if folder else "." for folder in inside)]
    move = f"cd {_joined([_relative(module)])} && " if module else ""
    return _suite(Runner.GO, "go-json", base, f"{move}{_joined(words) if words else _GO} {_joined(chosen)}")


def _suite(runner: Runner, report: str, base: TestSuite | None, command: str) -> TestSuite:
    timeout_s = min(base.timeout_s, TIMEOUT_S) if base else TIMEOUT_S
    return TestSuite(runner=runner, command=command, timeout_s=timeout_s, report=report)


def _options(runner: Runner, command: str, there: There) -> list[str] | None:
    """A command without what it runs; None where it is none of this runner that can be taken apart."""
    if not _PLAIN[runner].fullmatch(command):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    return list(_kept(runner, words, there))


def _kept(runner: Runner, words: Sequence[str], there: There) -> Iterator[str]:
    """Variables, the program, and options with their values; not what they are to run, nor `-args` of Go's."""
    begun = _program(runner, words)
    yield from words[:begun]
    rest = iter(words[begun:])
    for word in rest:
        name = "-" + word.lstrip("-").split("=")[0] if runner is Runner.GO else word.split("=")[0]
        if name == "-args":
            return
        value = [next(rest, "")] if "=" not in word and _VALUED[runner].fullmatch(name) else []
        selects = name in _SELECTS.get(runner, ())
        if not selects and (word.startswith("-") or not _names_tests(runner, word, there)):
            yield from (word, *value)


def _program(runner: Runner, words: Sequence[str]) -> int:
    """How many words say which program it is."""
    first = next(i for i, word in enumerate(words) if not re.match(r"[A-Za-z_]\w*=", word))
    if runner is Runner.PYTEST:
        return first + (3 if words[first + 1 : first + 2] == ["-m"] else 1)
    return first + (2 if runner is Runner.GO else 1)


def _names_tests(runner: Runner, word: str, there: There) -> bool:
    if runner is not Runner.PYTEST:
        return True
    path = word.partition("::")[0].rstrip("/").removeprefix("./")
    return path in ("", ".") or "::" in word or path.endswith(".py") or there(path) or "*" in path


def _relative(path: str) -> str:
    """Never an option, nor the name of a file with options."""
    return f"./{path}"


def _joined(words: Iterable[str]) -> str:
    """For the shell."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """`{report}` in the name of a file is kept from being taken for the report's path."""
    if word.startswith("./"):
        return shlex.quote(word).replace("{report}", "{''report}")
    variable = re.match(r"[A-Za-z_]\w*=", word)
    return variable[0] + shlex.quote(word[variable.end() :]) if variable else shlex.quote(word)

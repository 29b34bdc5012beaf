"""What a candidate may contain, and what of it is worth saying. Pure: bytes in, verdicts in words out."""

import re
import sys
import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec
import pathspec

TESTS = (
    "test_*.py", "*_test.py", "*_test.go",
    "*.test.js", "*.test.mjs", "*.test.cjs", "*.test.ts", "*.test.tsx", "*.test.jsx",
    "*.spec.js", "*.spec.mjs", "*.spec.cjs", "*.spec.ts", "*.spec.tsx", "*.spec.jsx",
    "*-test.js", "*-test.mjs", "*-test.cjs", "*_test.js", "*_test.mjs", "*_test.cjs",
    "**/tests/**", "/test/**", "**/__tests__/**", "**/testdata/**",
)  # fmt: skip
_CONFIGURATION = (
    "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "noxfile.py",
    ".coveragerc", "jest.config.*", "vitest.config.*", ".mocharc*",
)  # fmt: skip
_STARTUP = (
    "sitecustomize.py", "usercustomize.py", "*.pth", "*.dist-info", "*.egg-info", ".npmrc", ".yarnrc", ".yarnrc.yml",
    ".pnpmfile.cjs", ".pnp.*",
)  # fmt: skip
"""What interpreters, runners and package managers read, or import, before what they were asked to."""
_COMPILED = ("__pycache__/", "*.pyc", "*.pyo")
"""Python may run it instead of the source that a person reads."""
_CI = (
    "/.github/**", "/.gitlab-ci.yml", "/.gitlab/**", "/.circleci/**", "/.travis.yml", "/azure-pipelines.yml",
    "/Jenkinsfile", "/.drone.yml", "/.woodpecker*", "/.buildkite/**", "/bitbucket-pipelines.yml", "/appveyor.yml",
    "/.ci/**", "/.forgejo/**", "/.gitea/**",
)  # fmt: skip
_LOCKS = (
    "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "requirements.lock", "go.sum",
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "Cargo.lock",
)  # fmt: skip
STEERING = (*_CONFIGURATION, *_STARTUP, *_COMPILED)
"""What steers a run of tests wherever it lies. A candidate's own never take part in an examination."""
PROTECTED = (*TESTS, *STEERING, "/.moot.toml", *_CI, *_LOCKS)
"""Of base: gitignore-style, before what the repository adds."""

_HOOKS = ("/.husky/**", "/.githooks/**", "/.hooks/**", "**/hooks/pre-*", ".pre-commit-config.yaml", "lefthook.y*ml")
_WORKPLACE = (".envrc", ".vscode/**", ".idea/**")

_OWN_MODULES = (sys.stdlib_module_names - {"test"}) | {
    "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments",
}  # fmt: skip
"""What runs tests, by the name it is imported by. Nobody imports Python's own tests, and `test/` is a usual folder."""
_MODULE_SUFFIXES = frozenset({"py", "pyc", "so"})
_TABLES = ("pytest", "tox")
"""Of `[tool]` in pyproject.toml: how tests are run. The rest of the file is the product's."""

_FILE, _EXECUTABLE, _LINK, _SUBMODULE = "100644", "100755", "120000", "160000"
_IGNORABLE = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x00AD, 0x034F, 0x180E]
)
"""Characters that some file systems drop from names (HFS+), or that nobody sees."""
_SHORT_GIT = re.compile(r"gi[0-9a-z]*~[0-9]+")
"""What NTFS makes of `.git` and `.gitmodules` (GIT~1, GITMOD~1, GI7EBA~1)."""
_MAX_PATH = 4_096


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `git diff-tree -r --raw`."""

    path: bytes
    old_mode: str
    new_mode: str
    old_object: str
    new_object: str
    operation: str

    @property
    def added(self) -> bool:
        return self.operation == "A"

    @property
    def deleted(self) -> bool:
        return self.operation == "D"


def raw_entries(raw: bytes) -> list[Entry]:
    """Reads `git diff-tree -r --raw -z --no-renames`."""
    fields = raw.split(b"\0")[:-1]
    entries = []
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old, new, operation = head.decode("ascii").removeprefix(":").split(" ")
        entries.append(
            Entry(
                path=path,
                old_mode=old_mode,
                new_mode=new_mode,
                old_object=old,
                new_object=new,
                operation=operation[:1],
            )
        )
    return entries


def shown(path: bytes) -> str:
    """For people, and for JSON: what is not UTF-8 or not printable is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def forbidden(entry: Entry) -> str:
    """Why this entry may not come in; empty when it may. The target of a link is `link_escapes`' affair."""
    if entry.deleted:
        return ""
    mode = _forbidden_mode(entry.new_mode)
    return f"{shown(entry.path)[:200]}: {mode}" if mode else _forbidden_name(entry)


def unfit(path: bytes) -> str:
    """Why no file may be added under this name; empty when it may."""
    return forbidden(new_file(path))


def new_file(path: bytes) -> Entry:
    return Entry(path=path, old_mode="0", new_mode=_FILE, old_object="", new_object="", operation="A")


def link_escapes(path: bytes, target: bytes) -> bool:
    """Whether the link leads out of the repository or into `.git`.

    `..` is allowed in front only: behind another component it may go through a second link, where it means something
    else than it says.
    """
    parts = [p for p in target.split(b"/") if p not in {b"", b"."}]
    up = next((i for i, p in enumerate(parts) if p != b".."), len(parts))
    depth = path.count(b"/")
    if not target or target.startswith(b"/") or b"\0" in target or b"\\" in target or len(target) > _MAX_PATH:
        return True
    return up > depth or b".." in parts[up:] or any(_is_git(p) for p in parts)


def is_link(mode: str) -> bool:
    return mode == _LINK


Spec = pathspec.GitIgnoreSpec


def matcher(patterns: Sequence[str]) -> Spec:
    return pathspec.GitIgnoreSpec.from_lines(patterns)


def matches(spec: Spec, path: bytes) -> bool:
    return spec.match_file(path.decode("utf-8", "surrogateescape"))


_KINDS = (
    (matcher(_HOOKS), "a hook"),
    (matcher((*_STARTUP, *_WORKPLACE)), "a start-up file"),
    (matcher(_CI), "a CI file"),
    (matcher(_COMPILED), "compiled Python"),
    (matcher(_CONFIGURATION), "test configuration"),
    (matcher(_LOCKS), "a lock file"),
    (matcher((".gitattributes",)), "git attributes"),
    (matcher((".gitignore",)), "ignore rules"),
)
"""Gravest first."""
_TEST_FILES = matcher(TESTS)
_STEERS = matcher(STEERING)


def steers(path: bytes) -> bool:
    """Whether it is of `STEERING`. Python looks for metadata of packages in any case."""
    return matches(_STEERS, path) or matches(_STEERS, path.lower())


def flags(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Lesser findings in words, one of each kind, the gravest first: many small ones cannot hide a grave one."""
    found: dict[tuple[int, str], list[str]] = {}
    for entry in entries:
        for finding in _findings(entry):
            found.setdefault(finding, []).append(shown(entry.path)[:200])
    return tuple(f"{what}: {_first_of(paths)}" for (_, what), paths in sorted(found.items()))


def _findings(entry: Entry) -> list[tuple[int, str]]:
    """How grave (0 is gravest), and what."""
    verb = {"A": "adds", "D": "deletes"}.get(entry.operation, "changes")
    found = [(i, f"{verb} {name}") for i, (spec, name) in enumerate(_KINDS) if matches(spec, entry.path)]
    others = (
        (entry.added and _invisible(entry.path), "adds a name with invisible characters"),
        (entry.new_mode == _LINK, f"{verb} a symbolic link"),
        (entry.new_mode == _EXECUTABLE and entry.old_mode != _EXECUTABLE, "makes executable"),
    )
    return found + [(len(_KINDS) + i, what) for i, (holds, what) in enumerate(others) if holds]


def _first_of(paths: Sequence[str]) -> str:
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _forbidden_mode(mode: str) -> str:
    if mode == _SUBMODULE:
        return "is a submodule link; a candidate brings files only"
    if mode not in {_FILE, _EXECUTABLE, _LINK}:
        return f"has the mode {mode}; only files and links may come in"
    return ""


def _forbidden_name(entry: Entry) -> str:
    parts = entry.path.split(b"/")
    if any(_is_git(p) for p in parts):
        return f"{shown(entry.path)[:200]}: a part of the path is taken for `.git` by some file system"
    if any(p in {b"", b".", b".."} for p in parts):
        return f"{shown(entry.path)[:200]}: is no plain relative path"
    if _is_gitmodules(parts[-1]):
        return f"{shown(entry.path)[:200]}: a candidate may not bring submodules"
    if entry.added and _has_control(entry.path):
        return f"{shown(entry.path)[:200]}: the name holds control characters"
    if len(entry.path) > _MAX_PATH:
        return f"{shown(entry.path[:80])}…: the path is longer than {_MAX_PATH} bytes"
    return ""


def _folded(name: bytes) -> str:
    """As the least strict file system sees it: no case, no ignorable characters, no trailing dots, blanks, streams."""
    text = unicodedata.normalize("NFKC", name.decode("utf-8", "surrogateescape").translate(_IGNORABLE))
    return text.casefold().split(":", 1)[0].rstrip(". ")


def _is_git(name: bytes) -> bool:
    return any(_folded(part) == ".git" or _is_short(part) for part in name.split(b"\\"))


def _is_gitmodules(name: bytes) -> bool:
    return any(_folded(part) == ".gitmodules" for part in name.split(b"\\"))


def _is_short(name: bytes) -> bool:
    return _SHORT_GIT.fullmatch(_folded(name)) is not None


def _has_control(path: bytes) -> bool:
    return any(unicodedata.category(c) == "Cc" for c in path.decode("utf-8", "surrogateescape"))


def _invisible(path: bytes) -> bool:
    return any(unicodedata.category(c) in {"Cf", "Zl", "Zp"} for c in path.decode("utf-8", "surrogateescape"))


def is_test(path: bytes) -> bool:
    return matches(_TEST_FILES, path) and not PurePosixPath(shown(path)).name.startswith("conftest")


_SKIPS = {
    "py": re.compile(
        r"\bskip(?:if|Test|Unless|If)?\b|\bxfail\b|expectedFailure|importorskip|collect_ignore|__test__\s*=|\bdel\s+[Tt]est"
    ),
    "go": re.compile(r"\.Skip(?:f|Now)?\(|^//\s*(?:go:build|\+build)\b"),
    "js": re.compile(
        r"\b(?:test|it|describe|suite)\.(?:skip|only|todo)\b|\bx(?:it|test|describe)\(|\b(?:skip|only|todo)\s*:"
    ),
}
_LANGUAGE = {"py": "py", "go": "go"} | dict.fromkeys(("js", "mjs", "cjs", "ts", "tsx", "jsx"), "js")


def skip_markers(path: bytes, added: Sequence[str]) -> list[str]:
    """Those of the `added` lines that keep a test from running or from counting."""
    language = _LANGUAGE.get(shown(path).rpartition(".")[2])
    return [line for line in added if language and _SKIPS[language].search(line)]


class LineChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Of one file, without the line ends."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def line_changes(patch: bytes) -> LineChanges:
    """Reads one file's `git diff -U0`. A last line that only gained its line end has not changed."""
    added: list[str] = []
    removed: list[str] = []
    lines = patch.decode("utf-8", "replace").split("\n")
    start = next((i for i, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    unended, last = "", ""
    for line in lines[start:]:
        sign, text = line[:1], line[1:]
        if sign == "-":
            removed.append(text)
        elif sign == "\\" and last == "-":
            unended = removed[-1]
        elif sign == "+" and unended and text == unended and removed[-1:] == [unended]:
            removed.pop()
        elif sign == "+":
            added.append(text)
        last = sign
    return LineChanges(added=tuple(added), removed=tuple(removed))


def tampering(entry: Entry, lines: LineChanges | None) -> str:
    """What a candidate did to a protected file of base, by content; empty when it only added tests to it.

    `lines` is None for a file that is not text.
    """
    if entry.deleted:
        return "deleted"
    if entry.operation == "T":
        return f"replaced by another kind of entry (mode {entry.old_mode} to {entry.new_mode})"
    if lines is None:
        return "content changed (not text)"
    if lines.removed:
        return _quoted("removed or changed", lines.removed)
    if not is_test(entry.path):
        return _quoted("added", lines.added) if lines.added else ""
    skips = skip_markers(entry.path, lines.added)
    return _quoted("that keep tests from counting added", skips) if skips else ""


def shadowed(entry: Entry) -> str:
    """The module of Python or pytest whose place an added entry takes, by lying where Python looks first; or empty."""
    top, _, rest = shown(entry.path).partition("/")
    name, _, suffix = top.partition(".")
    if not entry.added or name not in _OWN_MODULES:
        return ""
    if rest:
        return name if rest.startswith("__init__.") and not suffix else ""
    return name if suffix.rpartition(".")[2] in _MODULE_SUFFIXES or (is_link(entry.new_mode) and not suffix) else ""


def is_project(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == b"pyproject.toml"


def project_tampering(old: bytes, new: bytes, mode: str) -> str:
    """What a candidate did to the tables of a pyproject.toml that say how tests are run; `mode` is its new one."""
    if is_link(mode):
        return "is a symbolic link now"
    try:
        after = _tables(new)
    except ValueError:
        return "is no TOML that can be read"
    try:
        before = _tables(old)
    except ValueError:
        before = {}
    changed = [f"[tool.{name}]" for name in _TABLES if before.get(name) != after.get(name)]
    return f"{' and '.join(changed)} changed, which says how tests are run" if changed else ""


def _tables(content: bytes) -> dict[str, object]:
    """Raises ValueError for what is no TOML."""
    try:
        tool = tomllib.loads(content.decode("utf-8")).get("tool", {})
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return {name: tool[name] for name in _TABLES if name in tool} if isinstance(tool, dict) else {}


LINE_BYTES = 200
"""A longer line counts once for each of these: what stands on one line costs no less to read."""
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def counted(patch: bytes) -> tuple[int, int]:
    """Lines added and removed by a whole `git diff-tree -p --text`, with any context. A hunk's header says how many
    lines are its own, so that none of them can pass for something else."""
    counts, left = {b"+": 0, b"-": 0}, 0
    for line in patch.split(b"\n"):
        sign = line[:1]
        if not left:
            hunk = _HUNK.match(line)
            left = sum(int(n or 1) for n in hunk.groups()) if hunk else 0
        elif sign == b" ":
            left -= 2  # it stands on both sides
        elif sign in counts:
            counts[sign] += _weight(line[1:].removesuffix(b"\r"))
            left -= 1
    return counts[b"+"], counts[b"-"]


def _weight(line: bytes) -> int:
    """Python and JavaScript end a line at a carriage return, too."""
    return 1 + max(line.count(b"\r"), (len(line) - 1) // LINE_BYTES)


def _quoted(what: str, lines: Sequence[str], show: int = 3) -> str:
    count = f"{len(lines)} line{'s' * (len(lines) != 1)} {what}"
    sample = " | ".join("".join(c for c in line.strip() if c.isprintable())[:100] for line in lines[:show])
    return f"{count}: {sample}" + (" | …" if len(lines) > show else "")

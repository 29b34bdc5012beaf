"""What a candidate did to how it is examined: base's protected files, modules that run tests, their settings. Pure."""

import re
import sys
import tomllib
from collections.abc import Sequence

import msgspec

from folkmoot.runner.border.entries import Entry, is_link, shown
from folkmoot.runner.policy import is_test

_OWN_MODULES = (sys.stdlib_module_names - {"test"}) | {
    "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments",
}  # fmt: skip
"""What runs tests, by the name it is imported by. Nobody imports Python's own tests, and `test/` is a usual folder."""
_MODULE_SUFFIXES = frozenset({"py", "pyc", "so"})
_TABLES = ("pytest", "tox")
"""Of `[tool]` in pyproject.toml: how tests are run. The rest of the file is the product's."""

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


def _quoted(what: str, lines: Sequence[str], show: int = 3) -> str:
    count = f"{len(lines)} line{'s' * (len(lines) != 1)} {what}"
    sample = " | ".join("".join(c for c in line.strip() if c.isprintable())[:100] for line in lines[:show])
    return f"{count}: {sample}" + (" | …" if len(lines) > show else "")

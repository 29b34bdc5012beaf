"""Editing by exact match. Pure: text in, text or a reason out."""

import difflib
import heapq
import re
from collections.abc import Sequence

COMPARED_CHARS = 100
COMPARED_LINES = 200
"""Comparing is slow, and other agents of the process wait meanwhile."""
LOOKED_AT_LINES = 20_000
NEAR_LINES = 3
"""Shown when there is no match: enough to see which one was meant."""


_WORD = re.compile(r"\w+")


class NoEdit(Exception):
    """The edit cannot be made; the message tells the model how to mend it."""


def edited(text: str, old: str, new: str, *, replace_all: bool) -> str:
    """Raises NoEdit unless `old` stands in `text` exactly once, or at all when `replace_all`."""
    if not old:
        raise NoEdit("old: is empty; use write_file for a new file, append_file to add to its end")
    if old == new:
        raise NoEdit("new: is the same as old")
    count = text.count(old)
    if count == 0:
        raise NoEdit(f"old: 0 matches.{_hint(text, old)}")
    if count > 1 and not replace_all:
        lines = ", ".join(str(n) for n in _lines_of(text, old))
        raise NoEdit(f"old: {count} matches, at lines {lines}; give more lines around it, or set replace_all")
    return text.replace(old, new)


def _lines_of(text: str, old: str, most: int = 10) -> list[int]:
    found: list[int] = []
    at = text.find(old)
    while at >= 0 and len(found) < most:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(old, at + len(old))
    return found


def _hint(text: str, old: str) -> str:
    """Lines that look like the first line of `old`, or what differs in white space only."""
    wanted = next((_essence(line) for line in old.splitlines() if line.strip()), "")
    lines = text.splitlines()[:LOOKED_AT_LINES]
    near = _near(wanted, [_essence(line) for line in lines])
    shown = [f"{n}: {line}" for n, line in enumerate(lines, 1) if _essence(line) in near][:NEAR_LINES]
    if not shown:
        return " No line looks like its first one; read the file again"
    return " Near lines (copy them exactly, with their indentation):\n" + "\n".join(shown)


def _essence(line: str) -> str:
    return line.strip()[:COMPARED_CHARS]


def _near(wanted: str, lines: Sequence[str]) -> set[str]:
    """Those most like `wanted`, of those that share the most words with it."""
    words = set(_WORD.findall(wanted))
    likely = heapq.nlargest(COMPARED_LINES, dict.fromkeys(lines), key=lambda li: len(words & set(_WORD.findall(li))))
    return set(difflib.get_close_matches(wanted, likely, n=NEAR_LINES, cutoff=0.6))

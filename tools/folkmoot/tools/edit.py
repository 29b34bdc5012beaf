"""Editing by exact match. Pure: text in, text or a reason out."""

import difflib

NEAR_LINES = 3
"""Shown when there is no match: enough to see which one was meant."""


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
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")
    lines = text.splitlines()
    near = set(difflib.get_close_matches(wanted, {line.strip() for line in lines[:20_000]}, n=NEAR_LINES, cutoff=0.6))
    shown = [f"{n}: {line}" for n, line in enumerate(lines, 1) if line.strip() in near][:NEAR_LINES]
    if not shown:
        return " No line looks like its first one; read the file again"
    return " Near lines (copy them exactly, with their indentation):\n" + "\n".join(shown)

"""Texts of strangers inside Markdown of ours: fenced as data, so that nothing in them can end its fence. Pure."""

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TICKS = re.compile(r"`+")
LEAST_TICKS = 4


def plain(text: str) -> str:
    """Without control and bidirectional characters, and without white space around it."""
    return _CONTROLS.sub("", text).strip()


def fenced(text: str) -> str:
    """As a block whose fence is longer than any row of backticks in it; ends with a line break."""
    body = plain(text)
    ticks = "`" * max(LEAST_TICKS, 1 + max((len(run) for run in _TICKS.findall(body)), default=0))
    return f"{ticks}text\n{body}\n{ticks}\n"


def cut(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and how many are left out."""
    return text if len(text) <= limit else f"{text[:limit]}\n[… {len(text) - limit} characters left out]"

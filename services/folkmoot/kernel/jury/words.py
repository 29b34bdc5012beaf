"""How the jury speaks: bounded, printable, counted."""

from collections.abc import Iterable, Sequence

import msgspec

from folkmoot.kernel.evidence import CommandEnd

MAX_REASON_BYTES = 240
"""As JSON. With six of them per candidate and 30 of a ruling, 16 candidates take at most 48 KiB of a 64 KiB event."""
NAMED = 3
"""Test ids, files and the like that a reason names before it counts."""


def tests(tests: Iterable[str]) -> str:
    return count(len(list(tests)), "test")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(tests: Iterable[str]) -> str:
    return listed([f"`{cut(t, 60)}`" for t in sorted(tests)])


def listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def listed_flags(flags: Sequence[str], show: int) -> list[str]:
    more = len(flags) - show
    return [*flags[:show], *([f"{count(more, 'more finding')} like these"] if more > 0 else [])]


def capped(words: Iterable[str], limit: int) -> tuple[str, ...]:
    said = [_short(w) for w in words]
    if len(said) <= limit:
        return tuple(said)
    return (*said[: limit - 1], f"and {len(said) - limit + 1} more reasons")


def _short(text: str) -> str:
    """Fit for any terminal and for an event: one line, printable, and bounded as JSON."""
    text = "".join(c if c.isprintable() else "�" for c in " ".join(text[: 2 * MAX_REASON_BYTES].split()))
    text = text[:MAX_REASON_BYTES]
    while len(msgspec.json.encode(text)) > MAX_REASON_BYTES:
        text = text[:-8] + "…"
    return text


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def ending(end: CommandEnd) -> str:
    if end.limit:
        return f"the {end.limit} limit"
    return f"signal {end.signal}" if end.exit_code is None else f"exit {end.exit_code}"

"""Text from repositories, agents and models, made safe for a terminal. Pure.

Whatever comes out of a workspace is hostile: an escape sequence in a file name could rewrite what a person sees.
"""

import re
import unicodedata

# CSI, OSC / DCS / PM / APC / SOS strings with their ends, and two-byte escapes; in 7-bit and in 8-bit (C1) form.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_TABS = 4
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional overrides, zero width), surrogate, line and paragraph separators."""


def clean(text: str) -> str:
    """`text` for several lines of a terminal: no escape sequence, no control character but the line feed."""
    return visible(_SEQUENCES.sub("", text))


def visible(text: str) -> str:
    """As `clean`, but of escape sequences all is left to see: what they would hide may be the point, as in a diff."""
    plain = text.replace("\r\n", "\n").replace("\t", " " * _TABS)
    return "".join(
        c if c == "\n" or unicodedata.category(c) not in _HIDDEN else "\N{REPLACEMENT CHARACTER}" for c in plain
    )


def line(text: str, width: int = 200) -> str:
    """`text` as one line of at most `width` characters, cut with an ellipsis."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: max(0, width - 1)] + "…"


def headline(text: str) -> str:
    """The first line that says something, cut to a title's length; empty when none does."""
    return line(next((found for found in text.splitlines() if found.strip()), ""), 80)


def is_text(argument: str) -> bool:
    """False for a command line's or path's bytes that are not UTF-8, which Python passes on as half characters."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def count(number: int) -> str:
    """A count for people: 940, 12.3k, 4.5M."""
    if number < 10_000:
        return str(number)
    return f"{number / 1_000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def span(seconds: float) -> str:
    """An elapsed time for people: 4.2 s, 1:05, 2:00:09."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"

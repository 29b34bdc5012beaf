"""Foreign words inside a prompt: marked as what they are, unable to end their own quotation, never too long. Pure."""

import re
from collections.abc import Iterator

from folkmoot.tools.text import readable, shortened

_OURS = re.compile(r"<(?=[\s/\\]*shown-)", re.IGNORECASE)
_DIFF = re.compile(r'^<shown-(diff|document) name="([a-z0-9-]+)">\n(.*?)\n</shown-\1>$', re.DOTALL | re.MULTILINE)


def quoted(kind: str, text: str, *, name: str = "", chars: int) -> str:
    """`text` between `<shown-KIND name="NAME">` and its end; above `chars` the middle is left out and counted."""
    label = f' name="{name}"' if name else ""
    inside = shortened(_OURS.sub(r"<\\", readable(text.encode("utf-8", "replace"))), chars)
    return f"<shown-{kind}{label}>\n{inside}\n</shown-{kind}>"


def diffs_in(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of each diff, and of each document, that is quoted in a prompt."""
    for found in _DIFF.finditer(text):
        yield found[2], found[3]

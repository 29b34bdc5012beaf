"""Bytes of strangers made fit for a model: readable, and never too long."""

import re

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def readable(body: bytes) -> str:
    """As text: invalid UTF-8 is replaced; terminal escapes, control and bidirectional characters are dropped."""
    return _CONTROLS.sub("", _ESCAPES.sub("", body.decode("utf-8", "replace")))


def shortened(text: str, limit: int) -> str:
    """`text` whole up to `limit` characters, else its head and tail with the middle counted."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[len(text) - limit // 2 :]
    return head + left_out(text[len(head) : len(text) - len(tail)]) + tail


def left_out(middle: str) -> str:
    """What stands in its place."""
    return f"\n[… {len(middle)} characters, {middle.count(chr(10))} lines left out …]\n"

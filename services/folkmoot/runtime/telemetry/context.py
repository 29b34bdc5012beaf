"""The trace that work belongs to, as W3C `traceparent`, in the context of the running task. No SDK here.

https://www.w3.org/TR/trace-context/: `00-<trace id>-<id of the parent span>-<flags>`.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

METADATA = "traceparent"
"""Its name in gRPC metadata."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,200})?")
_SAMPLED = "01"

_current: ContextVar[str] = ContextVar("traceparent", default="")


def current() -> str:
    """The traceparent under which the running task works; empty when nobody gave it one."""
    return _current.get()


def enter(traceparent: str) -> None:
    """Work under `traceparent` for the rest of the running task; empty changes nothing."""
    if traceparent:
        _current.set(traceparent)


@contextmanager
def within(traceparent: str) -> Iterator[None]:
    """Work under `traceparent` for as long as the block runs; empty changes nothing."""
    before = _current.get()
    enter(traceparent)
    try:
        yield
    finally:
        # Not by a token: a generator may be closed in another context than the one that it began in.
        _current.set(before)


def belonging(traceparent: str) -> AbstractContextManager[None]:
    """Work in the trace of `traceparent`: as we are if we are in it already, maybe deeper; else right under it."""
    inside = trace_id(current()) == trace_id(traceparent)
    return nullcontext() if inside else within(traceparent)


def understood(text: str) -> str:
    """`text` from outside as a traceparent of version 00; empty when it is none."""
    found = _FORM.fullmatch(text)
    return f"00-{found[1]}-{found[2]}-{found[3]}" if found else ""


def fresh() -> str:
    """The beginning of a trace that nobody had begun."""
    return made(secrets.token_hex(16), secrets.token_hex(8))


def derived(*parts: str) -> str:
    """The same beginning for the same parts, for ever."""
    digest = hashlib.sha256("\x1f".join(("trace", *parts)).encode()).hexdigest()
    return made(digest[:32], digest[32:48])


def made(trace_id: str, span_id: str) -> str:
    return f"00-{trace_id}-{span_id}-{_SAMPLED}"


def trace_id(traceparent: str) -> str:
    """32 hexadecimal digits; empty when it is no traceparent."""
    found = _FORM.fullmatch(traceparent)
    return found[1] if found else ""

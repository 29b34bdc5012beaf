"""Where spans and counts go: nowhere, unless somebody above turned telemetry on for the running task.

Write-only, like logging: nothing here changes what the caller does. With telemetry off, a call costs one look at a
context variable.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import msgspec

from folkmoot.runtime.telemetry import context, meters
from folkmoot.runtime.telemetry.meters import Instrument, Meters, Record

P = ParamSpec("P")
T = TypeVar("T")
Id = str | int

ATTRIBUTES = frozenset(
    {
        "agent_id",
        "attempt",
        "code",
        "error",
        "kind",
        "outcome",
        "run",
        "story_id",
        "stream",
        "subject",
        "task_id",
        "tool",
    }
)
"""All that a span may say of its work, besides its name."""


class OpenSpan(Protocol):
    """A span that runs."""

    traceparent: str

    def note(self, **ids: Id) -> None:
        """Add to what it says; names are those of `ATTRIBUTES`."""
        ...

    def end(self, error: str = "") -> None:
        """`error` is the kind of what went wrong, never its words."""
        ...


class Spans(Protocol):
    def open(self, name: str, parent: str, ids: dict[str, Id], *, server: bool) -> OpenSpan:
        """`parent` is a traceparent; empty begins a trace."""
        ...


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """What is on. Neither: off."""

    spans: Spans | None = None
    meters: Meters | None = None


OFF = Telemetry()
_ambient: ContextVar[Telemetry] = ContextVar("telemetry", default=OFF)


class _Silent:
    traceparent = ""

    def note(self, **ids: Id) -> None:
        return

    def end(self, error: str = "") -> None:
        return


_SILENT: AbstractContextManager[OpenSpan] = nullcontext(_Silent())


@contextmanager
def ambient(telemetry: Telemetry) -> Iterator[None]:
    """Spans and counts of the block, and of tasks that it starts, go there."""
    before = _ambient.get()
    _ambient.set(telemetry)
    try:
        yield
    finally:
        _ambient.set(before)


def on() -> Telemetry:
    """Where those of the running task go."""
    return _ambient.get()


# --- spans -------------------------------------------------------------------------------------------------------


def span(name: str, **ids: Id) -> AbstractContextManager[OpenSpan]:
    """The block as a span under the current one; what it calls becomes its children."""
    return spanned(name, ids)


def spanned(name: str, ids: dict[str, Id], *, server: bool = False) -> AbstractContextManager[OpenSpan]:
    """`span`; that of a `server` begins where a caller's call arrived."""
    spans = _ambient.get().spans
    return _SILENT if spans is None else _recorded(spans, name, ids, server)


@contextmanager
def _recorded(spans: Spans, name: str, ids: dict[str, Id], server: bool) -> Iterator[OpenSpan]:
    opened, error = spans.open(name, context.current(), ids, server=server), ""
    try:
        with context.within(opened.traceparent):
            yield opened
    except (asyncio.CancelledError, GeneratorExit):
        opened.note(outcome="cancelled")
        raise
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        opened.end(error)


# --- counts ------------------------------------------------------------------------------------------------------


def count(instrument: Instrument, *labels: str, by: float = 1) -> None:
    """Record `by`: what that means is the instrument's to say."""
    found = _ambient.get().meters
    if found is not None:
        found.record(instrument, by, labels)


def replay(records: Iterable[Record]) -> None:
    """Count what another process sent; names that we do not know are left out."""
    for record in records:
        if instrument := meters.INSTRUMENTS.get(record.name):
            count(instrument, *record.labels, by=record.value)


@contextmanager
def timed(instrument: Instrument, *labels: str) -> Iterator[None]:
    """Measure the block, however it ends."""
    if _ambient.get().meters is None:
        yield
        return
    began = time.perf_counter()
    try:
        yield
    finally:
        count(instrument, *labels, by=time.perf_counter() - began)


def phase(
    name: str, ids: Callable[..., dict[str, Id]] | None = None
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """A method as one phase of a deliberation: a span, and a measurement. `ids` gets the method's arguments."""

    def decorate(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(method)
        async def around(*args: P.args, **kwargs: P.kwargs) -> T:
            if _ambient.get() is OFF:
                return await method(*args, **kwargs)
            with spanned(name, ids(*args, **kwargs) if ids else {}), timed(meters.PHASE_TIME, name):
                return await method(*args, **kwargs)

        return around

    return decorate

"""A deliberation as spans and counts: names, ids and numbers, never what was asked or made."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Protocol, TypeVar

from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.evidence import Examination
from folkmoot.kernel.result import State
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import count, span
from folkmoot.runtime.telemetry.context import belonging, derived


class Carrier(Protocol):
    @property
    def _state(self) -> Deliberation: ...


C = TypeVar("C", bound=Carrier)


def trace_of(state: Deliberation) -> str:
    """Where all that happens for a task belongs; logs from before traces have one all the same."""
    return state.traceparent or derived("task", state.task_id)


def carried(method: Callable[[C], Awaitable[None]]) -> Callable[[C], Awaitable[None]]:
    """The whole of what one owner does for a deliberation: under the task's own trace, and counted as running."""

    @wraps(method)
    async def around(self: C) -> None:
        spec = self._state.spec
        count(meters.RUNNING, by=1)
        try:
            with belonging(trace_of(self._state)), span("deliberation", task_id=spec.task_id, story_id=spec.story_id):
                await method(self)
        finally:
            count(meters.RUNNING, by=-1)

    return around


def ended(state: State, elapsed_s: float) -> None:
    count(meters.DELIBERATIONS, state)
    count(meters.DELIBERATION_TIME, state, by=elapsed_s)


def examined(found: Examination) -> None:
    count(meters.EXAMINATIONS, found.kind, "passed" if found.end.ok else "failed")

"""Workspaces as spans and counts."""

from collections.abc import Iterator
from contextlib import contextmanager

from folkmoot.kernel.errors import ResourceExhausted
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import count, span, timed


@contextmanager
def opening() -> Iterator[None]:
    """A full runner is no failure: whoever asked waits, or comes again."""
    with span("workspace open"), timed(meters.WORKSPACE_TIME):
        try:
            yield
        except ResourceExhausted:
            raise
        except Exception as error:
            count(meters.WORKSPACES_FAILED, type(error).__name__)
            raise
    count(meters.WORKSPACES_OPENED)


def level(open_now: int) -> None:
    count(meters.WORKSPACES_OPEN, by=open_now)


def warm(ready: int) -> None:
    count(meters.WORKSPACES_WARM, by=ready)


def claimed(outcome: str) -> None:
    """`ready`, `waited` for one on its way, or `none` was there."""
    count(meters.WARM_CLAIMS, outcome)

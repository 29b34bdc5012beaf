"""Where progress is shown: a live picture on a terminal, plain lines elsewhere, JSON lines for programs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from folkmoot.cli import words
from folkmoot.cli.lanes import View
from folkmoot.cli.output import emit, say
from folkmoot.cli.streams import Seen

REFRESHES_PER_S = 8


class Screen(Protocol):
    def show(self, view: View, seen: Seen) -> None:
        """`view` is the fold of all events up to and with `seen`."""


class PlainScreen:
    """A sentence per event, on stderr."""

    def show(self, view: View, seen: Seen) -> None:
        if seen.event and (sentence := words.sentence(seen.event)):
            say(sentence)


class JsonScreen:
    """A JSON line per event, on stdout."""

    def show(self, view: View, seen: Seen) -> None:
        import json

        emit({"sequence": seen.sequence, "event": json.loads(seen.body)})


class LiveScreen:
    """The picture moves by itself between events: spinners, clocks."""

    def __init__(self) -> None:
        from rich.spinner import Spinner

        self._view = View()
        self._spinner = Spinner("dots", style="cyan")

    def show(self, view: View, seen: Seen) -> None:
        self._view = view

    def picture(self) -> Any:
        from folkmoot.cli import draw

        return draw.live(self._view, self._spinner, datetime.now(UTC))


@contextmanager
def progress() -> Iterator[Screen]:
    """For people: live when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield PlainScreen()
        return
    from rich.live import Live

    screen = LiveScreen()
    with Live(get_renderable=screen.picture, console=console(sys.stderr), refresh_per_second=REFRESHES_PER_S):
        yield screen


def console(file: Any) -> Any:
    """A rich console without markup, so that no text is read as a command to it; NO_COLOR is respected by rich."""
    from rich.console import Console

    width = None if file.isatty() else 100
    return Console(file=file, markup=False, emoji=False, highlight=False, width=width)

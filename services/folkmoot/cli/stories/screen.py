"""Where the progress of a story is shown: a live picture on a terminal, plain lines elsewhere, JSON for programs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from folkmoot.cli.output import emit, say
from folkmoot.cli.screen import REFRESHES_PER_S, console
from folkmoot.cli.stories import words
from folkmoot.cli.stories.view import StoryView
from folkmoot.cli.streams import Seen


class Screen(Protocol):
    def show(self, view: StoryView, seen: Seen, task_id: str) -> None:
        """`view` is the fold up to and with `seen`, which is an event of the story, or of its task `task_id`."""


class PlainScreen:
    """A sentence per event, on stderr; events of a task behind the task's name."""

    def show(self, view: StoryView, seen: Seen, task_id: str) -> None:
        if seen.event and (sentence := words.sentence(seen.event, view.name_in(seen.event))):
            say(f"[{view.name(task_id)}] {sentence}" if task_id else sentence)


class JsonScreen:
    """A JSON line per event, on stdout; those of tasks have sequence 0."""

    def show(self, view: StoryView, seen: Seen, task_id: str) -> None:
        emit({"sequence": 0 if task_id else seen.sequence, "event": json.loads(seen.body)})


class LiveScreen:
    """The picture moves by itself between events: spinners, clocks."""

    def __init__(self) -> None:
        from rich.spinner import Spinner

        self._view = StoryView()
        self._spinner = Spinner("dots", style="cyan")

    def show(self, view: StoryView, seen: Seen, task_id: str) -> None:
        self._view = view

    def picture(self) -> Any:
        from folkmoot.cli.stories import draw

        return draw.live(self._view, self._spinner, datetime.now(UTC))


@contextmanager
def progress(*, as_json: bool = False) -> Iterator[Screen]:
    """For programs on stdout; for people live when stderr is a terminal."""
    if as_json or not sys.stderr.isatty():
        yield JsonScreen() if as_json else PlainScreen()
        return
    from rich.live import Live

    screen = LiveScreen()
    with Live(get_renderable=screen.picture, console=console(sys.stderr), refresh_per_second=REFRESHES_PER_S):
        yield screen

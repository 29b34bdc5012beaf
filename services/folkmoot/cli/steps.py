"""What to do next: commands to be copied, and what they do."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from folkmoot.cli.text import line

_BESIDE = 12
"""Columns that a command must leave for what it does, or that goes below."""


class Steps:
    """Side by side; below each other where that would cut a command."""

    def __init__(self, steps: Sequence[tuple[str, str]]) -> None:
        """`steps`: a command and what it does, each."""
        self._steps = [
            (Text(f"  {line(command)}", style="cyan"), Text(line(does), style="dim")) for command, does in steps
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widest = max((command.cell_len for command, _ in self._steps), default=0)
        if widest + _BESIDE <= options.max_width:
            yield self._beside()
            return
        for command, does in self._steps:
            yield command
            yield Text("    ").append_text(does)

    def _beside(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        for command, does in self._steps:
            grid.add_row(command, does)
        return grid

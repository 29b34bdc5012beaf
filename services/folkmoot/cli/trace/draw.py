"""Drawing a trace: a row per part, with a bar where it lies in the whole. No I/O."""

from collections.abc import Iterator

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from folkmoot.cli.text import line
from folkmoot.kernel.stretches import Part
from folkmoot.kernel.trace import AgentTime, Trace

BAR = 40
"""Characters of the whole time."""
_COLOURS = {
    "agent": "cyan",
    "model": "blue",
    "tools": "cyan",
    "examination": "green",
    "command": "green",
    "lost attempt": "red",
    "no owner": "red",
    "unknown": "yellow",
}
_PLAIN = "white"


def drawn(trace: Trace) -> RenderableType:
    """Title, path, agents, and what is unknown."""
    shown: list[RenderableType] = [_title(trace), Text(""), Text("The path that the end waited for", style="bold")]
    path = _table()
    for part in trace.path:
        _add(path, part, trace.seconds)
    path.add_row(Text("in all", style="bold"), "", Text(_span(trace.seconds), style="bold"), "")
    shown.append(path)
    if trace.agents:
        shown += [Text(""), Text("Each agent, from the council to what came of it", style="bold"), _agents(trace)]
    shown += [Text(f"? {line(words, 300)}", style="yellow") for words in trace.unknown]
    return Group(*shown)


def _title(trace: Trace) -> Text:
    title = Text(line(trace.task_id, 80), style="bold").append(f"  {trace.state}  {_span(trace.seconds)}", "not bold")
    return title.append(f"  trace {trace.trace_id}", "not bold dim") if trace.trace_id else title


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=26)
    table.add_column(width=BAR)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    return table


def _add(table: Table, part: Part, whole: float, depth: int = 1) -> None:
    table.add_row(*_row(part, whole, depth))
    for inner in _in_a_row(part):
        _add(table, inner, whole, depth + 1)


def _in_a_row(part: Part) -> Iterator[Part]:
    """Inner parts are sums: their bars stand one behind the other within the outer one's."""
    began = part.began_s
    for inner in part.parts:
        yield Part(name=inner.name, began_s=began, seconds=inner.seconds, times=inner.times)
        began += inner.seconds


def _row(part: Part, whole: float, depth: int) -> tuple[RenderableType, ...]:
    times = f" ×{part.times}" if part.times > 1 else ""
    label = Text(f"{'  ' * depth}{part.name}").append(f" {line(part.about, 24)}{times}", "dim")
    share = f"{part.seconds / whole:.0%}" if whole else ""
    colour = _COLOURS.get(part.name, _PLAIN)
    bar = Bar(max(whole, 1e-6), part.began_s, part.began_s + part.seconds, width=BAR, color=colour)
    return label, bar, Text(_span(part.seconds)), Text(share, style="dim")


def _agents(trace: Trace) -> Table:
    table = _table()
    for agent in trace.agents:
        table.add_row(_agent(agent), "", Text(_span(agent.seconds)), "")
        for part in agent.parts:
            plain = Part(name=part.name, began_s=part.began_s, seconds=part.seconds, parts=part.parts)
            _add(table, plain, trace.seconds, 2)
    return table


def _agent(agent: AgentTime) -> Text:
    mark = "▶ " if agent.critical else "  "
    label = Text(f"{mark}{line(agent.agent_id, 24)}", style="bold" if agent.critical else "")
    return label.append(f" {agent.outcome}", "not bold dim")


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"

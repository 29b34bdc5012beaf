"""Drawing agents, councils and parked messages: rich tables from values. No I/O.

Every text that a person, an agent or a model wrote goes through `text.line`.
"""

from rich import box
from rich.table import Table
from rich.text import Text

from folkmoot.cli.fleet.values import Agent, Council, Parked
from folkmoot.cli.text import line


def councils(found: tuple[Council, ...]) -> Table:
    table = _table("council", "role", "agents")
    for council in found:
        marks = [mark for mark, on in (("default", council.default), ("ships", council.shipped)) if on]
        said = Text(line(", ".join(council.agents), 300))
        if council.description:
            said.append(f"\n{line(council.description, 300)}", "dim")
        name = Text(line(council.name, 40), style="bold")
        name.append(f"  {', '.join(marks)}" if marks else "", "not bold dim")
        table.add_row(name, line(council.role, 20), said)
    return table


def agents(found: tuple[Agent, ...]) -> Table:
    table = _table("agent", "role", "profile")
    for agent in found:
        name = Text(line(agent.name, 40), style="bold").append("  ships" if agent.shipped else "", "not bold dim")
        table.add_row(name, line(agent.role, 20), _profile(agent))
    return table


def _profile(agent: Agent) -> Text:
    model = f"{agent.model or 'its only model'} at {agent.model_url}" if agent.model_url else agent.model
    parts = [
        ("persona", agent.persona),
        ("model", model),
        ("temperature", "" if agent.temperature is None else f"{agent.temperature:g}"),
        ("tools", ", ".join(agent.tools)),
    ]
    out = Text(line("; ".join(f"{name} {value}" for name, value in parts if value), 300))
    if agent.instructions:
        out.append(f"{chr(10) if out else ''}{line(agent.instructions, 300)}", "dim")
    return out


def parked(messages: tuple[Parked, ...]) -> Table:
    table = _table("message", "parked", "tried", "what and why")
    for message in messages:
        subject = Text(line(message.subject, 100)).append("  replayed" if message.replayed else "", "green")
        subject.append(f"\n{line(message.reason, 400)}", "dim")
        when = Text(message.parked_at[:19].replace("T", " "), style="dim")
        table.add_row(Text(str(message.sequence), style="bold"), when, str(message.deliveries), subject)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], ratio=1)
    return table

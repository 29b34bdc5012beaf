"""`moot council`, `moot agent` and `moot parked`: arguments only. Heavy imports wait until a command needs them."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from folkmoot.cli.codes import Code
from folkmoot.kernel.errors import InvalidInput

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Role = Annotated[str, typer.Option(help="DEV, QA, ARCHITECT, DEVOPS or DATA; all unless given.", metavar="ROLE")]
Name = Annotated[str, typer.Argument(show_default=False, metavar="NAME")]
File = Annotated[
    str, typer.Argument(help="YAML, JSON or TOML; `-` reads standard input.", show_default=False, metavar="FILE")
]
Stream = Annotated[str, typer.Option(help="Of one stream only.", metavar="NAME")]

council_app = typer.Typer(
    name="council", help="Councils: which agents sit for a role.", rich_markup_mode=None, no_args_is_help=True
)
agent_app = typer.Typer(
    name="agent", help="Agents that councils may name.", rich_markup_mode=None, no_args_is_help=True
)
parked_app = typer.Typer(
    name="parked", help="Messages that nobody could handle.", rich_markup_mode=None, no_args_is_help=True
)


def _end(command: Coroutine[Any, Any, Code]) -> int:
    return int(asyncio.run(command))


@council_app.command("list")
def list_councils(role: Role = "", as_json: Json = False) -> int:
    """The councils, those that ship included."""
    from folkmoot.cli.fleet import commands

    return _end(commands.councils(role, as_json=as_json))


@council_app.command("show")
def show_council(name: Name, as_json: Json = False) -> int:
    """A council and its agents."""
    from folkmoot.cli.fleet import commands

    return _end(commands.council(name, as_json=as_json))


@council_app.command("set")
def set_council(file: File, as_json: Json = False) -> int:
    """Make a council, or replace it; agents that stand whole in the file are registered too."""
    from folkmoot.cli.fleet import commands

    return _end(commands.set_council(file, as_json=as_json))


@council_app.command("delete")
def delete_council(name: Name, as_json: Json = False) -> int:
    """Forget a council; one that ships comes back as it was."""
    from folkmoot.cli.fleet import commands

    return _end(commands.delete_council(name, as_json=as_json))


@agent_app.command("list")
def list_agents(role: Role = "", as_json: Json = False) -> int:
    """The agents, those that ship included."""
    from folkmoot.cli.fleet import commands

    return _end(commands.agents(role, as_json=as_json))


@agent_app.command("set")
def set_agents(file: File, as_json: Json = False) -> int:
    """Register one agent or several, or replace their profiles."""
    from folkmoot.cli.fleet import commands

    return _end(commands.set_agents(file, as_json=as_json))


@agent_app.command("delete")
def delete_agent(name: Name, as_json: Json = False) -> int:
    """Forget an agent that no council names."""
    from folkmoot.cli.fleet import commands

    return _end(commands.delete_agent(name, as_json=as_json))


@parked_app.command("list")
def list_parked(stream: Stream = "", as_json: Json = False) -> int:
    """What lies there, the newest first."""
    from folkmoot.cli.fleet import commands

    return _end(commands.parked(stream, as_json=as_json))


@parked_app.command()
def replay(
    sequence: Annotated[
        int | None, typer.Argument(help="As `moot parked list` names it.", min=1, show_default=False, metavar="[SEQ]")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
    stream: Stream = "",
    as_json: Json = False,
) -> int:
    """Have a parked message handled again."""
    from folkmoot.cli.fleet import commands

    if every == (sequence is not None):
        raise InvalidInput("SEQ", "name one message, or say --all")
    if sequence is None:
        return _end(commands.replay_all(stream, as_json=as_json))
    return _end(commands.replay(sequence, as_json=as_json))

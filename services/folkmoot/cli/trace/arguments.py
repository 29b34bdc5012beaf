"""Arguments of `moot trace`. Heavy imports wait until it is needed."""

import asyncio
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Task = Annotated[
    str, typer.Argument(help="A task id, or a story's: its result.", show_default=False, metavar="TASK|STORY")
]


def trace(task: Task, as_json: Json = False) -> int:
    """Where the time of a task went: the path that its end waited for, and each agent."""
    from folkmoot.cli.trace import command

    return int(asyncio.run(command.trace(task, as_json=as_json)))

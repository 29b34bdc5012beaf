"""`moot versions`: arguments only. Heavy imports wait until a command needs them."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from folkmoot.cli.codes import Code

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Task = Annotated[
    str, typer.Argument(help="A task id, or a story's: its result.", show_default=False, metavar="TASK|STORY")
]
Version = Annotated[
    str,
    typer.Argument(
        help="As `moot versions list` names it: agent, attempt and number. Number 0 is what the agent began with.",
        show_default=False,
        metavar="AGENT@N.N",
    ),
]
Inside = Annotated[str, typer.Argument(help="From the repository's root.", show_default=False, metavar="PATH")]
Perhaps = Annotated[str, typer.Argument(help="Only this file or folder.", show_default=False, metavar="[PATH]")]

versions_app = typer.Typer(
    name="versions", help="What agents changed, step by step.", rich_markup_mode=None, no_args_is_help=True
)


def _end(command: Coroutine[Any, Any, Code]) -> int:
    return int(asyncio.run(command))


@versions_app.command("list")
def list_versions(
    task: Task,
    path: Perhaps = "",
    agent: Annotated[str, typer.Option(help="Of one agent only.", metavar="ID")] = "",
    as_json: Json = False,
) -> int:
    """The steps in which agents changed files, also of agents that still work."""
    from folkmoot.cli.versions import commands

    return _end(commands.listing(task, path, agent, as_json=as_json))


@versions_app.command("diff")
def diff_version(
    task: Task,
    version: Version,
    path: Perhaps = "",
    since: Annotated[
        int, typer.Option("--from", help="Another number of the same agent and attempt; the one before unless given.")
    ] = -1,
    as_json: Json = False,
) -> int:
    """What is different in a version."""
    from folkmoot.cli.versions import commands

    return _end(commands.diff(task, version, path, None if since < 0 else since, as_json=as_json))


@versions_app.command("show")
def show_file(task: Task, version: Version, path: Inside, as_json: Json = False) -> int:
    """A file as it was, on stdout."""
    from folkmoot.cli.versions import commands

    return _end(commands.show(task, version, path, as_json=as_json))


@versions_app.command("restore")
def restore_file(
    task: Task,
    version: Version,
    path: Inside,
    to: Annotated[
        Path | None, typer.Option(help="Write it here; unless given, in its place in this repository.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a file that is something else.")] = False,
    as_json: Json = False,
) -> int:
    """Write a file as it was into the repository that you stand in."""
    from folkmoot.cli.versions import commands

    return _end(commands.restore(task, version, path, to, force=force, as_json=as_json))

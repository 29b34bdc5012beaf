"""Arguments of `moot evidence`. Heavy imports wait until it is needed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.kernel.errors import InvalidInput

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Task = Annotated[
    str, typer.Argument(help="A task id, or a story's: its result.", show_default=False, metavar="TASK|STORY")
]


def evidence(
    task: Task,
    whole: Annotated[bool, typer.Option("--all", help="Every test, also those that tell no candidates apart.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Make the decision again from the log, and compare.")
    ] = False,
    policy: Annotated[
        Path | None, typer.Option(help="With --replay: the numbers to decide by, as TOML.", metavar="FILE")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--from", help="With --replay: a file of `moot export`; no platform.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> int:
    """What the platform itself observed: base and candidates against tests, checks and each other's tests."""
    if not replay and (policy or export):
        raise InvalidInput("--policy" if policy else "--from", "goes with --replay")
    if replay:
        from folkmoot.cli.evidence import replaying

        return int(asyncio.run(replaying.replay(task, policy, export, as_json=as_json)))
    from folkmoot.cli.evidence import command

    return int(asyncio.run(command.evidence(task, whole=whole, as_json=as_json)))

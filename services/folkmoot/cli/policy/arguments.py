"""`moot policy`: arguments only. Heavy imports wait until a command needs them."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

policy_app = typer.Typer(
    name="policy", help="Policies: the numbers that decisions are made by.", rich_markup_mode=None, no_args_is_help=True
)


@policy_app.callback()
def group() -> None:
    """Policies: the numbers that decisions are made by."""


@policy_app.command()
def learn(
    repo: Annotated[str, typer.Option(help="A folder in it, or its URL.", metavar="REPO")] = ".",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new file, instead of standard output.", metavar="FILE")
    ] = None,
    prior: Annotated[
        float, typer.Option(help="Decisions that each number which ships stands for.", min=1, max=1e6, metavar="N")
    ] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")] = False,
) -> int:
    """A policy file from what was accepted and sent back in one repository. Nothing uses it until you say so."""
    from folkmoot.cli.policy import learning

    return int(asyncio.run(learning.learn(repo, output, prior, as_json=as_json)))

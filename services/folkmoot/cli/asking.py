"""Arguments of the commands that ask for work: `solve`, `continue`, `demo`. Heavy imports wait until one is needed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Checks = Annotated[
    list[str] | None,
    typer.Option("--check", help="A shell command that a good change makes exit with 0; repeatable.", metavar="CMD"),
]
Superseded = Annotated[
    list[str] | None,
    typer.Option(help="Id of a test of base that the wish makes wrong: it gates nothing; repeatable.", metavar="TEST"),
]
Agents = Annotated[int, typer.Option(help="How many agents; 0 is the rigor's own number.", min=0, max=16, metavar="N")]
Rigor = Annotated[
    str,
    typer.Option(
        help="L0: one agent and the gate. L1: several agents. L2: their tests on each other, critique, revision. "
        "L3: also sealed tests and judging.",
        metavar="L0..L3",
    ),
]
ModelUrl = Annotated[str, typer.Option(help="Base URL of an OpenAI-compatible server.", metavar="URL")]
Model = Annotated[str, typer.Option(help="The model's name at that URL.", metavar="NAME")]
MaxTokens = Annotated[int, typer.Option(help="Of the whole task; 0 is no limit.", min=0, metavar="N")]
MaxCost = Annotated[float, typer.Option(help="US dollars of the whole task; 0 is no limit.", min=0, metavar="USD")]
MaxWall = Annotated[float, typer.Option(help="Seconds of the whole task; 0 is no limit.", min=0, metavar="S")]


def solve(
    text: Annotated[
        str, typer.Argument(help="The wish in words; `-` reads standard input.", show_default=False, metavar="TEXT")
    ],
    repo: Annotated[str, typer.Option(help="Path or URL of a git repository.", metavar="PATH|URL")] = ".",
    base: Annotated[str, typer.Option(help="What to start from; HEAD unless given.", metavar="REF")] = "",
    check: Checks = None,
    superseded: Superseded = None,
    agents: Agents = 0,
    max_agents: Annotated[
        int, typer.Option(help="More join up to this number while evidence is short.", min=0, max=16, metavar="N")
    ] = 0,
    rigor: Rigor = "",
    workspace: Annotated[str, typer.Option(help="Where agents work.", metavar="local|kubernetes")] = "",
    model_url: ModelUrl = "",
    model: Model = "",
    max_tokens: MaxTokens = 0,
    max_cost: MaxCost = 0,
    max_wall: MaxWall = 0,
    title: Annotated[str, typer.Option(help="One line; the text's first line unless given.", metavar="TEXT")] = "",
    analysis: Annotated[
        bool, typer.Option("--analysis", help="Ends in a document (a plan, a review, a root cause, a suggested patch).")
    ] = False,
    as_json: Json = False,
) -> int:
    """Submit a wish, follow it live, print the decision."""
    from folkmoot.cli import solve as solving

    wish = solving.Wish(
        text=text,
        title=title,
        repo=repo,
        base=base,
        checks=tuple(check or ()),
        superseded=tuple(superseded or ()),
        agents=agents,
        max_agents=max_agents,
        rigor=rigor,
        workspace=workspace,
        model_url=model_url,
        model=model,
        total=solving.total(max_tokens, max_cost, max_wall),
        analysis=analysis,
    )
    return int(asyncio.run(solving.solve(wish, as_json=as_json)))


def continue_(
    task: Annotated[str, typer.Argument(help="A task that has ended.", show_default=False, metavar="TASK")],
    check: Checks = None,
    superseded: Superseded = None,
    rigor: Rigor = "",
    model_url: ModelUrl = "",
    model: Model = "",
    max_tokens: MaxTokens = 0,
    max_cost: MaxCost = 0,
    max_wall: MaxWall = 0,
    as_json: Json = False,
) -> int:
    """Judge the candidates of a task anew, with what would have settled it; nobody proposes again."""
    from folkmoot.cli import continuing, solve

    further = continuing.Further(
        checks=tuple(check or ()),
        superseded=tuple(superseded or ()),
        rigor=rigor,
        model_url=model_url,
        model=model,
        total=solve.total(max_tokens, max_cost, max_wall),
    )
    return int(asyncio.run(continuing.continue_(task, further, as_json=as_json)))


def demo(
    script: Annotated[
        Path | None, typer.Option(help="A rehearsal script instead of the bundled one.", metavar="FILE")
    ] = None,
    agents: Agents = 0,
    as_json: Json = False,
) -> int:
    """See it work: a real repository with a bug, scripted agents, no model needed."""
    from folkmoot.cli import solve as solving

    return int(asyncio.run(solving.demo(script, agents, as_json=as_json)))

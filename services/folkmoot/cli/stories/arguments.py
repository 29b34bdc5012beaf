"""`moot story` and `moot plan`: arguments only. Heavy imports wait until a command needs them."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from folkmoot.cli.codes import Code

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Story = Annotated[str, typer.Argument(help="A story id, as s-0123….", show_default=False, metavar="STORY")]
Reason = Annotated[str, typer.Option(help="Kept in the log.", metavar="TEXT")]
Revision = Annotated[
    int | None, typer.Option(help="Only of this plan, as `moot plan show` counts them.", min=1, metavar="N")
]
Round = Annotated[
    int | None, typer.Option("--round", help="Only of this round, as `moot story show` says.", min=1, metavar="N")
]

Superseded = Annotated[
    list[str] | None,
    typer.Option(help="A test of base that the story makes wrong, by its id; repeatable.", metavar="TEST"),
]

story_app = typer.Typer(
    name="story", help="Stories: what a product owner wants.", rich_markup_mode=None, no_args_is_help=True
)
plan_app = typer.Typer(
    name="plan", help="Plans: the tasks that a story becomes.", rich_markup_mode=None, no_args_is_help=True
)


def _end(command: Coroutine[Any, Any, Code]) -> int:
    return int(asyncio.run(command))


@story_app.command()
def submit(
    file: Annotated[
        str, typer.Argument(help="YAML, JSON or TOML; `-` reads standard input.", show_default=False, metavar="FILE")
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Follow it as far as it goes without a person.")] = False,
    as_json: Json = False,
) -> int:
    """Submit a story from a file."""
    from folkmoot.cli.stories import commands

    return _end(commands.submit(file, wait=wait, as_json=as_json))


@story_app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, metavar="N")] = 50,
    as_json: Json = False,
) -> int:
    """The stories, the newest first."""
    from folkmoot.cli.stories import commands

    return _end(commands.listed(limit, as_json=as_json))


@story_app.command()
def show(story: Story, as_json: Json = False) -> int:
    """Where a story stands, its tasks, and what to do next."""
    from folkmoot.cli.stories import commands

    return _end(commands.show(story, as_json=as_json))


@story_app.command()
def watch(
    story: Story,
    end: Annotated[bool, typer.Option("--end", help="Stay to its end, also while it waits for a person.")] = False,
    as_json: Json = False,
) -> int:
    """Follow a story and its tasks as far as it goes without a person."""
    from folkmoot.cli.stories import commands

    return _end(commands.watch(story, to_the_end=end, as_json=as_json))


@story_app.command()
def approve(story: Story, reason: Reason = "", round_: Round = None, as_json: Json = False) -> int:
    """Accept the result."""
    return _move(story, "STORY_TRANSITION_ACCEPT", reason, round_, as_json=as_json)


@story_app.command()
def send_back(
    story: Story,
    reason: Annotated[str, typer.Option(help="What is wrong; the next round's agents read it.", metavar="TEXT")],
    round_: Round = None,
    as_json: Json = False,
) -> int:
    """Say what is wrong with the result."""
    return _move(story, "STORY_TRANSITION_SEND_BACK", reason, round_, as_json=as_json)


@story_app.command()
def cancel(story: Story, reason: Reason = "", as_json: Json = False) -> int:
    """Call a story off, with the tasks that run."""
    return _move(story, "STORY_TRANSITION_CANCEL", reason, None, as_json=as_json)


@story_app.command()
def carry_over(story: Story, reason: Reason = "", as_json: Json = False) -> int:
    """Go on with what is left of it in another story, which is made."""
    return _move(story, "STORY_TRANSITION_CARRY_OVER", reason, None, as_json=as_json)


def _move(story: str, name: str, reason: str, round_: int | None, *, as_json: bool) -> int:
    from folkmoot.api.planning.v1 import planning_pb2 as pb
    from folkmoot.cli.stories import commands

    return _end(commands.move(story, pb.StoryTransition.Value(name), reason, round_, as_json=as_json))


@story_app.command()
def revise(
    story: Story,
    text_file: Annotated[str, typer.Option(help="The new text; `-` is standard input.", metavar="FILE")] = "",
    title: Annotated[str, typer.Option(help="The new title.", metavar="TEXT")] = "",
    check: Annotated[list[str] | None, typer.Option(help="One more check; repeatable.", metavar="CMD")] = None,
    superseded: Superseded = None,
    gating: Annotated[
        list[str] | None,
        typer.Option(help="A superseded test that is to gate again, by its id; repeatable.", metavar="TEST"),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> int:
    """Change what a story says; it is assessed anew."""
    from folkmoot.cli.stories import commands

    lists = {"checks": check, "superseded": superseded, "gating": gating}
    new = commands.Revision(title=title, **{name: values or [] for name, values in lists.items()})
    return _end(commands.revise(story, new, text_file, reason, as_json=as_json))


@story_app.command()
def assess(story: Story, as_json: Json = False) -> int:
    """Have the coach look at a story."""
    from folkmoot.cli.stories import commands

    return _end(commands.assess(story, as_json=as_json))


# --- plan --------------------------------------------------------------------------------------------------------


@plan_app.command("show")
def show_plan(
    story: Story,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As a file for `moot plan edit --file`.")] = False,
    as_json: Json = False,
) -> int:
    """The plan of a story, whole."""
    from folkmoot.cli.stories import commands

    return _end(commands.show_plan(story, as_yaml=as_yaml, as_json=as_json))


@plan_app.command()
def derive(story: Story, as_json: Json = False) -> int:
    """Have the planner make a plan."""
    from folkmoot.cli.stories import commands

    return _end(commands.derive(story, as_json=as_json))


@plan_app.command()
def edit(
    story: Story,
    file: Annotated[str, typer.Option(help="Take the plan from here; `-` is standard input.", metavar="FILE")] = "",
    revision: Revision = None,
    as_json: Json = False,
) -> int:
    """Change the plan in your editor (VISUAL, EDITOR), or give another one."""
    from folkmoot.cli.stories import commands

    return _end(commands.edit(story, file, revision, as_json=as_json))


@plan_app.command("approve")
def approve_plan(
    story: Story,
    reason: Reason = "",
    revision: Revision = None,
    superseded: Superseded = None,
    as_proposed: Annotated[
        bool, typer.Option("--superseded-as-proposed", help="All tests that the coach proposes as superseded.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Release the plan's tasks."""
    from folkmoot.cli.stories import commands

    tests = list(superseded or ())
    return _end(commands.approve_plan(story, reason, revision, tests, as_proposed=as_proposed, as_json=as_json))


@plan_app.command()
def reject(
    story: Story,
    reason: Annotated[str, typer.Option(help="The maker of the next plan reads it.", metavar="TEXT")],
    revision: Revision = None,
    as_json: Json = False,
) -> int:
    """Have another plan made."""
    from folkmoot.cli.stories import commands

    return _end(commands.reject_plan(story, reason, revision, as_json=as_json))

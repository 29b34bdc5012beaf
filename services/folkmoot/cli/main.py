"""The command `moot`: arguments in, exit code out. Heavy imports wait until a command needs them."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from folkmoot.cli import asking, codes
from folkmoot.cli.evidence.arguments import evidence
from folkmoot.cli.fleet.arguments import agent_app, council_app, parked_app
from folkmoot.cli.output import complain
from folkmoot.cli.policy.arguments import policy_app
from folkmoot.cli.stories.arguments import plan_app, story_app
from folkmoot.cli.text import is_text
from folkmoot.cli.trace.arguments import trace
from folkmoot.cli.versions.arguments import versions_app
from folkmoot.kernel.errors import FolkmootError, InvalidInput

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, words for people on stderr.")]
Task = Annotated[str, typer.Argument(help="A task id, as t-0123….", show_default=False, metavar="TASK")]
Outcome = Annotated[
    str, typer.Argument(help="A task id, or a story's: its result.", show_default=False, metavar="TASK|STORY")
]

app = typer.Typer(
    name="moot",
    help="Several coding agents, one decision on evidence.",
    rich_markup_mode=None,  # rich help costs a tenth of a second
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (story_app, plan_app, council_app, agent_app, parked_app, versions_app, policy_app):
    app.add_typer(group)


def main() -> None:
    """Entry point. Never a traceback, except with --debug."""
    arguments = sys.argv[1:] or ["--help"]
    sys.exit(_run(arguments, debug=arguments[0] == "--debug"))


def _run(arguments: list[str], *, debug: bool) -> int:
    as_json = "--json" in arguments
    try:
        _require_text(arguments)
        return int(app(arguments, prog_name="moot", standalone_mode=False) or 0)
    except TyperException as error:
        complain(_usage(error), as_json=as_json)
        return error.exit_code
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:  # what typer makes of a broken pipe
        if isinstance(end.__context__, BrokenPipeError):
            return _unread()
        raise
    except Exception as error:  # the root of the process: a person gets a sentence
        if debug:
            raise
        told = codes.complaint(_cause(error))
        complain(told, as_json=as_json)
        return told.code


def _require_text(arguments: list[str]) -> None:
    """What comes in goes into JSON and protocol buffers. Raises InvalidInput."""
    for argument in arguments:
        if not is_text(argument):
            raise InvalidInput("arguments", f"{os.fsencode(argument)!r} is not UTF-8")


def _cause(error: Exception) -> FolkmootError:
    """What went wrong first, as an error of ours."""
    if isinstance(error, ExceptionGroup):
        return _cause(error.exceptions[0])
    if isinstance(error, FolkmootError):
        return error
    if isinstance(error, OSError) and error.filename:
        hint = "FOLKMOOT_DATA names the data folder; it must be yours, and have room"
        return codes.Stopped(codes.Code.OURS, f"{error.filename}: {error.strerror}", hint)
    hint = "`moot --debug …` shows where; please report it"
    return codes.Stopped(codes.Code.OURS, f"unforeseen: {type(error).__name__}: {error}", hint)


def _usage(error: TyperException) -> codes.Complaint:
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` says how" if context else "`moot --help` lists the commands"
    return codes.Complaint(kind="Usage", message=error.format_message(), hint=hint, code=codes.Code.USAGE)


def _unread() -> int:
    """Who read our output went away (`| head`); Python's own last flush must not complain about it either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return codes.Code.DONE


def _end(command: Coroutine[Any, Any, codes.Code]) -> int:
    return int(asyncio.run(command))


@app.callback()
def _root(
    debug: Annotated[
        bool, typer.Option("--debug", help="As the first argument: show where an error came from.")
    ] = False,
) -> None:
    """Several coding agents, one decision on evidence."""


app.command()(asking.solve)
app.command("continue")(asking.continue_)
app.command()(asking.demo)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is up; `moot down` stops it.")] = False,
    workspace: Annotated[str, typer.Option(help="Where agents work.", metavar="local|kubernetes")] = "",
    as_json: Json = False,
) -> int:
    """Start the embedded platform."""
    from folkmoot.cli import commands

    return _end(commands.up(detached=detach, workspace=workspace, as_json=as_json))


@app.command()
def down(as_json: Json = False) -> int:
    """Stop the embedded platform; its log stays."""
    from folkmoot.cli import commands

    return _end(commands.down(as_json=as_json))


@app.command()
def result(task: Outcome, as_json: Json = False) -> int:
    """What came out, or how far it is."""
    from folkmoot.cli import commands

    return _end(commands.result(task, as_json=as_json))


@app.command()
def watch(
    task: Task,
    after: Annotated[int, typer.Option(help="Skip events up to this sequence.", min=0, metavar="SEQ")] = 0,
    as_json: Json = False,
) -> int:
    """Follow a task from its first event to its last."""
    from folkmoot.cli import commands

    return _end(commands.watch(task, after, as_json=as_json))


app.command()(evidence)
app.command()(trace)


@app.command()
def diff(
    task: Outcome,
    candidate: Annotated[
        str, typer.Option(help="A proposal or its agent; the winner unless given.", metavar="ID")
    ] = "",
    as_json: Json = False,
) -> int:
    """The winner's change, or another candidate's."""
    from folkmoot.cli import commands

    return _end(commands.diff(task, candidate, as_json=as_json))


@app.command()
def apply(task: Outcome, as_json: Json = False) -> int:
    """Fetch the winner into this repository as branch moot/<task>; your files stay as they are."""
    from folkmoot.cli import commands

    return _end(commands.apply(task, as_json=as_json))


@app.command()
def cancel(
    task: Task,
    reason: Annotated[str, typer.Option(help="Kept in the log.", metavar="TEXT")] = "",
    as_json: Json = False,
) -> int:
    """Call a task off."""
    from folkmoot.cli import commands

    return _end(commands.cancel(task, reason, as_json=as_json))


@app.command()
def log(
    subject: Annotated[str, typer.Argument(help="A story's or a task's id.", show_default=False, metavar="STORY|TASK")],
    as_json: Json = False,
) -> int:
    """What happened: every event, in order."""
    from folkmoot.cli.stories import history

    return _end(history.log(subject, as_json=as_json))


@app.command()
def status(as_json: Json = False) -> int:
    """What the fleet does now: queue, deliberations, tokens, parked messages."""
    from folkmoot.cli.fleet import commands

    return _end(commands.status(as_json=as_json))


@app.command("export")
def export(
    of: Annotated[str, typer.Argument(help="A story or task that has ended.", show_default=False, metavar="ID")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Instead of standard output.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> int:
    """A story with all that belongs to it, as one file."""
    from folkmoot.cli.archive import commands

    return _end(commands.export_(of, output, as_json=as_json))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `moot export` wrote.", show_default=False, metavar="FILE")],
    as_json: Json = False,
) -> int:
    """Take an exported story in, to be read."""
    from folkmoot.cli.archive import commands

    return _end(commands.import_(file, as_json=as_json))


@app.command()
def forget(
    of: Annotated[
        str, typer.Argument(help="A story that has ended, or a task of none.", show_default=False, metavar="ID")
    ],
    reason: Annotated[str, typer.Option(help="All that is kept, with your name.", show_default=False, metavar="TEXT")],
    as_json: Json = False,
) -> int:
    """Erase a story for good; a tombstone stays."""
    from folkmoot.cli.archive import commands

    return _end(commands.forget(of, reason, as_json=as_json))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file.", show_default=False, metavar="FILE")],
    as_json: Json = False,
) -> int:
    """The whole platform as one file, while it runs or not."""
    from folkmoot.cli.archive import commands

    return _end(commands.backup(file, as_json=as_json))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `moot backup` wrote.", show_default=False, metavar="FILE")],
    data: Annotated[Path, typer.Option(help="A new data folder.", show_default=False, metavar="FOLDER")],
    as_json: Json = False,
) -> int:
    """A platform from a backup, in a new data folder."""
    from folkmoot.cli.archive import commands

    return _end(commands.restore_(file, data, as_json=as_json))


@app.command()
def doctor(as_json: Json = False) -> int:
    """What this machine has and lacks, and how to mend it."""
    from folkmoot.cli import doctor as examination

    return _end(examination.doctor(as_json=as_json))


@app.command()
def version(as_json: Json = False) -> int:
    """Versions of the parts."""
    from folkmoot.cli import doctor as examination

    return examination.version(as_json=as_json)

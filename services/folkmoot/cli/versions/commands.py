"""What `moot versions` does. Returns exit codes; raises kernel errors."""

import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path

from rich.table import Table
from rich.text import Text

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.cli import connect
from folkmoot.cli.client import connected
from folkmoot.cli.codes import Code
from folkmoot.cli.output import emit, say
from folkmoot.cli.screen import console
from folkmoot.cli.stories.result import task_of
from folkmoot.cli.text import line
from folkmoot.cli.versions.client import Name, Runner, reaching
from folkmoot.cli.versions.place import write
from folkmoot.runtime import settings as configuration

_SHOWN = 6
"""Files of one version that are told by name."""


@asynccontextmanager
async def _asking(name: str) -> AsyncIterator[tuple[Runner, str]]:
    """The runner, and the task that `name` stands for."""
    target = connect.required(configuration.load())
    async with connected(target) as client:
        task_id = await task_of(client, name)
    async with reaching(target) as runner:
        yield runner, task_id


async def listing(task: str, path: str, agent: str, *, as_json: bool) -> Code:
    async with _asking(task) as (runner, task_id):
        found = await runner.listed(task_id, agent, os.fsencode(path))
    if as_json:
        emit({"task_id": task_id, "versions": [_document(v) for v in found]})
    elif found:
        console(sys.stdout).print(_table(found))
    else:
        say(f"{task_id}: no versions are kept, or nothing was changed")
    return Code.DONE


async def diff(task: str, version: str, path: str, since: int | None, *, as_json: bool) -> Code:
    """On a terminal in colour and harmless; to a pipe or a file byte for byte, for `git apply`."""
    from folkmoot.cli import draw

    name = Name.parse(version)
    async with _asking(task) as (runner, task_id):
        body = await runner.diff(task_id, name, os.fsencode(path), since)
    text = body.decode("utf-8", "replace")
    if as_json:
        emit({"task_id": task_id, "version": str(name), "diff": text})
    elif sys.stdout.isatty():
        console(sys.stdout).print(draw.change(text, limit=None))
    else:
        _raw(body)
    return Code.DONE


async def show(task: str, version: str, path: str, *, as_json: bool) -> Code:
    """On a terminal harmless; to a pipe or a file byte for byte."""
    from folkmoot.cli.text import visible

    name = Name.parse(version)
    async with _asking(task) as (runner, task_id):
        body, executable = await runner.file(task_id, name, os.fsencode(path))
    if as_json:
        content = base64.b64encode(body).decode("ascii")
        emit({"version": str(name), "path": path, "executable": executable, "content_base64": content})
    elif sys.stdout.isatty():
        sys.stdout.write(visible(body.decode("utf-8", "replace")))
    else:
        _raw(body)
    return Code.DONE


async def restore(task: str, version: str, path: str, to: Path | None, *, force: bool, as_json: bool) -> Code:
    name = Name.parse(version)
    async with _asking(task) as (runner, task_id):
        body, executable = await runner.file(task_id, name, os.fsencode(path))
    place, changed = write(path, to, body, executable=executable, force=force)
    if as_json:
        emit({"version": str(name), "path": path, "written": str(place), "changed": changed})
    else:
        say(f"{place} is as in {name}" if changed else f"{place} was so already")
    return Code.DONE


def _raw(body: bytes) -> None:
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _name(version: pb.Version) -> Name:
    return Name(agent=version.name.agent_id, attempt=version.name.attempt, number=version.name.number)


def _document(version: pb.Version) -> dict[str, object]:
    changes = [{"path": c.path.decode("utf-8", "backslashreplace"), "operation": c.operation} for c in version.changes]
    made_at = version.made_at.ToDatetime(UTC).isoformat()
    return {"version": str(_name(version)), "made_at": made_at, "what": version.what, "changes": changes}


def _table(found: list[pb.Version]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("version", "time", "step", "files"):
        table.add_column(column, overflow="fold")
    for version in found:
        when = version.made_at.ToDatetime(UTC).astimezone().strftime("%H:%M:%S")
        table.add_row(Text(str(_name(version))), Text(when), Text(line(version.what, 60)), Text(_files(version)))
    return table


def _files(version: pb.Version) -> str:
    named = [f"{c.operation} {line(c.path.decode('utf-8', 'replace'))}" for c in version.changes[:_SHOWN]]
    more = len(version.changes) - len(named)
    return "\n".join([*named, *([f"and {more} more"] if more else [])])

"""`moot log`: what happened to a story and its tasks, or to one task, as the log has it."""

import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec

from folkmoot.cli.client import Client
from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.lane import agent_of
from folkmoot.cli.output import emit
from folkmoot.cli.stories import view as views
from folkmoot.cli.stories import words
from folkmoot.cli.stories.values import is_story
from folkmoot.cli.streams import Seen
from folkmoot.cli.text import line
from folkmoot.kernel.events import Event
from folkmoot.kernel.facts import OwnerTook

_WIDTH = 1_000
"""Characters of a sentence that are shown: a line of a log may be long, and is whole in the JSON."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    time: datetime
    """For the order: never before that of an earlier event of the same subject."""
    seen: Seen
    subject: str
    """Of the event."""


async def log(name: str, *, as_json: bool) -> Code:
    async with platform() as client:
        entries = ordered([seen async for seen in _history(client, name)])
    if as_json:
        for entry in entries:
            emit({"sequence": entry.seen.sequence, "event": json.loads(entry.seen.body)})
    else:
        _print(entries)
    return Code.DONE


def _history(client: Client, name: str) -> AsyncIterator[Seen]:
    return client.stories.history(name, tasks=True) if is_story(name) else client.history(name)


def ordered(events: list[Seen]) -> list[Entry]:
    """By time across subjects; within one, as they were appended, whatever its writers' clocks said."""
    latest: dict[str, datetime] = {}
    entries = []
    for seen in events:
        subject, time = _stamp(seen)
        time = max(time, latest.get(subject, time))
        latest[subject] = time
        entries.append(Entry(time=time, seen=seen, subject=subject))
    return sorted(entries, key=lambda entry: entry.time)


class _Envelope(msgspec.Struct):
    subject: str
    time: datetime
    type: str
    source: str = ""


def _stamp(seen: Seen) -> tuple[str, datetime]:
    """An event of a type that this version does not know has an envelope all the same."""
    envelope = msgspec.json.decode(seen.body, type=_Envelope)
    return envelope.subject, envelope.time


def _print(entries: list[Entry]) -> None:
    view = views.StoryView()
    rows = []
    for entry in entries:
        event = entry.seen.event
        if event and event.subject.startswith("agile."):
            view = views.fold(view, event)
        name = view.name_in(event) if event else ""
        task = view.name(entry.subject.rpartition(".")[2])
        rows.append((_time(entry.time), task, *_described(entry.seen, name)))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    for row in rows:
        columns = (f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True) if width)
        sys.stdout.write(f"{'  '.join(columns)}  {row[4]}".rstrip() + "\n")
    sys.stdout.flush()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _described(seen: Seen, name: str) -> tuple[str, str, str]:
    """Type, actor and words; `name` as in `words.sentence`."""
    if seen.event is None:
        envelope = msgspec.json.decode(seen.body, type=_Envelope)
        return line(envelope.type, 60), _service(envelope.source), "(a newer version wrote this)"
    event = seen.event
    kind = event.type.removeprefix("folkmoot.").removesuffix(".v1")
    said = f"{event.data.owner} takes it" if isinstance(event.data, OwnerTook) else words.sentence(event, name)
    return line(kind, 60), actor(event), line(said, _WIDTH)


def actor(event: Event) -> str:
    """The person or agent that the event is about, else the service that wrote it."""
    named = getattr(event.data, "actor", "") or agent_of(event)
    return line(named, 24) or _service(event.source)


def _service(source: str) -> str:
    """`orchestrator` of `/orchestrator/7f3a`."""
    return line(source.strip("/").partition("/")[0], 24)

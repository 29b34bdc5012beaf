"""Where the log of a task is read for a replay: from the platform, or from a file of `moot export`."""

from pathlib import Path

import msgspec

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.commands import platform
from folkmoot.cli.evidence.gathered import bodies, examination
from folkmoot.cli.stories.result import task_of
from folkmoot.cli.stories.values import is_story
from folkmoot.kernel import replay, subjects
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.evidence import Examination
from folkmoot.kernel.ids import TaskId
from folkmoot.platform.archive.opened import Opened, opened
from folkmoot.runtime.settings import Settings


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a jury had before it, and what it said."""

    found: replay.Ranked
    examinations: tuple[Examination, ...]


async def from_platform(name: str) -> Case:
    """Raises what `replay.ranked` raises, and kernel errors of the calls."""
    async with platform() as client:
        found = replay.ranked(await client.log_of(await task_of(client, name)))
        return Case(found=found, examinations=await bodies(client, found.state.examined))


def from_file(name: str, export: Path, settings: Settings) -> Case:
    """Raises what `replay.ranked` raises, NotFound, and InvalidInput or BrokenChain about the file."""
    if is_story(name):
        raise Stopped(Code.USAGE, f"{name} is a story's id", "name one of its tasks: the file holds them all")
    with opened(export, artifact_bytes=settings.log.artifact_bytes) as file:
        found = replay.ranked(_events_in(file, TaskId(name)))
        run = tuple(examination(e, file.artifact(e.examination)) for e in found.state.examined)
        return Case(found=found, examinations=run)


def _events_in(file: Opened, task: TaskId) -> tuple[Stored, ...]:
    own = subjects.deliberation(task)
    for subject in file.record().subjects:
        if subject.name == own:
            return subject.events
    raise NotFound(f"there is no task {task} in the file")

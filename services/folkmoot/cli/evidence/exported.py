"""The log of a task in a file of `moot export`, for a replay without a platform."""

from pathlib import Path

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.evidence.gathered import Case, decided_by, examination
from folkmoot.cli.stories.values import is_story
from folkmoot.kernel import replay, subjects
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.ids import TaskId
from folkmoot.platform.archive.opened import Opened, opened
from folkmoot.runtime.settings import Settings


def from_file(name: str, export: Path, settings: Settings) -> Case:
    """Raises what `replay.ranked` raises, Stopped, NotFound, and InvalidInput or BrokenChain about the file."""
    if is_story(name):
        raise Stopped(Code.USAGE, f"{name} is a story's id", "name one of its tasks: the file holds them all")
    if not export.is_file():
        raise Stopped(Code.USAGE, f"{export} is no file")
    with opened(export, artifact_bytes=settings.log.artifact_bytes) as file:
        found = replay.ranked(_events_in(file, TaskId(name)))
        run = tuple(examination(e, file.artifact(e.examination)) for e in found.state.examined)
        kept = found.ruling.numbers
        policy = decided_by(found.ruling, file.artifact(kept) if kept else None)
        return Case(found=found, examinations=run, policy=policy)


def _events_in(file: Opened, task: TaskId) -> tuple[Stored, ...]:
    own = subjects.deliberation(task)
    for subject in file.record().subjects:
        if subject.name == own:
            return subject.events
    raise NotFound(f"there is no task {task} in the file")

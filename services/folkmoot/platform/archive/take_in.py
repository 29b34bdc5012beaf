"""An export comes into a platform: events with their ids, times and chains, and nobody acts on them."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import AlreadyExists, Conflict, FailedPrecondition, InvalidInput
from folkmoot.kernel.events import Erased
from folkmoot.platform.archive.opened import Opened, opened
from folkmoot.platform.archive.record import Record, Subject
from folkmoot.runtime.log.jetstream import RECORD, Raw
from folkmoot.runtime.log.keeper import Keeper, understood

_IDENT = re.compile(r"[0-9a-f]{8,64}")
"""Of our events; it becomes a header of the message."""


class TakenIn(msgspec.Struct, frozen=True, kw_only=True):
    of: str
    tasks: tuple[str, ...]
    events: int
    """Written now; 0 when all of it was there before."""
    artifacts: int
    """Checked, and there now."""


async def take_in(keeper: Keeper, path: Path, *, artifact_bytes: int) -> TakenIn:
    """Check everything, then write: artifacts, what agents said, decisions, the story last.

    The same file again changes nothing; a file that was cut short by a crash goes on. Raises InvalidInput and
    BrokenChain naming what is wrong with the file, AlreadyExists when the story is here with another head,
    FailedPrecondition("erased") when it was forgotten here, ("running") when the file holds one that has not ended.
    """
    with opened(path, artifact_bytes=artifact_bytes) as file:
        found = file.record()
        _require_idents(found)
        file.check_artifacts(found)
        mark = file.manifest.mark
        there = {subject.name: await keeper.raw(subject.name) for subject in found.subjects}
        for subject in found.subjects:
            _require_room(subject, there[subject.name], mark)
        await _put_artifacts(keeper, file)
        written = 0
        for subject in found.subjects:
            written += await _write(keeper, subject, there[subject.name], mark)
        return TakenIn(of=found.of, tasks=found.tasks, events=written, artifacts=len(file.manifest.artifacts))


def _require_idents(found: Record) -> None:
    for subject in found.subjects:
        for stored in subject.events:
            if not _IDENT.fullmatch(stored.event.id):
                raise InvalidInput(subject.name, f"{stored.event.id[:80]!r} is no id of an event")


def _require_room(subject: Subject, there: Sequence[Raw], mark: str) -> None:
    """Nothing is there, or the same, or the beginning of this very import."""
    if there and isinstance(understood(there)[-1].event.data, Erased):
        raise FailedPrecondition("erased", f"{subject.name} was erased here and does not come back")
    bodies = tuple(raw.body for raw in there)
    begun = all(raw.headers.get(RECORD) == mark for raw in there) and subject.bodies[: len(bodies)] == bodies
    if bodies != subject.bodies and not begun:
        events = f"{len(bodies)} events, not {len(subject.bodies)}"
        raise AlreadyExists(f"{subject.name} is here with another head: {events}")


async def _put_artifacts(keeper: Keeper, file: Opened) -> None:
    for ref in file.manifest.artifacts:
        await keeper.bus.artifacts.put(file.artifact(ref))


async def _write(keeper: Keeper, subject: Subject, there: Sequence[Raw], mark: str) -> int:
    """Says how many were written. Raises AlreadyExists when somebody writes the same subject meanwhile."""
    after, done = there[-1].seq if there else 0, len(there)
    for body, stored in zip(subject.bodies[done:], subject.events[done:], strict=True):
        try:
            after = await keeper.record(subject.name, body, ident=stored.event.id, after_seq=after, mark=mark)
        except Conflict as error:
            raise AlreadyExists(f"{subject.name}: {error}") from error
    return len(subject.bodies) - done

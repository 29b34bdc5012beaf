"""Forgetting: a story and its tasks become tombstones, which keep what is left verifiable."""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec

from folkmoot.kernel import ids, subjects
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.events import Erased, Head
from folkmoot.kernel.facts import DeliberationRequested
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.platform.archive import mirrors
from folkmoot.platform.archive.admin import SOURCE
from folkmoot.platform.archive.record import Record, Subject, collected, released, results_of, steps_of, subject_of
from folkmoot.platform.archive.unnamed import Sweeping, parked_copies, sweep_artifacts
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log import envelope
from folkmoot.runtime.log.keeper import Keeper

MAX_REASON_CHARS = 1_000


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    of: str
    tasks: tuple[str, ...]
    events: int
    """Erased, steps of agents included."""
    refs: int
    """Of the mirrors."""
    artifacts: Sweeping
    parked: int
    """Parked messages that hold a copy of something of it: they stay until a person deals with them."""


async def forget(
    keeper: Keeper, of: str, *, actor: str, reason: str, clock: Clock, mirrored: Path | None, grace_s: float
) -> Forgotten:
    """Erase the story (or task without a story) `of`, which must have ended. Interrupted, it is simply repeated.

    Raises NotFound, InvalidInput, FailedPrecondition("running" | "part" | "sealed"), Conflict when somebody appends
    to it at this moment.
    """
    if not reason.strip() or len(reason) > MAX_REASON_CHARS:
        raise InvalidInput("reason", f"say why, in at most {MAX_REASON_CHARS} characters: it is all that is kept")
    await keeper.require_erasable()
    gone = await erase(keeper, of, actor=actor, reason=reason, at=clock.now(), mirrored=mirrored)
    return Forgotten(
        of=of,
        tasks=gone.tasks,
        events=gone.events,
        refs=gone.refs,
        artifacts=await sweep_artifacts(keeper, now=clock.now(), grace_s=grace_s),
        parked=await parked_copies(keeper, of, gone.tasks),
    )


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What `erase` took away."""

    tasks: tuple[TaskId, ...]
    events: int
    refs: int


async def erase(
    keeper: Keeper, of: str, *, actor: str, reason: str, at: datetime, mirrored: Path | None = None
) -> Erasure:
    """Events and branches, without a look at artifacts. Raises as `forget`, and GitFailed."""
    root = await _root(keeper, of)
    if not await _begun(keeper, root):
        found = await collected(keeper, of)
        await _require_whole(keeper, found)
        # First of all: from its tombstone on nobody appends to a story, and nobody releases a task of it.
        await _bury(keeper, found.subjects[-1], actor=actor, reason=reason, at=at)
    told = subject_of(await keeper.raw(root))
    tasks = released(told.events) if root == subjects.story(StoryId(of)) else (TaskId(of),)
    rest = [name for task in tasks for name in await _subjects(keeper, task)]
    for name in rest:
        subject = subject_of(await keeper.raw(name))
        if not isinstance(subject.events[-1].event.data, Erased):
            await _bury(keeper, subject, actor=actor, reason=reason, at=at)
    # Before the events, and the root last of them: it names the tasks, should we be interrupted.
    refs = await mirrors.forget(mirrored, tasks) if mirrored else 0
    events = await _clear(keeper, tasks, [name for name in rest if name != root] + [root])
    return Erasure(tasks=tasks, events=events, refs=refs)


async def _root(keeper: Keeper, of: str) -> str:
    """The subject that everything hangs on: a story's, or a lone task's."""
    name = subjects.story(StoryId(ids.token(of, "id")))
    return name if await keeper.bus.log.last(name) else subjects.deliberation(TaskId(of))


async def _begun(keeper: Keeper, root: str) -> bool:
    """Whether a tombstone stands behind events that are still there: we were interrupted."""
    told = await keeper.raw(root)
    return len(told) > 1 and isinstance(subject_of(told).events[-1].event.data, Erased)


async def _subjects(keeper: Keeper, task: TaskId) -> list[str]:
    own = subjects.deliberation(task)
    return [*await keeper.names(results_of(task)), *([own] if await keeper.bus.log.last(own) else [])]


async def _require_whole(keeper: Keeper, found: Record) -> None:
    """A task of a story goes with its story, whose log names it."""
    for subject in found.subjects:
        first = subject.events[0].event.data
        if not isinstance(first, DeliberationRequested) or first.spec.story_id in ("", found.of):
            continue
        told = await keeper.raw(subjects.story(first.spec.story_id))
        if not first.spec.continues or (told and first.spec.task_id in released(subject_of(told).events)):
            raise FailedPrecondition("part", f"{found.of} is a task of {first.spec.story_id}: forget the story")


async def _bury(keeper: Keeper, subject: Subject, *, actor: str, reason: str, at: datetime) -> None:
    """Put a tombstone behind the last event."""
    fact = Erased(
        actor=actor,
        reason=reason,
        events=len(subject.bodies),
        head=subject.head,
        sha256=hashlib.sha256(b"".join(body + b"\n" for body in subject.bodies)).hexdigest(),
        at=at,
    )
    last = subject.events[-1]
    after = Head(seq=last.seq, digest=last.digest)
    ident = envelope.message_id(subject.name, fact, source=SOURCE, after=after)
    event = envelope.envelope(subject.name, fact, source=SOURCE, time=at, ident=ident, after=after)
    await keeper.record(subject.name, envelope.encoded(event), ident=ident, after_seq=last.seq, mark="erased")


async def _clear(keeper: Keeper, tasks: tuple[TaskId, ...], buried: list[str]) -> int:
    """Erase what stands before the tombstones, and steps, which have none."""
    done = 0
    for task in tasks:
        for steps in await keeper.names(steps_of(task)):
            done += await keeper.erase(await keeper.raw(steps))
    for name in buried:
        done += await keeper.erase((await keeper.raw(name))[:-1])
    return done

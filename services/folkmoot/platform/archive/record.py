"""What belongs to a story or a task: its subjects, and the artifacts that they name."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from folkmoot.kernel import deliberation, ids, story, subjects
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Fact, Stored
from folkmoot.kernel.evidence import ArtifactRef, Examination
from folkmoot.kernel.facts import AgentFinished, Examined, TaskContinued, TaskReleased
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.runtime.log.jetstream import Raw
from folkmoot.runtime.log.keeper import Keeper, understood
from folkmoot.runtime.log.port import Artifacts

_AT_REST = (StoryState.ACCEPTED, StoryState.CARRIED_OVER, StoryState.CANCELLED, StoryState.DECIDED)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """All of one subject, as it is stored and as it is understood."""

    name: str
    bodies: tuple[bytes, ...]
    events: tuple[Stored, ...]

    @property
    def head(self) -> str:
        """Digest of the last event."""
        return self.events[-1].digest


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A story with its tasks, or one task."""

    of: str
    tasks: tuple[TaskId, ...]
    subjects: tuple[Subject, ...]
    """In the order in which they may be written: what agents said, what was decided on it, the story last."""

    @property
    def ended_at(self) -> datetime:
        """Time of its last event."""
        return max(subject.events[-1].event.time for subject in self.subjects)


def subject_of(messages: Sequence[Raw]) -> Subject:
    """Raises InvalidInput, BrokenChain."""
    events = understood(messages)
    return Subject(name=messages[0].subject, bodies=tuple(m.body for m in messages), events=tuple(events))


async def collected(keeper: Keeper, of: str) -> Record:
    """Raises NotFound (also for what was erased), FailedPrecondition("running"), BrokenChain."""
    ids.token(of, "id")
    name = subjects.story(StoryId(of))
    told = await keeper.raw(name)
    tasks = released(subject_of(told).events) if told else (TaskId(of),)
    found: dict[str, Sequence[Raw]] = {name: told} if told else {}
    for task in tasks:
        for subject in [*await keeper.names(results_of(task)), subjects.deliberation(task)]:
            found[subject] = await keeper.raw(subject)
    if not any(found.values()):
        raise NotFound(f"there is no story or task {of}")
    return record(of, {name: subject_of(messages) for name, messages in found.items() if messages})


def record(of: str, found: Mapping[str, Subject]) -> Record:
    """The whole of it, checked: every subject folds, nothing runs any more, nothing is missing.

    Raises InvalidInput for a subject that does not belong to it, FailedPrecondition("running"), NotFound for what was
    erased, BrokenChain.
    """
    name = subjects.story(StoryId(of))
    tasks = released(found[name].events) if name in found else (TaskId(of),)
    called_off = False
    if name in found:
        called_off = _require_rest(story.fold(found[name].events)) is StoryState.CANCELLED
    order: list[str] = []
    for task in tasks:
        own = subjects.deliberation(task)
        if own in found:
            _require_ended(task, found[own])
        elif not called_off:
            raise FailedPrecondition("running", f"task {task} was released and has not begun")
        results = sorted(n for n in found if n.rpartition(".")[0] == results_of(task).rpartition(".")[0])
        for result in results:
            _require_facts(found[result], AgentFinished)
        order += [*results, *([own] if own in found else [])]
    order += [name] if name in found else []
    if strangers := sorted(set(found) - set(order)):
        raise InvalidInput("subjects", f"{strangers[0][:100]!r} does not belong to {of}")
    return Record(of=of, tasks=tasks, subjects=tuple(found[n] for n in order))


def released(events: Sequence[Stored]) -> tuple[TaskId, ...]:
    """The tasks of a story that ever ran, in order; those that went on with another one's candidates too."""
    return tuple(dict.fromkeys(task for s in events if (task := _begun(s.event.data))))


def _begun(fact: Fact) -> TaskId | None:
    match fact:
        case TaskReleased(spec=spec):
            return spec.task_id
        case TaskContinued(task_id=task_id):
            return task_id
    return None


def results_of(task: TaskId) -> str:
    """Pattern of what its agents said."""
    return f"agent.results.{task}.*"


def steps_of(task: TaskId) -> str:
    """Pattern of what its agents did."""
    return subjects.all_steps(task)


def _require_rest(told: Story) -> StoryState:
    waits = told.state is StoryState.SENT_BACK and told.waits
    if told.state not in _AT_REST and not waits:
        raise FailedPrecondition("running", f"story {told.story_id} is {told.state}: end it first, or cancel it")
    return told.state


def _require_ended(task: TaskId, subject: Subject) -> None:
    if not deliberation.fold(subject.events).end:
        raise FailedPrecondition("running", f"task {task} has not ended")


def _require_facts(subject: Subject, kind: type[Fact]) -> None:
    for stored in subject.events:
        if not isinstance(stored.event.data, kind):
            raise InvalidInput(subject.name, f"a {stored.event.type} has no place here")


# --- artifacts -------------------------------------------------------------------------------------------------------


def named(value: object) -> Iterator[ArtifactRef]:
    """Every artifact that a fact names, however deep."""
    if isinstance(value, ArtifactRef):
        yield value
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from named(getattr(value, field))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from named(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from named(item)


def examinations(fact: Fact) -> tuple[ArtifactRef, ...]:
    """Those whose body names others."""
    return (fact.examination,) if isinstance(fact, Examined) else ()


def within(ref: ArtifactRef, body: bytes) -> tuple[ArtifactRef, ...]:
    """What an examination's body names. Raises BrokenChain when it is none."""
    try:
        return tuple(named(msgspec.json.decode(body, type=Examination)))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BrokenChain(f"artifact {ref.sha256} is no examination: {error}") from error


async def artifacts_of(found: Record, artifacts: Artifacts) -> tuple[ArtifactRef, ...]:
    """All that it names, sorted by digest. Raises NotFound when an examination is gone, BrokenChain."""
    facts = [stored.event.data for subject in found.subjects for stored in subject.events]
    refs = {ref.sha256: ref for fact in facts for ref in named(fact)}
    for ref in {r.sha256: r for fact in facts for r in examinations(fact)}.values():
        refs |= {r.sha256: r for r in within(ref, await artifacts.get(ref))}
    return tuple(refs[name] for name in sorted(refs))

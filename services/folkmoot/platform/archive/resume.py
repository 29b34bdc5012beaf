"""What has to be mended in restored streams: each was taken at a moment of its own, stories first.

So a task may be further than its story knows; and readers begin anew, which their handlers bear. What the story's log
does not know as released has not happened: it is released again. A deliberation that had not ended is asked for again.
"""

import msgspec

from folkmoot.kernel import subjects
from folkmoot.kernel.facts import DeliberationEnded, DeliberationQueued, DeliberationRequested
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.platform.archive.record import released, results_of, steps_of, subject_of
from folkmoot.runtime.log.jetstream import RECORD
from folkmoot.runtime.log.keeper import Keeper


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    asked_again: tuple[TaskId, ...]
    """Tasks that had begun and not ended: they go on at the next start."""
    undone: tuple[TaskId, ...]
    """Tasks that their story released after it was taken: it releases them again."""


async def resume(keeper: Keeper) -> Resumed:
    """Over a bus that nobody else uses. Raises BrokenChain."""
    asked: list[TaskId] = []
    undone: list[TaskId] = []
    for last in await keeper.bus.log.lasts(subjects.ALL_DELIBERATIONS):
        first = (await keeper.raw(last.event.subject))[0]
        spec = _spec(last.event.subject, subject_of([first]).events[0].event.data)
        if RECORD in first.headers:
            continue  # imported: nobody acts on it
        if not await _known(keeper, spec):
            await _undo(keeper, spec.task_id)
            undone.append(spec.task_id)
        elif not isinstance(last.event.data, DeliberationEnded):
            await _ask_again(keeper, spec)
            asked.append(spec.task_id)
    return Resumed(asked_again=tuple(asked), undone=tuple(undone))


def _spec(subject: str, fact: object) -> TaskSpec:
    assert isinstance(fact, DeliberationRequested), f"{subject} does not begin with its request"
    return fact.spec


async def _known(keeper: Keeper, spec: TaskSpec) -> bool:
    """A task of no story is nobody's but its own. One that goes on with another's candidates was released by nobody:
    its story hears of it by its own log."""
    if not spec.story_id or spec.continues:
        return True
    told = await keeper.raw(subjects.story(StoryId(spec.story_id)))
    return bool(told) and spec.task_id in released(subject_of(told).events)


async def _ask_again(keeper: Keeper, spec: TaskSpec) -> None:
    """Unless its request is still in the queue."""
    subject = subjects.request(spec.task_id)
    if not await keeper.names(subject):
        await keeper.bus.queues.put(subject, DeliberationQueued(spec=spec), key=f"{spec.task_id}/restored")


async def _undo(keeper: Keeper, task: TaskId) -> None:
    for pattern in (steps_of(task), results_of(task), subjects.deliberation(task), subjects.request(task)):
        for subject in await keeper.names(pattern):
            await keeper.erase(await keeper.raw(subject))

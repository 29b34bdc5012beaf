"""The course of a plan: its tasks in an order in which they may run, and the merges between them. Pure.

A task that builds on several others that do not build on each other starts from their merge, which is a task of its
own; so is the merge of everything at the end. All of this is known when the plan is. Logs hold what was released by
this rule: another rule about which merges a plan gets, or about their ids, needs another kind of plan.
"""

from collections.abc import Iterable, Sequence

import msgspec

from folkmoot.kernel import ids
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.plan import MAX_PATHS, Plan, PlannedTask, ancestors, united
from folkmoot.kernel.task import MAX_TITLE_CHARS, Role, TaskKind

MERGE_TEXT_CHARS = 8_000
"""What merged tasks were to do; each gets an equal share."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One task on the way."""

    task_id: TaskId
    task: PlannedTask
    kind: TaskKind = TaskKind.CHANGE
    starts_from: tuple[TaskId, ...] = ()
    """Tasks whose commits it starts from; several only where it merges them. None: the story's base."""
    depends_on: tuple[TaskId, ...] = ()
    """All that it builds on by the plan, and the merge that it starts from."""
    last: bool = False
    """Its commit has everything: it is the story's result."""


def task_id(story_id: StoryId, round_: int, name: str) -> TaskId:
    """Of a planned task; another round is another task."""
    return TaskId(ids.derived("t", story_id, str(round_), name))


def identified(plan: Plan, story_id: StoryId, round_: int) -> Plan:
    """`plan` with the ids of its tasks."""
    return msgspec.structs.replace(plan, ids={t.name: task_id(story_id, round_, t.name) for t in plan.tasks})


def course(plan: Plan, story_id: StoryId, round_: int) -> tuple[Step, ...]:
    """`plan` has ids and is sound. Merges stand right before what needs them, the one of everything last."""
    return _Course(plan, story_id, round_).steps()


class _Course:
    def __init__(self, plan: Plan, story_id: StoryId, round_: int) -> None:
        self._ids = plan.ids
        self._before = ancestors(plan)
        self._tasks = {task.name: task for task in plan.tasks}
        self._seed = (story_id, str(round_))
        self._steps: list[Step] = []
        self._merges: dict[tuple[str, ...], TaskId] = {}

    def steps(self) -> tuple[Step, ...]:
        for name in self._before:
            self._add(self._tasks[name])
        waited_for = {name for task in self._tasks.values() for name in task.after}
        end = self._start([name for name in self._tasks if name not in waited_for])
        return tuple(msgspec.structs.replace(step, last=step.task_id in end) for step in self._steps)

    def _add(self, task: PlannedTask) -> None:
        start = self._start(task.after)
        planned = tuple(self._ids[name] for name in task.after)
        step = Step(task_id=self._ids[task.name], task=task, starts_from=start, depends_on=_once(planned, start))
        self._steps.append(step)

    def _start(self, names: Iterable[str]) -> tuple[TaskId, ...]:
        """The one task that has the work of all `names`; a merge is added where there is none."""
        heads = self._heads(names)
        if len(heads) < 2:
            return tuple(self._ids[name] for name in heads)
        if heads not in self._merges:
            self._merges[heads] = self._merge(heads)
        return (self._merges[heads],)

    def _heads(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that no other of them builds on, in the plan's order."""
        wanted = frozenset(names)
        covered = frozenset[str]().union(*(self._before[name] for name in wanted))
        return tuple(name for name in self._tasks if name in wanted - covered)

    def _merge(self, heads: tuple[str, ...]) -> TaskId:
        sources = tuple(self._ids[name] for name in heads)
        ident = TaskId(ids.derived("t", *self._seed, "merge", *sorted(sources)))
        task = _joining(f"merge-{len(self._merges) + 1}", [self._tasks[name] for name in heads])
        self._steps.append(Step(task_id=ident, task=task, kind=TaskKind.MERGE, starts_from=sources, depends_on=sources))
        return ident


def _joining(name: str, tasks: Sequence[PlannedTask]) -> PlannedTask:
    roles = {task.role for task in tasks}
    share = MERGE_TEXT_CHARS // len(tasks)
    parts = "\n\n".join(f"## {task.title}\n\n{task.text[:share]}" for task in tasks)
    return PlannedTask(
        name=name,
        title=f"Merge {', '.join(task.name for task in tasks)}"[:MAX_TITLE_CHARS],
        text=f"Bring these together, so that all that each of them was to do still holds:\n\n{parts}",
        role=roles.pop() if len(roles) == 1 else Role.DEV,
        paths=united(*(task.paths for task in tasks))[:MAX_PATHS],
        checks=united(*(task.checks for task in tasks)),
        after=tuple(task.name for task in tasks),
    )


def _once(*groups: Iterable[TaskId]) -> tuple[TaskId, ...]:
    return tuple(dict.fromkeys(task for group in groups for task in group))

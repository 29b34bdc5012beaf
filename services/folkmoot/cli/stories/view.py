"""The view of a story: its tasks with their deliberations, folded from events. Pure: no terminal, no clock.

As tolerant as the view of one task: the log's own fold judges what may follow what.
"""

from datetime import datetime

import msgspec

from folkmoot.cli import lanes
from folkmoot.kernel.course import course
from folkmoot.kernel.events import Event
from folkmoot.kernel.facts import (
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryAccepted,
    StoryAssessed,
    StoryCancelled,
    StoryCarriedOver,
    StoryPlanned,
    StoryRevised,
    StorySentBack,
    StorySubmitted,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId
from folkmoot.kernel.task import TaskSpec

REJECTED = "plan rejected"
"""Between two plans."""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str
    name: str
    title: str = ""
    after: tuple[str, ...] = ()
    """Names."""
    state: str = "waiting"
    """`waiting`, `blocked`, `released`, or the deliberation's last."""
    commit: str = ""
    reason: str = ""
    view: lanes.View = lanes.View()


class StoryView(msgspec.Struct, frozen=True, kw_only=True):
    story_id: str = ""
    title: str = ""
    state: str = "submitted"
    round: int = 0
    """Of approved plans."""
    score: str = ""
    """The coach's, as `64 of 75`."""
    problem: str = ""
    tasks: tuple[TaskView, ...] = ()
    submitted_at: datetime | None = None
    seen_at: datetime | None = None

    def name(self, task_id: str) -> str:
        """The plan's for a task; empty when it has none."""
        return next((t.name for t in self.tasks if t.task_id == task_id), "")

    def name_in(self, event: Event) -> str:
        """Of the task that an event of the story is about."""
        match event.data:
            case TaskReleased(spec=spec):
                return self.name(spec.task_id)
            case TaskContinued(task_id=task_id) | TaskDecided(task_id=task_id):
                return self.name(task_id)
            case _:
                return ""


def fold(view: StoryView, event: Event) -> StoryView:
    """The view after one more event of the story."""
    seen = max(view.seen_at or event.time, event.time)
    return msgspec.structs.replace(_moved(view, event), seen_at=seen)


def fold_task(view: StoryView, task_id: str, event: Event) -> StoryView:
    """The view after one more event of one of its tasks."""
    change = msgspec.structs.replace
    tasks = tuple(change(t, view=lanes.fold(t.view, event)) if t.task_id == task_id else t for t in view.tasks)
    return change(view, tasks=tasks, seen_at=max(view.seen_at or event.time, event.time))


def _moved(view: StoryView, event: Event) -> StoryView:
    change = msgspec.structs.replace
    match event.data:
        case StorySubmitted(title=title):
            story_id = event.subject.rpartition(".")[2]
            return change(view, story_id=story_id, title=title, submitted_at=event.time)
        case StoryRevised(title=title):
            return change(view, title=title or view.title, state="submitted", problem="", score="")
        case StoryAssessed(assessment=found, threshold=threshold):
            return change(view, state="assessed", problem="", score=f"{found.score} of {threshold}")
        case StoryPlanned() as fact:
            return change(view, state="planned", problem="", tasks=_planned(view, fact))
        case StepFailed(step=step, reason=reason):
            return change(view, problem=f"{step}: {reason}")
        case PlanApproved():
            return change(view, state="approved", round=view.round + 1)
        case TaskReleased(spec=spec):
            return change(view, state="released", tasks=_released(view.tasks, spec))
        case TaskContinued() as continued:
            return change(view, state="released", tasks=_continued(view.tasks, continued))
        case TaskDecided() as decided:
            return _decided(view, decided)
        case _:
            return _ended(view, event)


def _ended(view: StoryView, event: Event) -> StoryView:
    words: dict[type, str] = {
        PlanRejected: REJECTED,
        StoryAccepted: "accepted",
        StorySentBack: "sent back",
        StoryCarriedOver: "carried over",
        StoryCancelled: "cancelled",
    }
    return msgspec.structs.replace(view, state=words.get(type(event.data), view.state))


def _planned(view: StoryView, fact: StoryPlanned) -> tuple[TaskView, ...]:
    """With the merges between them. A log that is older than plans has one task and no name for it."""
    if fact.plan is None:
        return tuple(TaskView(task_id=task_id, name="task", title=view.title) for task_id in fact.tasks)
    steps = course(fact.plan, StoryId(view.story_id), view.round + 1)
    return tuple(TaskView(task_id=s.task_id, name=s.task.name, title=s.task.title, after=s.task.after) for s in steps)


def _released(tasks: tuple[TaskView, ...], spec: TaskSpec) -> tuple[TaskView, ...]:
    if all(t.task_id != spec.task_id for t in tasks):
        tasks = (*tasks, TaskView(task_id=spec.task_id, name=f"task-{len(tasks) + 1}", title=spec.title))
    return tuple(msgspec.structs.replace(t, state="released") if t.task_id == spec.task_id else t for t in tasks)


def _continued(tasks: tuple[TaskView, ...], fact: TaskContinued) -> tuple[TaskView, ...]:
    """Another task in the same place; what it blocked waits for it."""
    change = msgspec.structs.replace
    new = {"task_id": fact.task_id, "state": "released", "commit": "", "reason": "", "view": lanes.View()}
    waiting = (change(t, state="waiting") if t.state == "blocked" else t for t in tasks)
    return _blocked(tuple(change(t, **new) if t.task_id == fact.continues else t for t in waiting))


def _decided(view: StoryView, fact: TaskDecided) -> StoryView:
    change = msgspec.structs.replace
    tasks = tuple(
        change(t, state=fact.state, commit=fact.commit or "", reason=fact.reason) if t.task_id == fact.task_id else t
        for t in view.tasks
    )
    tasks = _blocked(tasks)
    over = all(t.state not in ("waiting", "released") for t in tasks)
    return change(view, tasks=tasks, state="decided" if over else view.state)


def _blocked(tasks: tuple[TaskView, ...]) -> tuple[TaskView, ...]:
    """What builds on something that did not come about will not be released; plans have an order without cycles."""
    for _ in tasks:
        lost = {t.name for t in tasks if t.state not in ("waiting", "released") and not t.commit}
        tasks = tuple(
            msgspec.structs.replace(t, state="blocked") if t.state == "waiting" and lost & {*t.after} else t
            for t in tasks
        )
    return tasks

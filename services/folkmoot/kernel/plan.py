"""What the coach and the planner say of a story: values, and what makes a plan sound. Pure."""

import graphlib
import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from folkmoot.kernel import ids
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import MAX_CHECKS, MAX_TITLE_CHARS, Rigor, Role, TaskKind, TaskSpec, validated

MAX_TASKS = 20
MAX_PATHS = 50
"""Of one task; somebody who writes more names folders."""
MAX_PATH_CHARS = 500
MAX_SUMMARY_CHARS = 2_000
MAX_PLAN_BYTES = 44 * 1024
"""As JSON: a plan stands in one event, with room for the story's text beside it where it was submitted with one."""

THRESHOLD = {Rigor.L0: 50, Rigor.L1: 75, Rigor.L2: 85, Rigor.L3: 90}
"""The least score with which a model's plan is made for a story of that rigor."""

_MERGE_NAME = re.compile(r"merge-[0-9]+")
_GLOB = frozenset("*?[")


class Planning(StrEnum):
    """How a story becomes tasks."""

    SINGLE = "single"
    """It is one task; no model is asked."""
    MODEL = "model"
    """The coach assesses it, the planner plans it."""
    GIVEN = "given"
    """Its plan was submitted with it; no model is asked."""


class Superseded(msgspec.Struct, frozen=True, kw_only=True):
    """A test of base that the coach takes to be wrong once the story is done. It gates until a person confirms it."""

    test: str
    why: str


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The coach's view of a story; scores are from 0 to 100."""

    clarity: int
    """How clearly it says what is wanted."""
    testability: int
    """How well somebody could tell that it is done."""
    size: int
    """100: one sitting; 0: far too much for one story."""
    score: int
    """As a whole; compared with the rigor's threshold."""
    summary: str
    missing_checks: tuple[str, ...] = ()
    """Commands or facts that would show that it is done."""
    questions: tuple[str, ...] = ()
    """To the product owner."""
    superseded: tuple[Superseded, ...] = ()


class PlannedTask(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """A token, unique in its plan."""
    title: str
    text: str
    role: Role = Role.DEV
    council: str = ""
    paths: tuple[str, ...] = ()
    """Files and folders (with a `/` at the end) that it will write, relative to the repository's root."""
    checks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Names of the tasks whose results it builds on."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    tasks: tuple[PlannedTask, ...]
    summary: str = ""
    ids: dict[str, TaskId] = {}
    """Task ids by name; filled in by planning."""


# --- what makes a plan sound --------------------------------------------------------------------------------------


def sound(plan: Plan, inherited: TaskSpec) -> Plan:
    """`plan`, if it can be carried out by tasks that take everything else from `inherited`, the story as one task.

    Raises InvalidInput naming the first field that is wrong, as `plan.tasks[2].after`.
    """
    if inherited.kind is TaskKind.ANALYSIS:
        raise InvalidInput("plan", "an analysis is one task: none of its tasks would have a commit to build on")
    if not 1 <= len(plan.tasks) <= MAX_TASKS:
        raise InvalidInput("plan.tasks", f"{len(plan.tasks)} tasks; from 1 to {MAX_TASKS}")
    if len(plan.summary) > MAX_SUMMARY_CHARS:
        raise InvalidInput("plan.summary", f"{len(plan.summary)} characters; at most {MAX_SUMMARY_CHARS}")
    size = len(msgspec.json.encode(plan))
    if size > MAX_PLAN_BYTES:
        raise InvalidInput("plan", f"it takes {size} bytes; at most {MAX_PLAN_BYTES}: say less, or make two stories")
    _names(plan)
    for i, task in enumerate(plan.tasks):
        _task(f"plan.tasks[{i}]", task, inherited)
    _all_checks(plan, inherited)
    _overlaps(plan, ancestors(plan))
    return plan


def ancestors(plan: Plan) -> dict[str, frozenset[str]]:
    """By name, all that a task comes after, directly or through others; in an order in which they may run.

    Raises InvalidInput naming a task of a cycle.
    """
    after = {task.name: task.after for task in plan.tasks}
    try:
        order = tuple(graphlib.TopologicalSorter(after).static_order())
    except graphlib.CycleError as error:
        raise _cycle(plan, error.args[1]) from error
    found: dict[str, frozenset[str]] = {}
    for name in order:
        found[name] = frozenset(after[name]).union(*(found[before] for before in after[name]))
    return found


def _cycle(plan: Plan, names: list[str]) -> InvalidInput:
    """`names` begin and end with the same one; each comes before the next."""
    index = next(i for i, task in enumerate(plan.tasks) if task.name == names[-1])
    circle = " after ".join(reversed(names))
    return InvalidInput(f"plan.tasks[{index}].after", f"is a cycle: {circle}")


def _names(plan: Plan) -> None:
    known: set[str] = set()
    for i, task in enumerate(plan.tasks):
        field = f"plan.tasks[{i}].name"
        ids.token(task.name, field)
        if _MERGE_NAME.fullmatch(task.name):
            raise InvalidInput(field, f"{task.name!r} is a name that merge tasks get")
        if task.name in known:
            raise InvalidInput(field, f"{task.name!r} is the name of an earlier task")
        known.add(task.name)
    for i, task in enumerate(plan.tasks):
        _after(f"plan.tasks[{i}].after", task, known)


def _after(field: str, task: PlannedTask, known: set[str]) -> None:
    for name in task.after:
        if name not in known:
            raise InvalidInput(field, f"there is no task {name[:80]!r} in the plan; it has {', '.join(sorted(known))}")
    if len(set(task.after)) < len(task.after):
        raise InvalidInput(field, "names a task twice")


def _task(field: str, task: PlannedTask, inherited: TaskSpec) -> None:
    """The story's own checks count along: its last task has to pass them too."""
    if len(task.paths) > MAX_PATHS:
        raise InvalidInput(f"{field}.paths", f"{len(task.paths)} paths; at most {MAX_PATHS}: name folders")
    for n, path in enumerate(task.paths):
        _path(f"{field}.paths[{n}]", path)
    if task.council:
        ids.token(task.council, f"{field}.council")
    alone = msgspec.structs.replace(inherited, title=task.title, text=task.text, paths=task.paths)
    try:
        validated(msgspec.structs.replace(alone, checks=united(task.checks, inherited.checks)))
    except InvalidInput as error:
        raise InvalidInput(f"{field}.{error.field}", error.problem) from error


def _path(field: str, path: str) -> None:
    """Relative and plain, so that equal places have equal names."""
    if not path.strip() or len(path) > MAX_PATH_CHARS or not path.isprintable():
        raise InvalidInput(field, f"{path[:80]!r}: from 1 to {MAX_PATH_CHARS} printable characters")
    if path.startswith(("/", "~")) or "\\" in path:
        raise InvalidInput(field, f"{path!r} is not relative to the repository's root, with `/` between its parts")
    if _GLOB & set(path):
        raise InvalidInput(field, f"{path!r} is a pattern: name files, and folders with a `/` at the end")
    if {"", ".", ".."} & set(path.removesuffix("/").split("/")):
        raise InvalidInput(field, f"{path!r} has an empty part, `.` or `..` in it")


def _all_checks(plan: Plan, inherited: TaskSpec) -> None:
    """A merge of everything has to pass them all, and to fit into its event."""
    checks = united(inherited.checks, *(task.checks for task in plan.tasks))
    if len(checks) > MAX_CHECKS:
        raise InvalidInput("plan.tasks", f"{len(checks)} different checks, the story's included; at most {MAX_CHECKS}")
    paths = united(*(task.paths for task in plan.tasks))[:MAX_PATHS]
    merge = msgspec.structs.replace(inherited, title="x" * MAX_TITLE_CHARS, text="merge", checks=checks, paths=paths)
    try:
        validated(merge)
    except InvalidInput as error:
        raise InvalidInput("plan.tasks", f"all checks and paths together: {error.problem}") from error


def _overlaps(plan: Plan, before: dict[str, frozenset[str]]) -> None:
    for i, task in enumerate(plan.tasks):
        for other in plan.tasks[:i]:
            if other.name in before[task.name] or task.name in before[other.name]:
                continue
            if path := overlap(task.paths, other.paths):
                raise InvalidInput(
                    f"plan.tasks[{i}].paths",
                    f"{path!r} is written by {other.name!r} too, and neither comes after the other: say `after`",
                )


def overlap(paths: Iterable[str], others: Iterable[str]) -> str:
    """The first of `paths` that one of `others` covers, or that covers one; empty when they keep apart."""
    folders = [_as_folder(other) for other in others]
    for path in paths:
        mine = _as_folder(path)
        if any(mine.startswith(other) or other.startswith(mine) for other in folders):
            return path
    return ""


def _as_folder(path: str) -> str:
    """With a `/` at the end, so that `a` is no beginning of `ab`."""
    return path.removesuffix("/") + "/"


def united(*groups: Iterable[str]) -> tuple[str, ...]:
    """All of them once, in order."""
    return tuple(dict.fromkeys(item for group in groups for item in group))

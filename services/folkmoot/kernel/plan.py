"""What the coach and the planner say of a story: values, and what makes a plan sound. Pure."""

from enum import StrEnum

import msgspec

from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import Role


class Planning(StrEnum):
    """How a story becomes tasks."""

    SINGLE = "single"
    """It is one task; no model is asked."""
    MODEL = "model"
    """The coach assesses it, the planner plans it."""
    GIVEN = "given"
    """Its plan was submitted with it; no model is asked."""


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

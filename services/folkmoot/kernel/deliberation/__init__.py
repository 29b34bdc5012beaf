"""The fold of one deliberation, and what is still to be done in it.

Pure, so that any orchestrator that takes a task over sees exactly what its predecessor saw. The owner loops: fold,
ask `pending`, `exhausted` and `missing`, do one of them, append, `apply`; when nothing is left, `protocol` says which
stage comes next. Writers call `refusal` before they append: a fact that it objects to must not be written, because
every later fold would stop there.
"""

from folkmoot.kernel.deliberation.answer import answer, branch, progress
from folkmoot.kernel.deliberation.fold import apply, begin, fold
from folkmoot.kernel.deliberation.guards import refusal
from folkmoot.kernel.deliberation.state import BASE, LINT, LINTED, NO_MARKERS, TESTS, Attempts, Deliberation, works
from folkmoot.kernel.deliberation.wanted import Due, Wanted, checks, exhausted, missing, pending, ready, sides

__all__ = [
    "BASE",
    "LINT",
    "LINTED",
    "NO_MARKERS",
    "TESTS",
    "Attempts",
    "Deliberation",
    "Due",
    "Wanted",
    "answer",
    "apply",
    "begin",
    "branch",
    "checks",
    "exhausted",
    "fold",
    "missing",
    "pending",
    "progress",
    "ready",
    "refusal",
    "sides",
    "works",
]

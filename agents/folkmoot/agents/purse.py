"""What all agents of a task have used together, as their steps tell: known to each while it runs."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from folkmoot.agents.assignment import Assignment
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.facts import StepTaken
from folkmoot.kernel.result import Usage
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.port import Log

log = logging.getLogger(__name__)


class Purse:
    """Of one run. Its own calls are counted at once, those of others when their steps arrive."""

    def __init__(self, assignment: Assignment) -> None:
        self._mine = (assignment.agent_id, assignment.attempt)
        self._before = assignment.used
        self._own = Usage()
        self._others = Usage()

    @property
    def used(self) -> Usage:
        """By the task. Steps are kept for a while only; what the log knew at the start is not forgotten with them."""
        known, seen = self._before.plus(self._own), self._others.plus(self._own)
        return max(known, seen, key=lambda usage: (usage.prompt_tokens + usage.completion_tokens, usage.model_calls))

    def spend(self, usage: Usage) -> None:
        """By a call of this run."""
        self._own = self._own.plus(usage)

    def saw(self, step: StepTaken) -> None:
        if (step.agent_id, step.attempt) != self._mine:
            self._others = self._others.plus(step.usage)


@asynccontextmanager
async def shared(assignment: Assignment, steps: Log) -> AsyncIterator[Purse]:
    """Follows the others for as long as the block runs, where the task has limits of its own."""
    purse = Purse(assignment)
    if assignment.total is None:
        yield purse
        return
    async with beside(_follow(purse, assignment, steps), name=f"purse {assignment.agent_id}"):
        yield purse


async def _follow(purse: Purse, assignment: Assignment, steps: Log) -> None:
    try:
        async with aclosing(steps.follow(subjects.all_steps(assignment.task_id))) as events:
            async for stored in events:
                if isinstance(stored.event.data, StepTaken):
                    purse.saw(stored.event.data)
    except FolkmootError as error:
        words = "what others use is not seen by %s: %s"
        log.warning(words, assignment.agent_id, error, extra={"action": "no-purse"})

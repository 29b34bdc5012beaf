"""Which tests a repository has, as far as the log knows: what the newest examination of a base found there."""

from contextlib import aclosing
from typing import Protocol

import msgspec

from folkmoot.kernel import subjects
from folkmoot.kernel.deliberation import BASE, TESTS
from folkmoot.kernel.errors import BrokenChain, InvalidInput, NotFound
from folkmoot.kernel.evidence import ArtifactRef, Examination, SuiteKind
from folkmoot.kernel.facts import Examined as Run
from folkmoot.kernel.facts import StorySubmitted, TaskDecided
from folkmoot.kernel.ids import TaskId
from folkmoot.runtime.log.port import Artifacts, Log
from folkmoot.runtime.supervise import patiently

STORIES = 50
"""The newest, among which one of the repository is looked for."""


class BaseTests(Protocol):
    async def known(self, repository: str) -> frozenset[str]:
        """Ids, as results name them; empty where nothing is known."""
        ...


class Examined:
    """Of the task that was decided last in the repository, in any story. Its base may be older than today's."""

    def __init__(self, log: Log, artifacts: Artifacts) -> None:
        self._log = log
        self._artifacts = artifacts

    async def known(self, repository: str) -> frozenset[str]:
        lasts = await patiently(lambda: self._log.lasts(subjects.ALL_STORIES))
        for last in sorted(lasts, key=lambda stored: -stored.seq)[:STORIES]:
            for task in await self._decided(last.event.subject, repository):
                if found := await self._tests_of(task):
                    return found
        return frozenset()

    async def _decided(self, story: str, repository: str) -> list[TaskId]:
        """The newest first; none of a story of another repository, or one that cannot be read."""
        try:
            facts = [s.event.data for s in await patiently(lambda: self._log.read(story))]
        except (BrokenChain, InvalidInput):
            return []
        if not facts or not isinstance(facts[0], StorySubmitted) or facts[0].repository != repository:
            return []
        return [fact.task_id for fact in reversed(facts) if isinstance(fact, TaskDecided)]

    async def _tests_of(self, task: TaskId) -> frozenset[str]:
        async with aclosing(self._log.follow(subjects.deliberation(task), once=True)) as events:
            async for stored in events:
                run = stored.event.data
                if isinstance(run, Run) and (run.subject, run.kind, run.name) == (BASE, SuiteKind.TESTS, TESTS):
                    return await self._ids(run.examination)
        return frozenset()

    async def _ids(self, ref: ArtifactRef) -> frozenset[str]:
        try:
            body = await patiently(lambda: self._artifacts.get(ref))
            return frozenset(msgspec.json.decode(body, type=Examination).tests)
        except (NotFound, BrokenChain, msgspec.MsgspecError):
            return frozenset()

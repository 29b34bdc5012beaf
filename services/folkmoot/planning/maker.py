"""Makes the facts that need more than the log: assessments and plans. What it cannot make is a fact too."""

import asyncio
import logging

from folkmoot.agents.structured import Model, Unusable
from folkmoot.kernel.due import Ask, planned, single
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import StepFailed, StoryPlanned
from folkmoot.kernel.ids import CommitId
from folkmoot.kernel.lifecycle import Story, StoryState
from folkmoot.kernel.plan import Plan, Planning, sound
from folkmoot.kernel.result import Usage
from folkmoot.kernel.wishes import inherited
from folkmoot.planning import coach, planner
from folkmoot.planning.basetests import BaseTests
from folkmoot.planning.repository import Outline, Repositories
from folkmoot.runtime.settings import ModelSettings
from folkmoot.runtime.supervise import patiently

REASON_CHARS = 2_000
STEP_S = 3_600.0
"""A story may say less (`budget.wall_s`). Few are made at once: an answer without an end would hold up the others."""

log = logging.getLogger(__name__)


class Maker:
    """Asks models and the runner. Holds nothing of any story."""

    def __init__(
        self,
        model: Model,
        repositories: Repositories,
        tests: BaseTests,
        configured: ModelSettings,
        *,
        repairs: int,
    ) -> None:
        self._model = model
        self._repositories = repositories
        self._tests = tests
        self._configured = configured
        self._repairs = repairs

    async def made(self, ask: Ask, story: Story, *, actor: str = "") -> Fact:
        """What came of the step; StepFailed with the reason when nothing did."""
        limit = min(story.submitted.budget.wall_s, STEP_S)
        try:
            async with asyncio.timeout(limit):
                return await (self._assessed(story, actor) if ask is Ask.ASSESS else self._planned(story, actor))
        except TimeoutError:
            return StepFailed(step=ask, reason=f"wall time limit: {limit:g} s are over")
        except FolkmootError as error:
            log.warning("story %s: %s failed: %s", story.story_id, ask, error)
            usage = error.usage if isinstance(error, Unusable) else Usage()
            return StepFailed(step=ask, reason=str(error)[:REASON_CHARS], usage=usage)

    async def edited(self, story: Story, plan: Plan, *, actor: str) -> StoryPlanned:
        """`plan` as a person gave it. Raises InvalidInput naming its field, and as the runner does."""
        sound(plan, inherited(story))
        return planned(story, plan, how="edited", actor=actor, base=await self._base(story))

    async def _assessed(self, story: Story, actor: str) -> Fact:
        return await coach.assess(
            story,
            await self._tests.known(story.submitted.repository),
            model=self._model,
            configured=self._configured,
            repairs=self._repairs,
            actor=actor or "coach",
        )

    async def _planned(self, story: Story, actor: str) -> Fact:
        given = story.submitted.plan
        match story.submitted.planning:
            case Planning.SINGLE:
                return single(story)
            case Planning.GIVEN if given is not None:
                sound(given, inherited(story))
                base = await self._base(story)
                return planned(story, given, how=Planning.GIVEN, actor=actor or story.submitted.actor, base=base)
        return await planner.derive(
            story,
            await self._outline(story),
            model=self._model,
            configured=self._configured,
            repairs=self._repairs,
            actor=actor or "planner",
        )

    async def _base(self, story: Story) -> CommitId:
        """An edited plan keeps the base of the one that it replaces."""
        known = story.planned.base if story.planned and story.state is StoryState.PLANNED else None
        return known or (await self._outline(story)).commit

    async def _outline(self, story: Story) -> Outline:
        told = story.submitted
        return await patiently(lambda: self._repositories.outline(told.repository, told.base_ref))

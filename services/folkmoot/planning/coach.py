"""The coach: says how ready a story is."""

from typing import Annotated

import msgspec

from folkmoot.agents.prompts import filled
from folkmoot.agents.structured import Model, Question, ask
from folkmoot.kernel.facts import StoryAssessed
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.plan import THRESHOLD, Assessment
from folkmoot.planning.asking import endpoint, of_story
from folkmoot.runtime.settings import ModelSettings

MAX_POINTS = 12
"""Questions, and missing checks, that are kept: an assessment is one event."""
POINT_CHARS = 300
SUMMARY_CHARS = 2_000

Score = Annotated[int, msgspec.Meta(ge=0, le=100)]


class AssessmentForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the model fills it in."""

    summary: str
    clarity: Score
    testability: Score
    size: Score
    score: Score
    missing_checks: list[str]
    questions: list[str]


async def assess(
    story: Story, *, model: Model, configured: ModelSettings, repairs: int, actor: str = "coach"
) -> StoryAssessed:
    """Raises InvalidInput without a model, ModelError, Unusable."""
    place = endpoint(story.submitted.model, configured)
    answer = await ask(model, place, _question(story), repairs=repairs)
    threshold = THRESHOLD[story.submitted.rigor]
    return StoryAssessed(
        actor=actor,
        assessment=answer.value,
        threshold=threshold,
        model=place.name,
        repairs=answer.repairs,
        usage=answer.usage,
    )


def _question(story: Story) -> Question[Assessment]:
    system = filled("assess", {"threshold": str(THRESHOLD[story.submitted.rigor])})
    return Question(
        name="assessment",
        phase="assess",
        user=f"{story.story_id}/coach",
        messages=(
            {"role": "system", "content": system},
            {"role": "user", "content": "\n".join(filter(None, of_story(story)))},
        ),
        form=AssessmentForm,
        accept=_accept,
    )


def _accept(form: AssessmentForm) -> Assessment:
    return Assessment(
        clarity=form.clarity,
        testability=form.testability,
        size=form.size,
        score=form.score,
        summary=form.summary[:SUMMARY_CHARS],
        missing_checks=_points(form.missing_checks),
        questions=_points(form.questions),
    )


def _points(texts: list[str]) -> tuple[str, ...]:
    return tuple(text[:POINT_CHARS] for text in texts if text.strip())[:MAX_POINTS]

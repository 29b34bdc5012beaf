"""The coach: says how ready a story is."""

from typing import Annotated

import msgspec

from folkmoot.agents.prompts import filled
from folkmoot.agents.structured import Model, Question, ask
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import StoryAssessed
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.plan import THRESHOLD, Assessment, Superseded
from folkmoot.kernel.task import MAX_TEST_CHARS
from folkmoot.planning.asking import endpoint, of_story, section
from folkmoot.runtime.settings import ModelSettings

MAX_POINTS = 12
"""Questions, and missing checks, that are kept: an assessment is one event."""
POINT_CHARS = 300
SUMMARY_CHARS = 2_000
WHY_CHARS = 200
"""Of a superseded test."""
TESTS_CHARS = 20_000
"""Of the list of base's tests that the coach is shown."""

Score = Annotated[int, msgspec.Meta(ge=0, le=100)]


class SupersededForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    test: str
    why: str


class AssessmentForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the model fills it in."""

    summary: str
    clarity: Score
    testability: Score
    size: Score
    score: Score
    missing_checks: list[str]
    questions: list[str]
    superseded: list[SupersededForm] = []
    """Asked for by the schema; an answer without it names none."""


async def assess(
    story: Story,
    tests: frozenset[str],
    *,
    model: Model,
    configured: ModelSettings,
    repairs: int,
    actor: str = "coach",
) -> StoryAssessed:
    """`tests` are base's, as far as they are known. Raises InvalidInput without a model, ModelError, Unusable."""
    place = endpoint(story.submitted.model, configured)
    answer = await ask(model, place, _question(story, tests), repairs=repairs)
    threshold = THRESHOLD[story.submitted.rigor]
    return StoryAssessed(
        actor=actor,
        assessment=answer.value,
        threshold=threshold,
        model=place.name,
        repairs=answer.repairs,
        usage=answer.usage,
    )


def _question(story: Story, tests: frozenset[str]) -> Question[Assessment]:
    system = filled("assess", {"threshold": str(THRESHOLD[story.submitted.rigor])})
    return Question(
        name="assessment",
        phase="assess",
        user=f"{story.story_id}/coach",
        messages=(
            {"role": "system", "content": system},
            {"role": "user", "content": "\n".join(filter(None, [*of_story(story), _listed(tests)]))},
        ),
        form=AssessmentForm,
        accept=lambda form: _accepted(form, tests),
    )


def _listed(tests: frozenset[str]) -> str:
    names = "\n".join(sorted(tests))
    return section("Tests of base" + (" (not all of them)" if len(names) > TESTS_CHARS else ""), names[:TESTS_CHARS])


def _accepted(form: AssessmentForm, tests: frozenset[str]) -> Assessment:
    """Raises InvalidInput for a test that base does not have, where its tests are known."""
    for i, said in enumerate(form.superseded):
        if (tests and said.test not in tests) or not 0 < len(said.test.strip()) <= MAX_TEST_CHARS:
            raise InvalidInput(f"assessment.superseded[{i}].test", f"{said.test[:200]!r} is none of base's tests")
    return Assessment(
        clarity=form.clarity,
        testability=form.testability,
        size=form.size,
        score=form.score,
        summary=form.summary[:SUMMARY_CHARS],
        missing_checks=_points(form.missing_checks),
        questions=_points(form.questions),
        superseded=tuple(Superseded(test=s.test, why=s.why[:WHY_CHARS]) for s in form.superseded)[:MAX_POINTS],
    )


def _points(texts: list[str]) -> tuple[str, ...]:
    return tuple(text[:POINT_CHARS] for text in texts if text.strip())[:MAX_POINTS]

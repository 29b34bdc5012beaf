"""The planner: turns a story into a plan of tasks."""

import msgspec

from folkmoot.agents.prompts import filled
from folkmoot.agents.structured import Model, Question, ask
from folkmoot.kernel.due import planned
from folkmoot.kernel.facts import StoryPlanned
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.plan import MAX_TASKS, Plan, PlannedTask, Planning, sound
from folkmoot.kernel.task import Role
from folkmoot.kernel.wishes import inherited
from folkmoot.planning.asking import endpoint, of_story, section
from folkmoot.planning.repository import Outline
from folkmoot.runtime.settings import ModelSettings

FILES_CHARS = 40_000
"""Of the list of files that the planner is shown."""


class TaskForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the model fills it in."""

    name: str
    title: str
    text: str
    role: Role
    paths: list[str]
    checks: list[str]
    after: list[str]


class PlanForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    summary: str
    tasks: list[TaskForm]


async def derive(
    story: Story, outline: Outline, *, model: Model, configured: ModelSettings, repairs: int, actor: str = "planner"
) -> StoryPlanned:
    """Raises InvalidInput without a model, ModelError, Unusable."""
    place = endpoint(story.submitted.model, configured)
    answer = await ask(model, place, _question(story, outline), repairs=repairs)
    return planned(
        story,
        answer.value,
        how=Planning.MODEL,
        actor=actor,
        base=outline.commit,
        model=place.name,
        repairs=answer.repairs,
        usage=answer.usage,
    )


def _question(story: Story, outline: Outline) -> Question[Plan]:
    shown = [*of_story(story), *_of_repository(outline)]
    return Question(
        name="plan",
        phase="plan",
        user=f"{story.story_id}/planner",
        messages=(
            {"role": "system", "content": filled("plan", {"max_tasks": str(MAX_TASKS)})},
            {"role": "user", "content": "\n".join(filter(None, shown))},
        ),
        form=PlanForm,
        accept=lambda form: sound(_plan(form), inherited(story)),
    )


def _of_repository(outline: Outline) -> list[str]:
    files = "\n".join(outline.files)
    cut = outline.truncated or len(files) > FILES_CHARS
    return [
        section("Files of the repository" + (" (not all of them)" if cut else ""), files[:FILES_CHARS]),
        section("Beginning of its README", outline.readme),
    ]


def _plan(form: PlanForm) -> Plan:
    return Plan(tasks=tuple(_task(task) for task in form.tasks), summary=form.summary)


def _task(form: TaskForm) -> PlannedTask:
    return PlannedTask(
        name=form.name,
        title=form.title,
        text=form.text,
        role=form.role,
        paths=tuple(form.paths),
        checks=tuple(form.checks),
        after=tuple(form.after),
    )

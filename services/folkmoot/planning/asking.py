"""What coach and planner have in common: whom they ask, and how a stranger's words are shown to a model. No I/O."""

import re

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.kernel.due import told
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.lifecycle import Story
from folkmoot.kernel.task import ModelChoice
from folkmoot.runtime.settings import ModelSettings

_TICKS = re.compile("`{3,}")


def endpoint(choice: ModelChoice, configured: ModelSettings) -> ModelEndpoint:
    """The story's own model, else the configured one; the key goes to the configured URL only.

    Raises InvalidInput that says how to name one.
    """
    url, name = choice.url or configured.url, choice.name or configured.name
    if not url:
        raise InvalidInput("model_url", "none given and none configured: set FOLKMOOT_MODEL_URL, or pass one")
    if not name:
        raise InvalidInput("model", "none given and none configured: set FOLKMOOT_MODEL_NAME, or pass one")
    return ModelEndpoint(url=url, name=name, api_key=configured.api_key if url == configured.url else "")


def section(heading: str, text: str) -> str:
    """A stranger's words, between fences that they cannot close; empty when there are none."""
    if not text.strip():
        return ""
    fence = max((*_TICKS.findall(text), "``"), key=len) + "`"
    return f"# {heading}\n\n{fence}\n{text}\n{fence}\n"


def of_story(story: Story) -> list[str]:
    """What both are shown first."""
    return [
        section("Title of the story", story.title),
        section("Story", story.text),
        section("Checks of the story", "\n".join(story.checks)) or "# Checks of the story\n\nnone are given\n",
        section("What people said of earlier tries", told(story)),
    ]

"""Commands about a task take a story's id too: it stands for the task that the story's result came from."""

from folkmoot.cli.client import Client
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.stories import words
from folkmoot.cli.stories.values import is_story
from folkmoot.kernel.errors import InvalidInput


def require_task(name: str, instead: str) -> None:
    """Raises InvalidInput that says `instead` when the id is a story's."""
    if is_story(name):
        raise InvalidInput("TASK", f"{name} is a story: use `{instead} {name}`")


async def task_of(client: Client, name: str) -> str:
    """A task's id as it is. Raises Stopped when the story has no result (yet), with the code that it stands for."""
    if not is_story(name):
        return name
    story = await client.stories.get(name)
    if story.result_task_id:
        return story.result_task_id
    code = words.code_of(story, await client.stories.tasks(name))
    standing = words.standing(story)
    raise Stopped(code or Code.USAGE, f"story {name} has no result: {standing}", f"`moot story show {name}` says more")

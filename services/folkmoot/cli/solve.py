"""`moot solve` and `moot demo`: from a wish to a decision."""

import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.cli import connect, repository
from folkmoot.cli.client import Answer, Client, connected
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.fleet.values import Limits, limits_to_wire
from folkmoot.cli.follow import follow_or_cancel, interruptible
from folkmoot.cli.output import say
from folkmoot.cli.person import person
from folkmoot.cli.report import report
from folkmoot.cli.screen import progress
from folkmoot.cli.text import headline
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import MAX_TEXT_CHARS, ModelChoice
from folkmoot.platform import place
from folkmoot.runtime import settings as configuration
from folkmoot.runtime.grpc.results import spec_from_wire
from folkmoot.runtime.settings import ModelSettings, Settings

NO_MODEL_HINT = (
    "give --model-url URL --model NAME of any OpenAI-compatible server (in a story's file `model_url` and `model`), or "
    "set FOLKMOOT_MODEL_URL and FOLKMOOT_MODEL_NAME, or write them into folkmoot.toml in the data folder; `moot demo` "
    "needs no model"
)

NOT_ASKED = TaskId("t-0")
"""What is wrong with a wish is said before a platform is started for it."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `moot solve`, as they were given."""

    text: str
    title: str = ""
    repo: str = "."
    base: str = ""
    checks: tuple[str, ...] = ()
    agents: int = 0
    rigor: str = ""
    workspace: str = ""
    model_url: str = ""
    model: str = ""
    superseded: tuple[str, ...] = ()
    max_agents: int = 0
    total: Limits | None = None
    """Of the whole task."""
    analysis: bool = False
    """It is to end in a document, and in no commit."""


def total(tokens: int, cost_usd: float, wall_s: float) -> Limits | None:
    """0 is no limit."""
    given = Limits(tokens=tokens or None, cost_usd=cost_usd or None, wall_s=wall_s or None)
    return given if given != Limits() else None


async def solve(wish: Wish, *, as_json: bool) -> Code:
    text = read_text(wish.text)
    located = repository.located(wish.repo)
    repository.require_commit(located, wish.base)
    if changed := repository.uncommitted(located):
        say(f"! {changed} uncommitted change{'s' if changed > 1 else ''} in {located} will not be seen")
    settings = configuration.load()
    complete = msgspec.structs.replace(wish, text=text, repo=located, title=wish.title or headline(text))
    spec_from_wire(to_task(complete), NOT_ASKED, backend=complete.workspace or settings.runner.backend)
    with interruptible():
        async with _platform(settings, complete) as (target, final), connected(target) as client:
            return await report(client, await ask(client, final), as_json=as_json)


@asynccontextmanager
async def _platform(settings: Settings, wish: Wish) -> AsyncIterator[tuple[connect.Target, Wish]]:
    """The platform that is up, else one of our own until the block ends; and the wish with its model's name."""
    if target := connect.running(settings):
        yield target, await named(wish, target.model, settings.model) if target.model else wish
        return
    chosen = with_model(settings, wish)
    complete = await named(wish, ModelChoice(url=chosen.model.url, name=chosen.model.name), chosen.model)
    async with _own(chosen, None) as target:
        yield target, complete


async def named(wish: Wish, configured: ModelChoice, known: ModelSettings) -> Wish:
    """The wish with a model's name, the only one at its URL if nobody says one. Raises Stopped with how to have one.

    `known` lends its key, to its own URL only.
    """
    url, name = wish.model_url or configured.url, wish.model or configured.name
    if not url:
        raise Stopped(Code.USAGE, "no model is configured", NO_MODEL_HINT)
    if name:
        return wish
    from folkmoot.cli.models import only

    return msgspec.structs.replace(wish, model=await only(url, key_for(url, known)))


@asynccontextmanager
async def _own(settings: Settings, script: Path | None) -> AsyncIterator[connect.Target]:
    from folkmoot.platform import embedded

    async with embedded.running(settings, rehearsal_script=script, on_event=say) as info:
        yield connect.target_of(info)


def key_for(url: str, model: ModelSettings) -> str:
    """The key in the settings belongs to the URL in the settings; without one there, to the URL that is given."""
    return model.api_key if model.url in ("", url) else ""


def with_model(settings: Settings, wish: Wish) -> Settings:
    """Our own platform's model is the one asked for."""
    model = settings.model
    if wish.model_url and wish.model_url != model.url:
        model = msgspec.structs.replace(model, url=wish.model_url, api_key=key_for(wish.model_url, model))
    if wish.model:
        model = msgspec.structs.replace(model, name=wish.model)
    runner = msgspec.structs.replace(settings.runner, backend=_backend(wish, settings))
    return msgspec.structs.replace(settings, model=model, runner=runner)


def _backend(wish: Wish, settings: Settings) -> Literal["local", "kubernetes"]:
    """Our own platform's workspaces are where they are asked for."""
    return "kubernetes" if (wish.workspace or settings.runner.backend) == "kubernetes" else "local"


async def ask(client: Client, wish: Wish) -> Answer:
    """Submit the wish as a story and follow its one task to the end."""
    story = await client.create_story(to_task(wish), key=f"cli-{uuid.uuid4()}", actor=person())
    task_id = story.task_ids[0]
    say(f"Story {story.story_id}, task {task_id}")
    with progress() as screen:
        return await follow_or_cancel(client, story.story_id, task_id, screen)


def to_task(wish: Wish) -> pb.Task:
    return pb.Task(
        title=wish.title,
        text=wish.text,
        repository=wish.repo,
        base_ref=wish.base,
        checks=wish.checks,
        agents=wish.agents,
        rigor=wish.rigor,
        model_url=wish.model_url,
        model=wish.model,
        workspace=wish.workspace,
        superseded=wish.superseded,
        max_agents=wish.max_agents,
        total=limits_to_wire(wish.total),
        kind="analysis" if wish.analysis else "",
    )


def read_text(text: str) -> str:
    """`-` is standard input. Raises InvalidInput when it is empty, too long or not UTF-8."""
    if text == "-":
        raw = sys.stdin.buffer.read(4 * MAX_TEXT_CHARS + 1)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput("TEXT", "standard input is not UTF-8") from error
    if not text.strip():
        raise InvalidInput("TEXT", "is empty: say in a sentence or more what should be different")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidInput("TEXT", f"{len(text)} characters; at most {MAX_TEXT_CHARS}")
    return text


async def demo(script: Path | None, agents: int, *, as_json: bool) -> Code:
    """A platform of its own beside the user's, with a rehearsal model, on a repository that is written anew."""
    from folkmoot.platform.demo.material import demo as material

    settings = configuration.load()
    settings = msgspec.structs.replace(settings, data=str(settings.data_folder / "demo"))
    if place.find(settings):
        raise Stopped(Code.USAGE, "a demo is up already", f"`FOLKMOOT_DATA={settings.data} moot down` stops it")
    story = material()
    with interruptible():
        async with _own(settings, script or bundled_script()) as target, connected(target) as client:
            folder = demo_repository(settings.data_folder)
            say(f"A repository with a bug: {folder}")
            wish = Wish(text=story.text, title=story.title, repo=str(folder), checks=story.checks, agents=agents)
            code = await report(client, await ask(client, wish), as_json=as_json)
    say(f"\nTo try these: export FOLKMOOT_DATA={settings.data}; cd {folder}; moot up --detach   (`moot down` ends it)")
    return code


def demo_repository(data: Path) -> Path:
    """Written anew under one name: a hundred demos take no more room than one. Raises InvalidInput, Misconfigured."""
    from folkmoot.platform.demo.material import demo as material
    from folkmoot.platform.demo.material import write_repository

    folder = data / material().name
    shutil.rmtree(folder, ignore_errors=True)
    write_repository(folder)
    return folder


def bundled_script() -> Path:
    """The rehearsal of the demo, as it comes with Folkmoot."""
    return Path(str(resources.files("folkmoot.rehearsal") / "scripts" / "demo.yaml"))

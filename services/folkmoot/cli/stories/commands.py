"""What each command about stories and plans does, once its arguments are known."""

import sys
import uuid
from collections.abc import Awaitable, Callable

import msgspec

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli import connect, documents
from folkmoot.cli.client import Client, connected
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.commands import platform
from folkmoot.cli.output import emit, say
from folkmoot.cli.person import person
from folkmoot.cli.screen import console
from folkmoot.cli.solve import Wish, named
from folkmoot.cli.stories import editing, submission, words
from folkmoot.cli.stories.screen import progress
from folkmoot.cli.stories.values import Plan, Story
from folkmoot.cli.stories.watching import follow
from folkmoot.cli.text import line
from folkmoot.kernel.errors import FolkmootError, InvalidInput
from folkmoot.kernel.plan import united
from folkmoot.runtime import settings as configuration

# --- submit, list, show, watch -----------------------------------------------------------------------------------


async def submit(file: str, *, wait: bool, as_json: bool) -> Code:
    told = submission.read(file)
    settings = configuration.load()
    target = connect.required(settings)
    model = told.model
    if target.model:
        wish = Wish(text=told.text, model_url=told.model_url, model=told.model)
        model = (await named(wish, target.model, settings.model)).model
    request = submission.to_request(told, model=model, key=told.key or f"cli-{uuid.uuid4()}", actor=person())
    async with connected(target) as client:
        story = await client.stories.create(request)
        say(f"Story {story.story_id}")
        if wait:
            with progress() as screen:
                story = await follow(client, story.story_id, screen)
        return await _report(client, story, as_json=as_json)


async def listed(limit: int, *, as_json: bool) -> Code:
    async with platform() as client:
        stories = await client.stories.newest(limit)
    if as_json:
        emit({"stories": stories})
    elif stories:
        from folkmoot.cli.stories import draw

        console(sys.stdout).print(draw.listed(stories))
    else:
        say("No story was submitted here; `moot story submit FILE` does, `moot solve TEXT` too")
    return Code.DONE


async def show(story_id: str, *, as_json: bool) -> Code:
    async with platform() as client:
        return await _report(client, await client.stories.get(story_id), as_json=as_json)


async def _report(client: Client, story: Story, *, as_json: bool) -> Code:
    """The whole story on stdout; the exit code that it stands for."""
    tasks = await client.stories.tasks(story.story_id)
    if as_json:
        emit(msgspec.to_builtins(story) | {"tasks": msgspec.to_builtins(tasks)})
    else:
        from folkmoot.cli.stories import draw

        console(sys.stdout).print(draw.story(story, tasks))
    return words.code_of(story, tasks)


async def watch(story_id: str, *, to_the_end: bool, as_json: bool) -> Code:
    async with platform() as client:
        with progress(as_json=as_json) as screen:
            story = await follow(client, story_id, screen, to_the_end=to_the_end)
        if not as_json:
            return await _report(client, story, as_json=False)
        return words.code_of(story, await client.stories.tasks(story_id))


# --- transitions -------------------------------------------------------------------------------------------------


async def move(
    story_id: str, transition: pb.StoryTransition.ValueType, reason: str, round_: int | None, *, as_json: bool
) -> Code:
    """Of the result of that round, if there is one."""
    request = pb.TransitionStoryRequest(
        story_id=story_id, transition=transition, actor=person(), reason=reason, expected_round=round_
    )
    return await _changed(lambda client: client.stories.transition(request), as_json=as_json)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of a story; `gating` are tests that are superseded no more."""

    title: str
    checks: list[str]
    superseded: list[str]
    gating: list[str]


async def revise(story_id: str, new: Revision, file: str, reason: str, *, as_json: bool) -> Code:
    text = documents.read_text(file) if file else ""
    if file and not text.strip():
        raise InvalidInput("--text-file", f"{file} is empty")
    if not (text or any(msgspec.structs.astuple(new))):
        wanted = "--text-file, --title, --check, --superseded or --gating"
        raise InvalidInput("--text-file", f"nothing to change: give {wanted}")
    request = pb.TransitionStoryRequest(
        story_id=story_id,
        transition=pb.STORY_TRANSITION_REVISE,
        actor=person(),
        reason=reason,
        text=text,
        **msgspec.structs.asdict(new),
    )
    return await _changed(lambda client: client.stories.transition(request), as_json=as_json)


async def assess(story_id: str, *, as_json: bool) -> Code:
    async with platform() as client:
        story = await client.stories.assess(story_id, person())
    _print(story, as_json=as_json)
    return words.code_of(story, ())


async def _changed(call: Callable[[Client], Awaitable[Story]], *, as_json: bool) -> Code:
    """A person's word was taken: that is all that the exit code says."""
    async with platform() as client:
        story = await call(client)
    _print(story, as_json=as_json)
    return Code.DONE


def _print(story: Story, *, as_json: bool) -> None:
    """Where it stands now, in a few lines."""
    if as_json:
        emit(story)
        return
    from folkmoot.cli.stories import draw

    sys.stdout.write(f"{story.story_id}: {line(words.standing(story), 700)}\n")
    sys.stdout.flush()
    out = console(sys.stdout)
    if story.state == "assessed" and story.assessment:
        out.print(draw.assessment(story.assessment, story.threshold))
    out.print(draw.closing(story))


# --- plans -------------------------------------------------------------------------------------------------------


async def show_plan(story_id: str, *, as_yaml: bool, as_json: bool) -> Code:
    async with platform() as client:
        story = await client.stories.get(story_id)
        plan = planned(story)
        tasks = () if as_yaml else await client.stories.tasks(story_id)
    if as_json:
        about = {"story_id": story_id, "state": story.state, "round": story.round, "revision": story.revision}
        emit(about | {"plan": plan, "tasks": tasks})
    elif as_yaml:
        sys.stdout.write(_file_of(story))
        sys.stdout.flush()
    else:
        from folkmoot.cli.stories import draw

        out = console(sys.stdout)
        out.print(draw.plan(plan, story.revision))
        out.print(draw.task_table(tasks))
        out.print(draw.closing(story))
    return Code.DONE


def _file_of(story: Story) -> str:
    return submission.plan_file(planned(story), story.story_id, story.title, story.revision)


def planned(story: Story) -> Plan:
    """Raises Stopped when there is none yet."""
    if story.plan is None:
        hint = (
            f"`moot plan derive {story.story_id}` has one made, `moot plan edit {story.story_id} --file FILE` gives one"
        )
        raise Stopped(Code.NOT_FOUND, f"story {story.story_id} has no plan yet: it is {story.state.words}", hint)
    return story.plan


async def derive(story_id: str, *, as_json: bool) -> Code:
    async with platform() as client:
        story = await client.stories.derive(story_id, person(), None)
        return await _with_plan(client, story, as_json=as_json)


async def edit(story_id: str, file: str, revision: int | None, *, as_json: bool) -> Code:
    """A plan that is refused stays where the person wrote it; so does one whose place was taken meanwhile."""
    async with platform() as client:
        if file:
            story = await client.stories.derive(story_id, person(), submission.read_plan(file), revision)
            return await _with_plan(client, story, as_json=as_json)
        known = await client.stories.get(story_id)
        written = editing.edited(_file_of(known), f"{story_id}.yaml")
        if written is None:
            say("Nothing was changed")
            return await _with_plan(client, known, as_json=as_json)
        try:
            story = await client.stories.derive(
                story_id, person(), submission.read_plan(str(written)), revision or known.revision
            )
        except FolkmootError:
            say(f"What you wrote lies in {written}; mend it, then `moot plan edit {story_id} --file {written}`")
            raise
        editing.discard(written)
        return await _with_plan(client, story, as_json=as_json)


async def _with_plan(client: Client, story: Story, *, as_json: bool) -> Code:
    code = await _report(client, story, as_json=as_json)
    return code if story.problem else Code.DONE


async def approve_plan(
    story_id: str, reason: str, revision: int | None, superseded: list[str], *, as_proposed: bool, as_json: bool
) -> Code:
    """`as_proposed`: all tests that the coach proposes are superseded, besides those that are named."""

    async def approved(client: Client) -> Story:
        proposed = (await client.stories.get(story_id)).proposed if as_proposed else ()
        tests = united(superseded, proposed)
        return await client.stories.approve_plan(story_id, person(), reason, revision, tests)

    return await _changed(approved, as_json=as_json)


async def reject_plan(story_id: str, reason: str, revision: int | None, *, as_json: bool) -> Code:
    return await _changed(lambda c: c.stories.reject_plan(story_id, person(), reason, revision), as_json=as_json)

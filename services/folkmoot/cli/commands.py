"""What each command does, once its arguments are known. Returns exit codes; raises kernel errors."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from folkmoot.cli import connect, repository
from folkmoot.cli.client import Client, connected
from folkmoot.cli.codes import Code, Stopped, of_state
from folkmoot.cli.follow import follow, interruptible
from folkmoot.cli.output import emit, say
from folkmoot.cli.report import chosen, report, winner_bundle
from folkmoot.cli.screen import JsonScreen, console, progress
from folkmoot.cli.spent import so_far
from folkmoot.cli.stories.result import require_task, task_of
from folkmoot.cli.text import line
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.result import State
from folkmoot.platform import place
from folkmoot.platform.place import PlatformInfo
from folkmoot.runtime import settings as configuration
from folkmoot.runtime.settings import Settings


@asynccontextmanager
async def platform() -> AsyncIterator[Client]:
    """A client of the platform that is up."""
    async with connected(connect.required(configuration.load())) as client:
        yield client


async def result(task: str, *, as_json: bool) -> Code:
    async with platform() as client:
        task = await task_of(client, task)
        return await report(client, await so_far(client, await client.result(task)), as_json=as_json)


async def watch(task: str, after: int, *, as_json: bool) -> Code:
    require_task(task, "moot story watch")
    async with platform() as client:
        events = client.watch(task, after)
        if as_json:
            view = await follow(events, JsonScreen())
            return of_state(view.state)
        with progress() as screen:
            await follow(events, screen)
        return await report(client, await client.result(task), as_json=False)


async def cancel(task: str, reason: str, *, as_json: bool) -> Code:
    require_task(task, "moot story cancel")
    async with platform() as client:
        already = False
        try:
            await client.cancel(task, reason)
        except FailedPrecondition:
            state = (await client.result(task)).result.state
            already = state is State.CANCELLED
            if not already:
                raise
    if as_json:
        emit({"task_id": task, "cancel_requested": True})
    say(f"{task} {'was cancelled before' if already else 'will be cancelled'}; `moot result {task}` says how it ended")
    return Code.DONE


async def diff(task: str, candidate: str, *, as_json: bool) -> Code:
    """On a terminal in colour and harmless; to a pipe or a file byte for byte, for `git apply`."""
    from folkmoot.cli import draw

    async with platform() as client:
        task = await task_of(client, task)
        answer = await client.result(task)
        admission = chosen(answer.result, await client.evidence(task), candidate)
        body = await client.artifact(admission.diff)
    text = body.decode("utf-8", "replace")
    if as_json:
        names = {name: getattr(admission, name) for name in ("proposal_id", "agent_id", "commit", "files")}
        emit({"task_id": task, **names, "diff": text})
    elif sys.stdout.isatty():
        console(sys.stdout).print(draw.change(text, limit=None))
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    return Code.DONE


async def apply(task: str, *, as_json: bool) -> Code:
    async with platform() as client:
        task = await task_of(client, task)
        answer = await client.result(task)
        branch, commit = winner_bundle(answer)
        assert answer.bundle is not None, "a decided task names its bundle"
        bundle = await client.artifact(answer.bundle)
    fresh = repository.take(bundle, branch, commit)
    if as_json:
        emit({"task_id": task, "branch": branch, "commit": commit, "created": fresh})
    else:
        sys.stdout.write(f"{branch} is {commit[:12]}" + ("\n" if fresh else ", as it was before\n"))
    say(f"Your files are as they were. `git diff HEAD...{branch}` shows the change, `git merge {branch}` takes it.")
    return Code.DONE


async def up(*, detached: bool, workspace: str, as_json: bool) -> Code:
    from folkmoot.platform import embedded

    settings = _with_workspaces(configuration.load(), workspace)
    if detached:
        _announce(await embedded.detach(settings), as_json=as_json)
        say("`moot down` stops it")
        return Code.DONE
    is_up = False
    try:
        with interruptible():
            async with embedded.running(settings, on_event=say) as info:
                is_up = True
                _announce(info, as_json=as_json)
                say("Ctrl-C stops it")
                await asyncio.Event().wait()
    except Stopped:
        if not is_up:
            raise
    return Code.DONE


def _with_workspaces(settings: Settings, where: str) -> Settings:
    """Raises InvalidInput for a place that is none."""
    match where:
        case "":
            return settings
        case "local" | "kubernetes":
            runner = msgspec.structs.replace(settings.runner, backend=where)
            return msgspec.structs.replace(settings, runner=runner)
    raise InvalidInput("workspace", f"{where!r} is neither local nor kubernetes")


def _announce(info: PlatformInfo, *, as_json: bool) -> None:
    if as_json:
        emit(info)
        return
    fields: dict[str, object] = msgspec.to_builtins(info)
    fields |= {f"metrics {service}": address for service, address in info.metrics.items()}
    del fields["metrics"]
    sys.stdout.writelines(f"{name:<20} {line(str(value))}\n" for name, value in fields.items())
    sys.stdout.flush()


async def down(*, as_json: bool) -> Code:
    settings = configuration.load()
    stopped = await place.stop(settings)
    if as_json:
        emit({"stopped": stopped})
    say("The platform is stopped; its log stays." if stopped else f"No platform was up on {settings.data}.")
    return Code.DONE

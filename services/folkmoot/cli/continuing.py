"""`moot continue`: the candidates of a task that has ended, judged anew with what would have settled it."""

import uuid

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.cli.client import Client
from folkmoot.cli.codes import Code
from folkmoot.cli.commands import platform
from folkmoot.cli.fleet.values import Limits, limits_to_wire
from folkmoot.cli.follow import follow_or_cancel, interruptible
from folkmoot.cli.output import say
from folkmoot.cli.report import report
from folkmoot.cli.screen import progress
from folkmoot.cli.stories.values import is_story
from folkmoot.kernel.errors import InvalidInput


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """What is said beyond what the earlier task said; empty fields are as they were there."""

    checks: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    rigor: str = ""
    model_url: str = ""
    model: str = ""
    total: Limits | None = None


async def continue_(name: str, further: Further, *, as_json: bool) -> Code:
    """Follows the new task live, as `moot solve` does."""
    if is_story(name):
        raise InvalidInput("TASK", f"{name} is a story: name the task of it, which `moot story show {name}` lists")
    with interruptible():
        async with platform() as client:
            task = await _asked(client, name, further)
            with progress() as screen:
                answer = await follow_or_cancel(client, "", task, screen)
            return await report(client, answer, as_json=as_json)


async def _asked(client: Client, earlier: str, further: Further) -> str:
    task = pb.Task(
        continues=earlier,
        checks=further.checks,
        superseded=further.superseded,
        rigor=further.rigor,
        model_url=further.model_url,
        model=further.model,
        total=limits_to_wire(further.total),
    )
    new = await client.deliberate(task, key=f"cli-{uuid.uuid4()}")
    say(f"Task {new} goes on with the candidates of {earlier}")
    return new

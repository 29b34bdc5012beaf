"""A task that was asked for and has not begun: followed all the same, and why it waits in words on stderr."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from folkmoot.cli.client import Client
from folkmoot.cli.fleet.values import Status
from folkmoot.cli.output import say
from folkmoot.cli.streams import Seen
from folkmoot.cli.text import span
from folkmoot.kernel.errors import FolkmootError, NotFound
from folkmoot.kernel.facts import DeliberationRequested
from folkmoot.runtime.log.beside import beside

FIRST_S = 2.0
"""Where there is room, somebody has begun by then."""
LOOK_S = 5.0
"""Between two looks for a reason, while there was none."""
AGAIN_S = 60.0
"""Between two sentences."""


async def fresh(client: Client, task_id: str) -> AsyncGenerator[Seen, None]:
    """Events and steps of a task that was just asked for. While the platform has no room for it, nobody gives up.

    Raises as `Client.watch`.
    """
    begun = asyncio.Event()
    async with beside(_say_why(client, task_id, begun), name=f"why {task_id} waits"):
        while True:
            try:
                async with aclosing(client.watch(task_id, fresh=True)) as events:
                    async for seen in events:
                        if seen.event and not isinstance(seen.event.data, DeliberationRequested):
                            begun.set()
                        yield seen
            except NotFound:
                if not (await client.fleet.status()).refusing:
                    raise
            else:
                return


async def _say_why(client: Client, task_id: str, begun: asyncio.Event) -> None:
    pause = FIRST_S
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await begun.wait()
            return
        pause = LOOK_S
        with suppress(FolkmootError):  # the watch itself says what is wrong
            if words := why(await client.fleet.status()):
                say(f"{task_id} waits: {words}")
                pause = AGAIN_S


def why(status: Status) -> str:
    """What a task waits for that has not begun; empty when nothing is known."""
    if status.refusing:
        return f"{status.refusing}; there may be room again in {span(status.retry_after_s)}"
    if status.waiting and status.running >= status.capacity:
        return f"{status.running} deliberations are under way, no more at once, and {status.waiting} tasks wait"
    return ""

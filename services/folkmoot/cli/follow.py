"""Following a task to its end, and asking for one."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli.client import Answer, Client
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.lanes import View, fold
from folkmoot.cli.output import say
from folkmoot.cli.person import person
from folkmoot.cli.screen import Screen
from folkmoot.cli.streams import Seen
from folkmoot.cli.waiting import fresh
from folkmoot.kernel.errors import CallerError, FolkmootError, NotFound

CANCEL_S = 20.0
"""After Ctrl-C the platform gets this long to say that the task is cancelled."""


async def follow(events: AsyncIterator[Seen], screen: Screen, shown: set[bytes] | None = None) -> View:
    """Show every event that is not among `shown`, and add it there; the view after the last."""
    view, shown = View(), set() if shown is None else shown
    async for seen in events:
        if seen.event:
            view = fold(view, seen.event)
        if seen.key not in shown:
            shown.add(seen.key)
            screen.show(view, seen)
    return view


async def follow_or_cancel(client: Client, story_id: str, task_id: str, screen: Screen) -> Answer:
    """Follow a fresh task to its end; within `interruptible`, Ctrl-C asks the platform to cancel it first.

    `story_id` is empty for a task of no story: that is in the log as soon as it is asked for.
    Raises Stopped when it was cancelled before it began.
    """
    task = asyncio.current_task()
    assert task is not None
    shown: set[bytes] = set()
    try:
        await follow(fresh(client, task_id), screen, shown)
    except asyncio.CancelledError:
        task.uncancel()
        await _cancel(client, story_id, task_id, screen, shown)
    return await client.result(task_id)


INTERRUPTED = "interrupted by the person who asked"


async def _cancel(client: Client, story_id: str, task_id: str, screen: Screen, shown: set[bytes]) -> None:
    say(f"Asking the platform to cancel {task_id} …")
    try:
        await client.cancel(task_id, INTERRUPTED)
        async with asyncio.timeout(CANCEL_S):
            await follow(client.watch(task_id), screen, shown)
    except NotFound:
        await _call_off(client, story_id)
    except CallerError as error:
        say(f"It could not be cancelled: {error}")
    except (TimeoutError, FolkmootError) as error:
        say(f"The platform did not confirm: {error or 'no answer'}; `moot result {task_id}` says how it ended")


async def _call_off(client: Client, story_id: str) -> None:
    """The task waits for room: its story is called off, or it would begin later, with nobody there."""
    request = pb.TransitionStoryRequest(
        story_id=story_id, transition=pb.STORY_TRANSITION_CANCEL, actor=person(), reason=INTERRUPTED
    )
    await client.stories.transition(request)
    raise Stopped(Code.CANCELLED, f"story {story_id} was called off before its task began")


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM cancel the current task, twice at most: the way out stops the platform and must not be cut.

    Raises Stopped when nobody on the way out took the interruption.
    """
    task, loop, left = asyncio.current_task(), asyncio.get_running_loop(), [2]
    assert task is not None

    def interrupt() -> None:
        if left[0] > 0:
            left[0] -= 1
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
        raise Stopped(Code.CANCELLED, "interrupted") from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

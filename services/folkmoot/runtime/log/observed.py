"""Appends and queues as spans and counts, by stream and reader: no subject, which would be an id."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from folkmoot.kernel.errors import Conflict, FolkmootError
from folkmoot.runtime.log import topology
from folkmoot.runtime.log.beside import beside
from folkmoot.runtime.log.topology import user
from folkmoot.runtime.log.wire import Refused, Wire
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import OFF, count, on, span, timed

LOOK_S = 5.0
"""Between two looks at a queue; one request each."""


@contextmanager
def observed_append(stream: str) -> Iterator[None]:
    if on() is OFF:
        yield
        return
    outcome = "failed"
    with span("append", stream=stream) as opened, timed(meters.APPEND_TIME, stream):
        try:
            yield
            outcome = "stored"
        except Conflict:
            outcome = "conflict"
            raise
        finally:
            opened.note(outcome=outcome)
            count(meters.APPENDS, stream, outcome)


@asynccontextmanager
async def queues_watched(wire: Wire) -> AsyncIterator[None]:
    """While the block runs, say how long the queues are that this user takes deliveries from; if metrics are on."""
    readers = user(wire.settings.user).readers if on().meters is not None else ()
    async with AsyncExitStack() as stack:
        for reader in readers:
            await stack.enter_async_context(beside(_watch(wire, reader), name=f"length of {reader}"))
        yield


async def _watch(wire: Wire, reader: str) -> None:
    """How many messages wait, and how many are taken; for ever."""
    spec = topology.reader(reader)
    while True:
        try:
            info = await wire.api(f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.name}", {})
        except (FolkmootError, Refused):
            pass  # the log is away: the old figure stays, others tell of it
        else:
            count(meters.WAITING, reader, by=info["num_pending"])
            count(meters.TAKEN, reader, by=info["num_ack_pending"])
        await asyncio.sleep(LOOK_S)

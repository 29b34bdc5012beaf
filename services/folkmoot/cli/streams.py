"""Events as they come over the wire, followed across restarts of the platform."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from folkmoot.kernel.errors import FolkmootError, InvalidInput, NotFound, RetryLater
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.facts import CODEC

PATIENCE_S = 60.0
"""A restarted platform is back within seconds; a watch waits this long for it before it gives up."""
_PAUSE_S = 0.5


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One event of what is watched. `event` is None for a type that this version does not know."""

    sequence: int
    """0 for an agent's step, and for a task's event in a story's stream."""
    event: Event | None
    body: bytes


def seen(sequence: int, body: bytes) -> Seen:
    try:
        return Seen(sequence=sequence, event=CODEC.decode(body), body=body)
    except InvalidInput:
        return Seen(sequence=sequence, event=None, body=body)


async def resumed(
    once: Callable[[int], AsyncIterator[Seen]], after: int, last: tuple[type[Fact], ...], *, fresh: bool
) -> AsyncGenerator[Seen, None]:
    """Events from the one behind `after` to one of the kind `last`, across broken streams.

    What is `fresh` may still be on its way. Raises RetryLater when the platform is away, and NotFound when something
    fresh does not appear, for more than PATIENCE_S seconds.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE_S
    while True:
        try:
            async for told in once(after):
                deadline, after = clock() + PATIENCE_S, max(after, told.sequence)
                yield told
                # A server that is slow to close its end must not keep a person waiting for what is known.
                if told.event and isinstance(told.event.data, last):
                    return
        except FolkmootError as error:
            passing = isinstance(error, (RetryLater, NotFound) if fresh else RetryLater) and (fresh or after > 0)
            if not passing or clock() > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)

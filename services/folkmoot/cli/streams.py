"""Events as they come over the wire, followed across restarts of the platform."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from folkmoot.kernel.errors import FolkmootError, InvalidInput, NotFound, RetryLater
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.facts import CODEC
from folkmoot.runtime.clock import Clock, SystemClock

PATIENCE_S = 60.0
"""A restarted platform is back within seconds; a watch waits this long for it before it gives up."""
_PAUSE_S = 0.5
_STOOD_S = 10.0
"""An attempt that lasted longer was a stream on which nothing happened; its end is where trouble begins."""
_CLOCK = SystemClock()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One event of what is watched. `event` is None for a type that this version does not know."""

    sequence: int
    """0 for an agent's step, and for a task's event in a story's stream."""
    event: Event | None
    body: bytes

    @property
    def key(self) -> bytes:
        """The same whenever it is told again: an event's id and time are in its body."""
        return hashlib.sha256(self.body).digest()


def seen(sequence: int, body: bytes) -> Seen:
    try:
        return Seen(sequence=sequence, event=CODEC.decode(body), body=body)
    except InvalidInput:
        return Seen(sequence=sequence, event=None, body=body)


async def resumed(
    once: Callable[[int], AsyncIterator[Seen]],
    after: int,
    last: tuple[type[Fact], ...],
    *,
    fresh: bool,
    clock: Clock = _CLOCK,
) -> AsyncGenerator[Seen, None]:
    """Events from the one behind `after` to one of the kind `last`, across broken streams; what has no sequence comes
    from the beginning each time, and is told once.

    What is `fresh` may still be on its way. Raises RetryLater when the platform is away, and NotFound when something
    fresh does not appear, for more than PATIENCE_S seconds.
    """
    deadline = clock.monotonic() + PATIENCE_S
    known: set[bytes] = set()
    while True:
        began = clock.monotonic()
        try:
            async for told in once(after):
                deadline, after = clock.monotonic() + PATIENCE_S, max(after, told.sequence)
                if not told.sequence and told.key in known:
                    continue
                if not told.sequence:
                    known.add(told.key)
                yield told
                # A server that is slow to close its end must not keep a person waiting for what is known.
                if told.event and isinstance(told.event.data, last):
                    return
        except FolkmootError as error:
            if clock.monotonic() - began > _STOOD_S:
                deadline = clock.monotonic() + PATIENCE_S
            passing = isinstance(error, (RetryLater, NotFound) if fresh else RetryLater) and (fresh or after > 0)
            if not passing or clock.monotonic() > deadline:
                raise
        await clock.sleep(_PAUSE_S)

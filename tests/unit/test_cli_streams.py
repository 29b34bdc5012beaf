"""A watch across broken streams: how long it waits for a platform that is away."""

from collections.abc import AsyncGenerator

import pytest

from folkmoot.cli.streams import PATIENCE_S, Seen, resumed
from folkmoot.kernel.errors import Unavailable
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.beside import beside


class Platform:
    """Each attempt to watch lasts as long as is said, then breaks; behind the last, one event comes."""

    def __init__(self, clock: VirtualClock, *lasts_s: float) -> None:
        self._clock, self._lasts, self.attempts = clock, lasts_s, 0

    async def once(self, _after: int) -> AsyncGenerator[Seen, None]:
        self.attempts += 1
        if self.attempts > len(self._lasts):
            yield Seen(sequence=self.attempts, event=None, body=b"")
            return
        await self._clock.sleep(self._lasts[self.attempts - 1])
        raise Unavailable("Stream removed (Socket closed)")


async def first(platform: Platform, clock: VirtualClock) -> Seen:
    """What a watch tells first."""
    async with beside(_passing(clock), name="time"):
        return await anext(resumed(platform.once, 1, (), fresh=False, clock=clock))


async def _passing(clock: VirtualClock) -> None:
    while True:
        await clock.advance(0.5)


async def test_a_stream_that_was_quiet_for_long_is_resumed_when_it_breaks() -> None:
    """A model that thinks for minutes is no platform that is away for minutes."""
    clock = VirtualClock()
    seen = await first(Platform(clock, 3 * PATIENCE_S, 2 * PATIENCE_S), clock)
    assert seen.sequence == 3


async def test_a_platform_that_stays_away_is_given_up() -> None:
    """Attempts that break at once are no streams."""
    clock = VirtualClock()
    with pytest.raises(Unavailable, match="Stream removed"):
        await first(Platform(clock, *[1.0] * 1000), clock)

"""A watch across broken streams: how long it waits for a platform that is away."""

from collections.abc import AsyncGenerator

import pytest

from folkmoot.cli.follow import follow
from folkmoot.cli.lanes import View
from folkmoot.cli.screen import PlainScreen
from folkmoot.cli.streams import PATIENCE_S, Seen, resumed
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.facts import CODEC, CancelRequested, StepTaken
from folkmoot.kernel.ids import AgentId
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.beside import beside
from tests.fixtures.cli_events import event


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


STEPS = [
    event(StepTaken(agent_id=AgentId("dev-1"), attempt=1, step=n, kind="tool", name="run", ok=True, duration_s=1.0), n)
    for n in (1, 2, 3)
]


def told(number: int) -> Seen:
    return Seen(sequence=0, event=STEPS[number], body=CODEC.encode(STEPS[number]))


async def test_steps_are_told_once_though_a_resumed_stream_begins_with_the_first_again() -> None:
    """They have no sequence that one could go on behind; three that look alike are three."""
    clock, attempts = VirtualClock(), [[0, 1], [0, 1, 2]]
    end = Seen(sequence=5, event=event(CancelRequested(actor="ann"), 9), body=b"end")

    async def once(_after: int) -> AsyncGenerator[Seen, None]:
        for number in attempts.pop(0):
            yield told(number)
        if attempts:
            raise Unavailable("Stream removed (Socket closed)")
        yield end

    async with beside(_passing(clock), name="time"):
        seen = [s async for s in resumed(once, 1, (CancelRequested,), fresh=False, clock=clock)]
    assert seen == [told(0), told(1), told(2), end]


async def test_what_was_shown_is_not_shown_again_by_another_watch() -> None:
    """As after Ctrl-C, which follows the task anew until it is cancelled."""
    shown: list[Seen] = []

    class Kept(PlainScreen):
        def show(self, view: View, seen: Seen) -> None:
            shown.append(seen)

    async def stream(*numbers: int) -> AsyncGenerator[Seen, None]:
        for number in numbers:
            yield told(number)

    known: set[bytes] = set()
    await follow(stream(0, 1), Kept(), known)
    await follow(stream(0, 1, 2), Kept(), known)
    assert shown == [told(0), told(1), told(2)]

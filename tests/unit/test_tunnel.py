"""Both ends of a set-up's tunnel, joined in this process, with real connections on their outsides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from folkmoot.runner.kubernetes.pod.tunnel import (
    CONNECTS,
    DATA,
    END,
    OVER,
    WELCOME,
    WINDOW,
    Broken,
    Frames,
    Tunnel,
    frame,
)

BOUND_S = 20.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pair() -> tuple[Streams, Streams]:
    """Two ends of one connection."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda r, w: accepted.set_result((r, w)), "127.0.0.1", 0)
    async with server:
        made = await asyncio.open_connection(*server.sockets[0].getsockname())
        return made, await accepted


class Joined:
    """What goes in at `front` comes out at `back`."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.near = Tunnel(self._to_far)
        self.far = Tunnel(self._to_near)

    async def _to_far(self, data: bytes) -> None:
        self.sent.append(data)
        for part in Frames().fed(data):
            self.far.took(*part)

    async def _to_near(self, data: bytes) -> None:
        for part in Frames().fed(data):
            self.near.took(*part)

    @contextlib.asynccontextmanager
    async def line(self, number: int) -> AsyncIterator[tuple[Streams, Streams]]:
        (front, inner), (outer, back) = await pair(), await pair()
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            for tunnel, streams in ((self.near, inner), (self.far, outer)):
                group.create_task(tunnel.carry(number, tunnel.begin(number), *streams))
            yield front, back
            for _, writer in (front, back):
                writer.close()


async def test_both_ways_and_half_closed() -> None:
    """One side says that it is done and still hears the other to its end; then nothing of the line is left."""
    joined = Joined()
    async with joined.line(1) as (front, back):
        front[1].write(b"x" * 1_000_000)
        front[1].write_eof()
        assert len(await back[0].read()) == 1_000_000
        back[1].write(b"y" * 1_000_000)
        back[1].write_eof()
        assert len(await front[0].read()) == 1_000_000
    assert len(joined.near) == len(joined.far) == 0


async def test_one_that_nobody_reads_holds_up_no_other() -> None:
    """It is given a window, and waits; the other goes on, to any length."""
    joined = Joined()
    async with joined.line(1) as (stuck, _), joined.line(2) as (front, back):
        stuck[1].write(b"x" * 20_000_000)
        front[1].write(b"y" * 2_000_000)
        front[1].write_eof()
        assert len(await back[0].read()) == 2_000_000
        of_stuck = [body for sent in joined.sent for _, number, body in Frames().fed(sent) if number == 1]
        unread = 20_000_000 - sum(map(len, of_stuck))
        assert unread > 5_000_000, "its socket took all: nothing was held back"
        stuck[1].transport.abort()


async def test_an_end_that_breaks_ends_the_other() -> None:
    """As a connection that is reset."""
    joined = Joined()
    async with joined.line(1) as (front, back):
        front[1].write(b"x")
        assert await back[0].read(1) == b"x"
        front[1].transport.abort()
        with contextlib.suppress(ConnectionError):
            assert await back[0].read() == b""


@pytest.mark.parametrize(
    "frames",
    [
        [frame(DATA, 1, b"x" * 32_768)] * (WINDOW // 32_768 + 1),
        [frame(DATA, 1, b"")] * 2,
        [frame(END, 1), frame(DATA, 1, b"x")],
        [frame(END, 1), frame(END, 1)],
        [frame(CONNECTS, 1)],
        [frame(WELCOME, 1, b"x")],
        [frame(DATA, 1, b"x" * 32_769)],
        [frame(b"?", 1)],
    ],
)
async def test_whoever_does_not_keep_to_the_rules(frames: list[bytes]) -> None:
    """Is heard no longer: what is kept for it has a bound."""
    joined = Joined()
    joined.near.begin(1)
    with pytest.raises(Broken):
        _heard(joined.near, frames)


def _heard(tunnel: Tunnel, frames: list[bytes]) -> None:
    for sent in frames:
        for part in Frames().fed(sent):
            tunnel.took(*part)


async def test_frames_of_no_line() -> None:
    """Of one that is over here, late: nobody's. A number that is taken is refused."""
    joined = Joined()
    for letter in (DATA, END, OVER, WELCOME):
        joined.near.took(letter, 7, b"late")
    joined.near.begin(1)
    with pytest.raises(Broken):
        joined.near.begin(1)


def test_frames_in_pieces() -> None:
    """As the connection cuts them."""
    whole = frame(DATA, 3, b"abc") + frame(END, 4)
    frames = Frames()
    assert [part for n in range(len(whole)) for part in frames.fed(whole[n : n + 1])] == [
        (DATA, 3, b"abc"),
        (END, 4, b""),
    ]

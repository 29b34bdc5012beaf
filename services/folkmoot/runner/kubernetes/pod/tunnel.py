"""The one way out of a set-up's pod: what connects to a port of its loopback goes through our standard streams to the
runner, which hands it to its proxy. Both ends of the tunnel are here; the runner imports its own.

Arguments: the port, and how many connections at once. Frames both ways: a letter, the number of a connection and the
length of a body (4 bytes each, big-endian), the body. `L` we listen, `C` a connection, `D` data, `E` no more of it from
this side, `X` the connection is over, `W` so many more bytes (4 bytes) are welcome. Of each connection a side sends at
most `WINDOW` bytes that were not welcomed since, so one that is slow holds up no other, and memory has a bound.
"""

from __future__ import annotations

import asyncio
import ctypes
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LISTENS, CONNECTS, DATA, END, OVER, WELCOME = b"L", b"C", b"D", b"E", b"X", b"W"
WINDOW = 256 * 1024
_PIECE = 32 * 1024
_HEAD = struct.Struct(">cII")
_COUNT = struct.Struct(">I")
_MOST_CREDIT = 1 << 30
_PR_SET_DUMPABLE = 4


class Broken(Exception):
    """The other end does not keep to the rules."""


class _Over(Exception):
    """The other end has no such connection any more."""


def frame(letter: bytes, number: int, body: bytes = b"") -> bytes:
    return _HEAD.pack(letter, number, len(body)) + body


class Frames:
    """Puts together what came in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def fed(self, data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        """Letter, number and body of each frame that is complete now. Raises Broken for one that is too long."""
        self._held += data
        while len(self._held) >= _HEAD.size:
            letter, number, size = _HEAD.unpack_from(self._held)
            if size > _PIECE:
                raise Broken(f"a frame of {size} bytes")
            if len(self._held) < _HEAD.size + size:
                return
            body = bytes(self._held[_HEAD.size : _HEAD.size + size])
            del self._held[: _HEAD.size + size]
            yield letter, number, body


class Line:
    """One connection through the tunnel."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        """What the other end sent; empty for its end."""
        self.waits = 0
        """Bytes of it that were not welcomed yet."""
        self.ended = False
        """No more of it comes."""
        self.room = WINDOW
        """Bytes that may be sent."""
        self.more = asyncio.Event()
        self.over = asyncio.Event()

    def take(self, piece: bytes) -> None:
        """Raises Broken for more than is welcome."""
        self.waits += len(piece)
        if self.waits > WINDOW or self.ended:
            raise Broken("more than is welcome")
        self.ended = not piece
        self.came.put_nowait(piece)

    async def until_over(self) -> None:
        await self.over.wait()
        raise _Over


class Tunnel:
    """One end. `send` takes a whole frame, and returns once there is room for another."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._lines: dict[int, Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def took(self, letter: bytes, number: int, body: bytes) -> None:
        """A frame about a connection; one that is over here is nobody's any more. Raises Broken."""
        line = self._lines.get(number)
        if line is None:
            return
        if letter == WELCOME and len(body) == _COUNT.size:
            line.room = min(_MOST_CREDIT, line.room + _COUNT.unpack(body)[0])
            line.more.set()
        elif letter == OVER:
            line.over.set()
        elif letter in (DATA, END):
            line.take(body if letter == DATA else b"")
        else:
            raise Broken(f"a frame {letter!r}")

    def begin(self, number: int) -> Line:
        """From now on frames of that number are kept for `carry`. Raises Broken where there is one."""
        if number in self._lines:
            raise Broken("a number that is taken")
        line = self._lines[number] = Line()
        return line

    async def carry(self, number: int, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to its end. Raises what `send` does."""
        try:
            async with asyncio.TaskGroup() as group:
                ended = group.create_task(line.until_over())
                both = [
                    group.create_task(self._outward(number, line, reader)),
                    group.create_task(self._inward(number, line, writer)),
                ]
                await asyncio.wait(both)
                ended.cancel()
        except* (OSError, _Over):
            # It broke, and the other side closes it too. One that came to its end does so there by itself.
            await self.refused(number)
        finally:
            self._lines.pop(number, None)
            writer.close()

    async def refused(self, number: int) -> None:
        await self._send(frame(OVER, number))

    async def _outward(self, number: int, line: Line, reader: asyncio.StreamReader) -> None:
        while True:
            while not line.room:
                line.more.clear()
                await line.more.wait()
            piece = await reader.read(min(_PIECE, line.room))
            line.room -= len(piece)
            await self._send(frame(DATA, number, piece) if piece else frame(END, number))
            if not piece:
                return

    async def _inward(self, number: int, line: Line, writer: asyncio.StreamWriter) -> None:
        taken = 0
        while piece := await line.came.get():
            writer.write(piece)
            await writer.drain()
            taken += len(piece)
            if taken >= WINDOW // 4:
                line.waits -= taken
                await self._send(frame(WELCOME, number, _COUNT.pack(taken)))
                taken = 0
        if writer.can_write_eof():
            writer.write_eof()


class _Entrance:
    """The end in the pod."""

    def __init__(self, out: asyncio.StreamWriter, most: int) -> None:
        self._out = out
        self._turn = asyncio.Lock()
        self._most = most
        self._next = 0
        self._tunnel = Tunnel(self._said)

    async def _said(self, data: bytes) -> None:
        async with self._turn:
            self._out.write(data)
            await self._out.drain()

    async def entered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tunnel) >= self._most:
            writer.close()
            return
        self._next += 1
        number = self._next
        line = self._tunnel.begin(number)
        await self._said(frame(CONNECTS, number))
        await self._tunnel.carry(number, line, reader, writer)

    async def hear(self, source: asyncio.StreamReader) -> None:
        await self._said(frame(LISTENS, 0))
        frames = Frames()
        while data := await source.read(_PIECE):
            for letter, number, body in frames.fed(data):
                self._tunnel.took(letter, number, body)


async def main(port: str, most: str) -> None:
    """Ends when nobody listens to our standard output any more."""
    loop = asyncio.get_running_loop()
    source = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    entrance = _Entrance(asyncio.StreamWriter(transport, protocol, None, loop), int(most))
    server = await asyncio.start_server(entrance.entered, "127.0.0.1", int(port))
    await entrance.hear(source)
    server.close()


if __name__ == "__main__":
    # No other process of this user may look into us.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    asyncio.run(main(*sys.argv[1:]))

"""Pipes to and from a child process: what bwrap is handed besides its streams, a standard input that may be refused."""

import asyncio
import contextlib
import os
import platform
from collections.abc import Iterator

from folkmoot.runner.local import seccomp

_PIECE = 256 * 1024


class Pipes:
    """Our ends and bwrap's of its status and its seccomp filter; each is closed once, whatever happens."""

    def __init__(self) -> None:
        self.status, self.their_status = os.pipe()
        self.filter = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        os.write(self.filter, seccomp.program(platform.machine()))
        os.lseek(self.filter, 0, os.SEEK_SET)
        self._open = {self.status, self.their_status, self.filter}

    @property
    def theirs(self) -> tuple[int, int]:
        return self.their_status, self.filter

    def close(self, *descriptors: int) -> None:
        for descriptor in self._open & set(descriptors):
            self._open.remove(descriptor)
            os.close(descriptor)

    def close_all(self) -> None:
        self.close(*self._open)


@contextlib.contextmanager
def descriptors() -> Iterator[Pipes]:
    pipes = Pipes()
    try:
        yield pipes
    finally:
        pipes.close_all()


async def reader(descriptor: int) -> asyncio.StreamReader:
    """Of a pipe; it owns the descriptor."""
    stream = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(stream)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", 0))
    return stream


async def feed(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    """A command that does not want to hear the rest is free to."""
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for start in range(0, len(stdin), _PIECE):
            process.stdin.write(stdin[start : start + _PIECE])
            await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()

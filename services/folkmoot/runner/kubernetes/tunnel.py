"""The runner's end of a set-up's tunnel: what comes out of it goes to the proxy, and nowhere else."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from folkmoot.kernel.errors import Unavailable
from folkmoot.runner.environment import profile
from folkmoot.runner.environment.proxy import AT_ONCE, Proxy
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.pod import tunnel as program
from folkmoot.runner.kubernetes.pod.tunnel import CONNECTS, LISTENS, Broken, Frames, Line, Tunnel
from folkmoot.runner.kubernetes.stream import Place, Stream, streaming
from folkmoot.runtime.supervise import first_leaf
from folkmoot.runtime.workspace.port import WorkspaceLost

_LISTENS_S = 60.0
_AFTER_S = 2.0
"""Where the pod itself is gone, the set-up's own connection tells why."""


@contextlib.asynccontextmanager
async def way_out(api: Api, place: Place, proxy: Proxy, *, patience_s: float) -> AsyncIterator[None]:
    """While it is open, a port of the pod's loopback leads to `proxy`.

    Raises Unavailable when it cannot be opened, or is cut while it is used; WorkspaceLost. A program that the set-up
    itself ended is no error: it has no way out any more.
    """
    argv = (str(profile.PORT), str(AT_ONCE))
    try:
        async with (
            streaming(api, place, program, *argv, patience_s=patience_s) as stream,
            asyncio.TaskGroup() as group,
        ):
            end = _End(stream, proxy, group)
            hearing = group.create_task(end.hear(), name="tunnel")
            await end.ready()
            try:
                yield
            finally:
                end.close()
                hearing.cancel()
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures


class _End:
    def __init__(self, stream: Stream, proxy: Proxy, group: asyncio.TaskGroup) -> None:
        self._stream = stream
        self._proxy = proxy
        self._group = group
        self._tunnel = Tunnel(self._send)
        self._carrying: set[asyncio.Task[None]] = set()
        self._listens = asyncio.Event()

    async def ready(self) -> None:
        """Raises Unavailable."""
        try:
            async with asyncio.timeout(_LISTENS_S):
                await self._listens.wait()
        except TimeoutError as error:
            raise Unavailable("the way out of a set-up's pod does not open") from error

    async def hear(self) -> None:
        frames = Frames()
        try:
            async for data in self._stream.said():
                for letter, number, body in frames.fed(data):
                    await self._took(letter, number, body)
        except Broken as error:
            raise Unavailable(f"the way out of a set-up's pod is none of ours: {error}") from error
        if self._stream.code is None or not self._listens.is_set():
            await asyncio.sleep(_AFTER_S)
            raise Unavailable(f"the way out of a set-up's pod was cut: {self._stream.complaint}")

    async def _took(self, letter: bytes, number: int, body: bytes) -> None:
        if letter == LISTENS:
            self._listens.set()
        elif letter != CONNECTS:
            self._tunnel.took(letter, number, body)
        elif len(self._carrying) >= AT_ONCE:
            await self._tunnel.refused(number)
        else:
            task = self._group.create_task(self._carried(number, self._tunnel.begin(number)), name="way out")
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carried(self, number: int, line: Line) -> None:
        ours, theirs = socket.socketpair()
        near = await asyncio.open_unix_connection(sock=ours)
        far = await asyncio.open_unix_connection(sock=theirs)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._proxy.serve(*far), name="proxy")
            group.create_task(self._tunnel.carry(number, line, *near), name="tunnel")

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(WorkspaceLost):  # `hear` says so, once for all connections
            await self._stream.send(data)

    def close(self) -> None:
        for task in self._carrying:
            task.cancel()

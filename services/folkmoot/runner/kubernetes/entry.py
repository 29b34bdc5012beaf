"""The way into a pod: waited for, and seen to be kept off the network before anything comes to it."""

import asyncio
import contextlib

from folkmoot.runner.kubernetes import network, pods
from folkmoot.runner.kubernetes.exec import NotBegun
from folkmoot.runner.kubernetes.jobs import Found
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.pods import Pod
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.workspace.port import WorkspaceLost

_EARLY_S = 2.0
_TRY_S = 0.1
_TRYING = 2


class Entry:
    def __init__(self, lookout: Lookout, clock: Clock, *, server: str, ready_s: float) -> None:
        """`server` is the API server's URL. A pod comes up within `ready_s`."""
        self._lookout = lookout
        self._clock = clock
        self._server = server
        self._ready_s = ready_s
        self._trying = asyncio.Semaphore(_TRYING)

    async def settled(self, room: PodRoom, made: Found) -> Pod:
        """Returns once the pod of `made` runs. Raises as `Lookout.running`."""
        pod = await self._lookout.running(made.uid, self._ready_s)
        room.settle(made, pod)
        return pod

    async def up(self, room: PodRoom, made: Found) -> Pod:
        """The same, and it is kept off the network. Raises Unavailable where it is not."""
        pod = await self.settled(room, made)
        await network.closed(room, self._targets(room), self._clock)
        return pod

    async def entered(self, room: PodRoom, made: Found) -> None:
        """The same, for the next command: entered once for both, since each entering costs the node a process there."""
        if not await self._early(room, made):
            await self.settled(room, made)
            await room.enter(self._gate(room))

    async def _early(self, room: PodRoom, made: Found) -> bool:
        """Whether it was entered before the cluster said that it runs. Nodes say so up to a second late; of those that
        are begun at once only a few try, each try being a connection."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _EARLY_S
        if self._trying.locked():
            return False
        async with self._trying:
            while loop.time() < until and not self._told(pod := self._lookout.pod(made.uid)):
                await asyncio.sleep(_TRY_S)
                if pod is not None and pod.node:
                    room.settle(made, pod)
                    with contextlib.suppress(WorkspaceLost, NotBegun):
                        await room.try_to_enter(self._gate(room))
                        return True
        return False

    def _told(self, pod: Pod | None) -> bool:
        return pod is not None and (pod.running or pods.hopeless(pod) is not None)

    def _gate(self, room: PodRoom) -> bytes:
        return network.gate(self._targets(room))

    def _targets(self, room: PodRoom) -> network.Targets:
        return network.targets(self._server, room.node, ())


async def tried(room: PodRoom) -> None:
    """A pod that is known to be kept off the network, entered for the next command, if that can be at once."""
    with contextlib.suppress(WorkspaceLost, NotBegun):
        await room.try_to_enter()

"""One workspace's pod, as the place where its commands run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from folkmoot.kernel.errors import NotFound
from folkmoot.runner.command import Command, Ended, Sink
from folkmoot.runner.kubernetes import exec as execs
from folkmoot.runner.kubernetes import pods
from folkmoot.runner.kubernetes.api import Api
from folkmoot.runner.kubernetes.exec import Door, NotBegun, WatcherKilled
from folkmoot.runner.kubernetes.jobs import Found
from folkmoot.runner.kubernetes.lookout import Lookout
from folkmoot.runner.kubernetes.pods import Pod
from folkmoot.runner.kubernetes.wire import Limits
from folkmoot.runner.versions.seen import Ask
from folkmoot.runtime.workspace.port import WorkspaceLost

ENVIRONMENT: Mapping[str, str] = {
    # The volume of the repository belongs to the kubelet, and git minds whose a repository is.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
_PAUSE_S = 0.5
_T = TypeVar("_T")


class PodRoom:
    """A `Room`. Its Job is known once it is made, and its pod once it runs."""

    def __init__(self, api: Api, lookout: Lookout, limits: Limits, *, patience_s: float) -> None:
        self.job = ""
        """Name of the Job."""
        self.uid = ""
        """Of the Job."""
        self.began = ""
        """When the Job was asked for, ISO 8601, by the clock of the runner."""
        self.pod = ""
        self.address = ""
        self.node = ""
        """Addresses of the pod and of its node."""
        self.environment: Mapping[str, str] = ENVIRONMENT
        """Variables of commands, over the image's."""
        self._api = api
        self._lookout = lookout
        self._limits = limits
        self._patience_s = patience_s
        self._door: Door | None = None

    def settle(self, made: Found, pod: Pod) -> None:
        """`pod` runs."""
        self.job, self.uid, self.began = made.name, made.uid, made.began
        self.pod, self.address, self.node = pod.name, pod.address, pod.node

    async def run(self, command: Command, sink: Sink) -> Ended:
        """What has not begun is begun again while the API server is away; what has, never."""
        ended, _ = await self.looked(command, sink, None)
        return ended

    async def looked(self, command: Command, sink: Sink, ask: Ask | None) -> tuple[Ended, bytes]:
        """The same, with a look behind it, and what that told: nothing where its watcher did not live to tell."""
        try:
            return await self._patiently(lambda: self._once(command, sink, ask))
        except WatcherKilled as killed:
            await self._need_life()
            return killed.ended, b""

    async def _once(self, command: Command, sink: Sink, ask: Ask | None) -> tuple[Ended, bytes]:
        door, self._door = self._door, None
        return await execs.run(self._api, self.pod, command, self._limits, self.environment, sink, ask, door)

    async def enter(self, gate: bytes = b"") -> None:
        """For the next command; behind a `gate`, once it is kept off the network. Raises as `exec.enter`."""
        await self._patiently(lambda: self.try_to_enter(gate))

    async def try_to_enter(self, gate: bytes = b"") -> None:
        """The same, once."""
        await self.leave()
        self._door = await execs.enter(self._api, self.pod, gate)

    async def leave(self) -> None:
        """Close what was entered and not used."""
        door, self._door = self._door, None
        if door is not None:
            await door.aclose()

    async def _patiently(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """What has not begun is begun again for a while."""
        until = asyncio.get_running_loop().time() + self._patience_s
        while True:
            self._need_pod()
            try:
                return await work()
            except NotBegun:
                await self._need_life()
                if asyncio.get_running_loop().time() >= until:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def plain(self, path: bytes, limit: int) -> bytes | None:
        return None

    def _need_pod(self) -> None:
        pod = self._lookout.pod(self.uid)
        if pod is not None and pod.over:
            raise WorkspaceLost(f"the workspace is gone: {pod.over}")

    async def _need_life(self) -> None:
        """Asks the cluster itself. Raises WorkspaceLost, Unavailable."""
        try:
            pod = pods.read(await self._api.get("v1", "pods", self.pod))
        except NotFound as error:
            raise WorkspaceLost("the workspace is gone: its pod was deleted") from error
        if pod.over:
            raise WorkspaceLost(f"the workspace is gone: {pod.over}")

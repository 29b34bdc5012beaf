"""All pods of a runner, watched together: one connection, however many workspaces there are."""

import asyncio
import contextlib
import logging

from folkmoot.kernel.errors import FolkmootError, Misconfigured, Unavailable
from folkmoot.runner.kubernetes import pods
from folkmoot.runner.kubernetes.api import Api, Json
from folkmoot.runner.kubernetes.pods import Pod

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
_EVENTS_AFTER_S = 1.5
"""Pods are made within a second; where there is none by then, an event may say why."""


class Lookout:
    def __init__(self, api: Api, selector: str) -> None:
        self._api = api
        self._selector = selector
        self._pods: dict[str, Pod] = {}
        """By the uid of their Job."""
        self._changed = asyncio.Condition()
        self._seen = asyncio.Event()

    async def watch(self) -> None:
        """For ever: list, then hear of changes; after whatever ends that, anew."""
        while True:
            try:
                await self._follow(await self._listed())
            except Misconfigured as error:
                # A server that has just started refuses what roles allow until it has read them.
                if not self._seen.is_set():
                    raise
                log.warning("pods cannot be listed: %s", error, extra={"action": "watch"})
            except FolkmootError as error:
                # A version that is too old for the server is ordinary, as is a server that starts again.
                log.info("pods are listed anew: %s", error, extra={"action": "watch"})
            await asyncio.sleep(_PAUSE_S)

    async def _listed(self) -> str:
        found = await self._api.get("v1", "pods", query={"labelSelector": self._selector})
        async with self._changed:
            self._pods = {pod.job: pod for pod in map(pods.read, found["items"])}
            self._changed.notify_all()
        self._seen.set()
        version: str = found["metadata"]["resourceVersion"]
        return version

    async def _follow(self, version: str) -> None:
        query = {"labelSelector": self._selector, "resourceVersion": version, "timeoutSeconds": "240"}
        async for event in self._api.watch("v1", "pods", query=query):
            async with self._changed:
                self._take(event)
                self._changed.notify_all()

    def _take(self, event: Json) -> None:
        pod = pods.read(event["object"])
        if event["type"] != "DELETED":
            self._pods[pod.job] = pod
        elif (known := self._pods.get(pod.job)) is not None and known.name == pod.name:
            del self._pods[pod.job]

    async def ready(self) -> None:
        """Returns once the cluster has said what is there."""
        await self._seen.wait()

    def pod(self, job: str) -> Pod | None:
        return self._pods.get(job)

    async def running(self, job: str, seconds: float, *, bare: bool = False) -> Pod:
        """Waits for the pod of a Job; `bare`: for what comes before its container. Raises Unavailable,
        ResourceExhausted, Misconfigured, each with what the cluster says."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (found := await self._settled(job, min(_EVENTS_AFTER_S, until - loop.time()), bare=bare)) is None:
            if self.pod(job) is None and (error := await self._refused(job)):
                raise error
            if loop.time() >= until:
                raise pods.too_late(self.pod(job), seconds)
        if error := pods.hopeless(found):
            raise error
        return found

    async def gone(self, job: str, seconds: float) -> None:
        """Waits until a Job has no pod. Raises Unavailable."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.pod(job) is None)
        except TimeoutError as error:
            raise Unavailable(f"the pod of {job} does not end") from error

    async def _settled(self, job: str, seconds: float, *, bare: bool) -> Pod | None:
        """The pod once it runs or never will; None when it is neither after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)), self._changed:
                return await self._changed.wait_for(lambda: self._done(job, bare=bare))
        return None

    def _done(self, job: str, *, bare: bool) -> Pod | None:
        pod = self.pod(job)
        there = pod is not None and (pod.running or (bare and pod.bare) or pods.hopeless(pod))
        return pod if there else None

    async def _refused(self, job: str) -> FolkmootError | None:
        """What an event of the Job says that keeps it from having a pod."""
        query = {"fieldSelector": f"involvedObject.kind=Job,involvedObject.uid={job}"}
        events = (await self._api.get("v1", "events", query=query))["items"]
        said = (pods.forbidden(e.get("message", "")) for e in events if e.get("type") == "Warning")
        return next(filter(None, said), None)

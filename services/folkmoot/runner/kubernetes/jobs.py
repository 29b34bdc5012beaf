"""Jobs of one runner, through the API: made, found again, changed, deleted."""

import contextlib
import logging
from datetime import datetime

import msgspec

from folkmoot.kernel.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.kubernetes import job, surroundings
from folkmoot.runner.kubernetes.api import Api, Json
from folkmoot.runner.kubernetes.plan import Plan, Volume
from folkmoot.runner.workspace import Manifest
from folkmoot.runtime.clock import Clock

log = logging.getLogger(__name__)

_JOBS = ("batch/v1", "jobs")
_TRIES = 20
_PAUSE_S = 0.5
BEGAN = "folkmoot.dev/began"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A Job of ours that is there."""

    name: str
    uid: str
    version: str
    """Changes with whatever changes of it."""
    workspace: str
    """Label; empty for none of ours."""
    template: str
    """Label of one that was made before it was asked for; empty for others."""
    unclaimed: bool
    setup: bool
    """Nobody's workspace: an environment is made there."""
    manifest: Manifest | None
    ready: bool
    began: str
    """By our clock, ISO 8601."""
    over: bool


def read(found: Json) -> Found:
    meta, status = found["metadata"], found.get("status", {})
    labels: dict[str, str] = meta.get("labels", {})
    notes: dict[str, str] = meta.get("annotations", {})
    ended = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions", []))
    return Found(
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion", ""),
        workspace=labels.get(job.WORKSPACE, ""),
        template=labels.get(job.TEMPLATE, ""),
        unclaimed=labels.get(job.KIND) == job.WARM,
        setup=labels.get(job.KIND) == job.SETUP,
        manifest=job.decoded(notes.get(job.MANIFEST, "")),
        ready=job.READY in notes,
        began=notes.get(BEGAN, ""),
        over=ended or bool(meta.get("deletionTimestamp")),
    )


class Jobs:
    def __init__(self, api: Api, plan: Plan, runner: str, clock: Clock) -> None:
        self._api = api
        self._plan = plan
        self.runner = runner
        self._clock = clock

    @property
    def selector(self) -> str:
        """Of the pods and Jobs of this runner."""
        return f"{job.MANAGED}=folkmoot,{job.RUNNER}={self.runner}"

    def named(self, ident: WorkspaceId) -> str:
        return job.name(ident, self.runner)

    def plan_with(self, word: str) -> Plan:
        """As `Surroundings.word` says it; empty: the installation's own image."""
        wanted = surroundings.read(word)
        volume = Volume(bytes=wanted.volume_bytes, digest=wanted.digest) if wanted.key else None
        return msgspec.structs.replace(self._plan, image=wanted.image or self._plan.image, environment=volume)

    async def listed(self) -> list[Found]:
        answer = await self._api.get(*_JOBS, query={"labelSelector": self.selector})
        return [read(found) for found in answer["items"]]

    async def make(self, manifest: Manifest) -> Found:
        """The one that is there, if that is this one already: the answer to an earlier try may have been lost.

        Raises FailedPrecondition when another runner has one of this name, and what the API server refuses.
        """
        began = self._clock.now()
        plan = self.plan_with(manifest.environment)
        body = job.job(manifest, plan, self.runner, now=began)
        body["metadata"]["annotations"][BEGAN] = began.isoformat()
        return await self._created(body, manifest.nonce)

    async def make_canary(self, name: str, *, deadline_s: int) -> Found:
        labels = {job.KIND: "canary"}
        body = job.of(name, labels, self._plan, self.runner, annotations={}, deadline_s=deadline_s)
        return await self._created(body, "")

    async def make_setup(self, name: str, plan: Plan, *, deadline_s: int) -> Found:
        labels = {job.KIND: job.SETUP}
        return await self._created(job.of(name, labels, plan, self.runner, annotations={}, deadline_s=deadline_s), "")

    async def make_warm(self, name: str, word: str, *, lives_s: float) -> Found:
        began = self._clock.now()
        body = job.warm(name, self.plan_with(word), self.runner, lives_s=lives_s)
        body["metadata"]["annotations"][BEGAN] = began.isoformat()
        return await self._created(body, "")

    async def keep_warm(self, name: str) -> None:
        """A successor finds it ready. Raises NotFound, what the API server refuses."""
        await self._api.patch(*_JOBS, name, body={"metadata": {"annotations": {job.READY: "true"}}})

    async def claim(self, name: str, manifest: Manifest) -> Found | None:
        """It is this workspace's from now on, or it was not to be had. By the version that it was seen unclaimed at: of
        two that claim it at once one is refused, and looks again."""
        for _ in range(_TRIES):
            there = await self._found(name)
            if there is None:
                return None
            if there.manifest is not None and there.manifest.nonce == manifest.nonce:
                return there  # the answer to an earlier try was lost
            if there.over or not there.unclaimed:
                return None
            began = datetime.fromisoformat(there.began)
            try:
                body = job.claimed(manifest, version=there.version, began=began)
                return read(await self._api.patch(*_JOBS, name, body=body))
            except NotFound:
                return None
            except Conflict:
                continue
        raise Unavailable(f"{name} changes too often to be claimed")

    async def discard(self, name: str) -> None:
        """Delete it, unless somebody claimed it."""
        for _ in range(_TRIES):
            there = await self._found(name)
            if there is None or not there.unclaimed:
                return None
            with contextlib.suppress(Conflict):
                return await self._api.delete(*_JOBS, name, version=there.version)
        raise Unavailable(f"{name} changes too often to be deleted")

    async def _found(self, name: str) -> Found | None:
        with contextlib.suppress(NotFound):
            return read(await self._api.get(*_JOBS, name))
        return None

    async def _created(self, body: job.Object, nonce: str) -> Found:
        name = str(body["metadata"]["name"])
        for _ in range(_TRIES):
            try:
                return read(await self._api.create(*_JOBS, body=body))
            except Conflict:
                if (there := await self._met(name, nonce)) is not None:
                    return there
            await self._clock.sleep(_PAUSE_S)
        raise Unavailable(f"the cluster is slow to remove an earlier {name}")

    async def _met(self, name: str, nonce: str) -> Found | None:
        """Ours; what is another's of our own name and an earlier life is deleted."""
        try:
            answer = await self._api.get(*_JOBS, name)
        except NotFound:
            return None
        if answer["metadata"].get("labels", {}).get(job.RUNNER) != self.runner:
            raise FailedPrecondition("runner", f"another runner has a workspace of this name in the cluster: {name}")
        there = read(answer)
        if not there.over and nonce and there.manifest is not None and there.manifest.nonce == nonce:
            return there
        await self.delete(name)
        return None

    async def keep(self, name: str, manifest: Manifest, *, began: str, ready: bool) -> None:
        """Raises what the API server refuses."""
        notes = {job.MANIFEST: job.encoded(manifest), **({job.READY: "true"} if ready else {})}
        deadline = job.deadline_s(manifest, began=datetime.fromisoformat(began))
        patch = {"metadata": {"annotations": notes}, "spec": {"activeDeadlineSeconds": deadline}}
        try:
            await self._api.patch(*_JOBS, name, body=patch)
        except NotFound as error:
            raise Unavailable("the workspace is gone: its Job was deleted") from error

    async def delete(self, name: str) -> None:
        """With its pod; fine where it is gone already."""
        await self._api.delete(*_JOBS, name)

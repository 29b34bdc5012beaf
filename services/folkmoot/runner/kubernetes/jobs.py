"""Jobs of one runner, through the API: made, found again, changed, deleted."""

import logging
from datetime import datetime

import msgspec

from folkmoot.kernel.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.kubernetes import job
from folkmoot.runner.kubernetes.api import Api, Json
from folkmoot.runner.kubernetes.plan import Plan
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
    workspace: str
    """Label; empty for none of ours."""
    manifest: Manifest | None
    ready: bool
    began: str
    """By our clock, ISO 8601."""
    over: bool


def read(found: Json) -> Found:
    meta, status = found["metadata"], found.get("status", {})
    notes: dict[str, str] = meta.get("annotations", {})
    ended = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions", []))
    return Found(
        name=meta["name"],
        uid=meta["uid"],
        workspace=meta.get("labels", {}).get(job.WORKSPACE, ""),
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

    async def listed(self) -> list[Found]:
        answer = await self._api.get(*_JOBS, query={"labelSelector": self.selector})
        return [read(found) for found in answer["items"]]

    async def make(self, manifest: Manifest) -> Found:
        """The one that is there, if that is this one already: the answer to an earlier try may have been lost.

        Raises FailedPrecondition when another runner has one of this name, and what the API server refuses.
        """
        began = self._clock.now()
        body = job.job(manifest, self._plan, self.runner, now=began)
        body["metadata"]["annotations"][BEGAN] = began.isoformat()
        return await self._created(body, manifest.nonce)

    async def make_canary(self, name: str, *, deadline_s: int) -> Found:
        labels = {job.KIND: "canary"}
        body = job.of(name, labels, self._plan, self.runner, annotations={}, deadline_s=deadline_s)
        return await self._created(body, "")

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

    async def keep(self, manifest: Manifest, *, began: str, ready: bool) -> None:
        """Raises what the API server refuses."""
        notes = {job.MANIFEST: job.encoded(manifest), **({job.READY: "true"} if ready else {})}
        deadline = job.deadline_s(manifest, began=datetime.fromisoformat(began))
        patch = {"metadata": {"annotations": notes}, "spec": {"activeDeadlineSeconds": deadline}}
        try:
            await self._api.patch(*_JOBS, self.named(manifest.wish.workspace_id), body=patch)
        except NotFound as error:
            raise Unavailable("the workspace is gone: its Job was deleted") from error

    async def delete(self, name: str) -> None:
        """With its pod; fine where it is gone already."""
        await self._api.delete(*_JOBS, name)

    async def remove(self, ident: WorkspaceId) -> None:
        await self.delete(self.named(ident))

"""What the cluster says of a pod, and what that means to whoever waits for it. Pure."""

import msgspec

from folkmoot.kernel.errors import FolkmootError, Misconfigured, ResourceExhausted, Unavailable
from folkmoot.runner.kubernetes.api import Json

_NO_IMAGE = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ErrImageInspect"})
_NO_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_RETRY_S = 5.0


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """As far as it matters here."""

    name: str
    job: str
    """Uid of its Job: a name may be used again."""
    running: bool
    """Its container runs and has an address, and nobody has asked it to end."""
    bare: bool = False
    """What comes before its container runs, and waits for an environment."""
    over: str = ""
    """Why it will not run (any more); empty: it may."""
    waits: tuple[str, str] = ("", "")
    """Reason and message of what keeps it from running."""
    address: str = ""
    node: str = ""


def read(found: Json) -> Pod:
    meta, status = found["metadata"], found.get("status", {})
    containers: list[Json] = status.get("containerStatuses", [])
    state: Json = containers[0].get("state", {}) if containers else {}
    before: list[Json] = status.get("initContainerStatuses", [])
    first: Json = before[0].get("state", {}) if before else {}
    over = _over(meta, status, state)
    return Pod(
        name=meta["name"],
        job=meta.get("labels", {}).get("batch.kubernetes.io/controller-uid", ""),
        running="running" in state and not over and "podIP" in status,
        bare="running" in first and not over and "podIP" in status,
        over=over,
        waits=_waits(status, first if "waiting" in first else state),
        address=status.get("podIP", ""),
        node=status.get("hostIP", ""),
    )


def _over(meta: Json, status: Json, state: Json) -> str:
    """Who ended it comes first: of a container that a kubelet ended, the reason may be of something that was survived
    earlier."""
    if evicted := _evicted(status):
        return f"the pod was evicted: {evicted}"
    if ended := state.get("terminated"):
        return f"its container ended: {ended.get('reason', '')} (exit {ended.get('exitCode')})"
    if status.get("phase") in ("Failed", "Succeeded"):
        return f"the pod ended: {status.get('reason', '')} {status.get('message', '')}".strip()
    if meta.get("deletionTimestamp"):
        return "the pod was deleted"
    return ""


def _evicted(status: Json) -> str:
    """In the cluster's words; empty where it was not."""
    conditions: list[Json] = status.get("conditions", [])
    aimed = next((c for c in conditions if c["type"] == "DisruptionTarget" and c["status"] == "True"), None)
    if status.get("reason") != "Evicted" and aimed is None:
        return ""
    said: Json = aimed or {}
    message: str = status.get("message", "") or said.get("message", "")
    return (message or said.get("reason", "") or "no reason").strip()[:500]


def _waits(status: Json, state: Json) -> tuple[str, str]:
    if waiting := state.get("waiting"):
        return waiting.get("reason", ""), waiting.get("message", "")
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return condition.get("reason", ""), condition.get("message", "")
    return "", ""


def hopeless(pod: Pod) -> FolkmootError | None:
    """What waiting does not mend."""
    reason, message = pod.waits
    if reason in _NO_IMAGE:
        return Misconfigured(f"the image of workspaces cannot be had ({reason}): {message[:500]}")
    if reason in _NO_CONTAINER:
        return Misconfigured(f"the container of a workspace cannot be made ({reason}): {message[:500]}")
    if pod.over:
        return Unavailable(f"a workspace's pod did not come up: {pod.over}", _RETRY_S)
    return None


def too_late(pod: Pod | None, seconds: float) -> FolkmootError:
    """What it waited for when the time was over."""
    if pod is None:
        return Unavailable(f"the cluster made no pod within {seconds:g} s", _RETRY_S)
    reason, message = pod.waits
    if reason == "Unschedulable":
        return ResourceExhausted(f"no node has room for a workspace: {message[:500]}", _RETRY_S)
    return Unavailable(
        f"a workspace's pod is not running after {seconds:g} s ({reason or 'no reason'}) {message[:300]}"
    )


def forbidden(message: str) -> FolkmootError | None:
    """Of an event that says why a Job has no pod."""
    if "exceeded quota" in message:
        return ResourceExhausted(message[:1_000], _RETRY_S)
    if "forbidden" in message or "denied" in message or "is invalid" in message:
        return Misconfigured(f"the cluster admits no workspace: {message[:1_000]}")
    return None

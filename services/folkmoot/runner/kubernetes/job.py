"""The Job of one workspace, as the API takes it. Pure: all of a workspace can be recovered from what stands here."""

import hashlib
import json
import secrets
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.command import REPO
from folkmoot.runner.environment.profile import TARGET
from folkmoot.runner.kubernetes.plan import Plan
from folkmoot.runner.kubernetes.pod import init, run
from folkmoot.runner.workspace import Manifest

Object = dict[str, Any]
"""As JSON has it."""

UID = 65_534
HOME = "/home/agent"
TMP = "/tmp"  # noqa: S108 -- inside
TERMINATION_LOG = "/dev/termination-log"
"""A file of the node's, which every container may write."""
CONTAINER = "workspace"
MANAGED = "app.kubernetes.io/managed-by"
RUNNER = "folkmoot.dev/runner"
WORKSPACE = "folkmoot.dev/workspace"
TASK = "folkmoot.dev/task"
KIND = "folkmoot.dev/kind"
MANIFEST = "folkmoot.dev/manifest"
READY = "folkmoot.dev/ready"
"""Annotation of a workspace whose check-out is complete, and of a warm one whose pod is up and kept off the network: a
successor goes on with it."""
TEMPLATE = "folkmoot.dev/template"
"""Label of a warm one: what its pod is made of."""
WARM = "warm"
"""Kind of one that nobody has claimed."""
SETUP = "setup"
"""Kind of one in which an environment is made."""
DRESSER = "environment"
"""Container that is there first, and lets the runner lay an environment into its volume; and that volume's name."""
_FINISHED_TTL_S = 120
"""What ended by itself stays so long to be looked at."""
_OVERTIME_S = 300.0
"""The runner ends a workspace when its lease is over; the cluster does when there is no runner."""
_WATCHER = "import sys\nsys.argv=['run'];exec(open('/proc/1/cmdline','rb').read().split(b'\\0')[-2])"
WATCHER = ("python3", "-I", "-S", "-c", _WATCHER)
"""Runs a command: `pod/run.py`, as process 1 was given it."""


def name(ident: WorkspaceId, runner: str) -> str:
    """The same for the same workspace of the same runner, so that a create that is repeated meets the first."""
    return f"moot-{hashlib.sha256(f'{runner} {ident}'.encode()).hexdigest()[:24]}"


def job(manifest: Manifest, plan: Plan, runner: str, *, now: datetime) -> Object:
    return of(
        name(manifest.wish.workspace_id, runner),
        _labels(manifest),
        plan,
        runner,
        annotations={MANIFEST: encoded(manifest)},
        deadline_s=deadline_s(manifest, began=now),
    )


def warm_name() -> str:
    """One that no other has, nor will have."""
    return f"moot-warm-{secrets.token_hex(12)}"


def setup_name() -> str:
    """As `warm_name`."""
    return f"moot-setup-{secrets.token_hex(12)}"


def is_warm_name(name: str) -> bool:
    return name.startswith("moot-warm-")


@lru_cache(maxsize=256)
def template(plan: Plan) -> str:
    """Two pods of one template are as good as each other, and as those that would be made now."""
    laid = plan.environment.digest if plan.environment else ""
    return hashlib.sha256(f"{laid}{json.dumps(_pod(plan), sort_keys=True)}".encode()).hexdigest()[:32]


def warm(name: str, plan: Plan, runner: str, *, lives_s: float) -> Object:
    """Ends by itself where its runner does not claim it."""
    labels = {KIND: WARM, TEMPLATE: template(plan)}
    return of(name, labels, plan, runner, annotations={}, deadline_s=int(lives_s + _OVERTIME_S))


def claimed(manifest: Manifest, *, version: str, began: datetime) -> Object:
    """The change that makes a warm Job a workspace's: refused unless it is as it was at `version`. What is in it is
    not ready before its check-out is."""
    labels = _labels(manifest)
    notes = {MANIFEST: encoded(manifest), READY: None}
    return {
        "metadata": {"resourceVersion": version, "labels": labels, "annotations": notes},
        "spec": {"activeDeadlineSeconds": deadline_s(manifest, began=began)},
    }


def _labels(manifest: Manifest) -> dict[str, str]:
    wish = manifest.wish
    return {WORKSPACE: _label(wish.workspace_id), TASK: _label(wish.task_id), KIND: "workspace"}


def deadline_s(manifest: Manifest, *, began: datetime) -> int:
    """Of a Job that began then."""
    return int((manifest.expires_at - began).total_seconds() + _OVERTIME_S)


def of(
    named: str, labels: dict[str, str], plan: Plan, runner: str, *, annotations: dict[str, str], deadline_s: int
) -> Object:
    """Of any kind."""
    every = {MANAGED: "folkmoot", RUNNER: runner, **labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": named, "labels": every, "annotations": annotations},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": deadline_s,
            "ttlSecondsAfterFinished": _FINISHED_TTL_S,
            "template": {"metadata": {"labels": every}, "spec": _pod(plan)},
        },
    }


def _pod(plan: Plan) -> Object:
    spec: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": plan.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "hostname": "workspace",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan, CONTAINER, _mounts(plan))],
        "volumes": [{"name": part, "emptyDir": {"sizeLimit": str(size)}} for part, size in _volumes(plan)],
    }
    if plan.environment and plan.environment.digest:
        # When it is over nobody has it writable any more: commands run in another container.
        spec["initContainers"] = [_container(plan, DRESSER, [{"name": DRESSER, "mountPath": TARGET}])]
    if plan.runtime_class:
        spec["runtimeClassName"] = plan.runtime_class
    if plan.node_selector:
        spec["nodeSelector"] = dict(plan.node_selector)
    if plan.tolerations:
        spec["tolerations"] = [dict(each) for each in plan.tolerations]
    return spec


def _volumes(plan: Plan) -> list[tuple[str, int]]:
    own = [("repo", plan.disk_bytes), ("home", plan.disk_bytes), ("tmp", plan.tmp_bytes)]
    return [*own, (DRESSER, plan.environment.bytes)] if plan.environment else own


def _mounts(plan: Plan) -> list[Object]:
    """Of the container in which commands run."""
    own: list[Object] = [{"name": part, "mountPath": at} for part, at in (("repo", REPO), ("home", HOME), ("tmp", TMP))]
    if plan.environment is None:
        return own
    there: Object = {"name": DRESSER, "mountPath": TARGET}
    if not plan.environment.digest:
        return [*own, there]
    modules = {"name": DRESSER, "mountPath": "/node_modules", "subPath": "node_modules", "readOnly": True}
    return [*own, {**there, "readOnly": True}, modules]


def _container(plan: Plan, named: str, mounts: list[Object]) -> Object:
    resources = {
        "cpu": f"{plan.cpu_millis}m",
        "memory": str(plan.memory_bytes),
        "ephemeral-storage": str(plan.ephemeral_bytes),
    }
    return {
        "name": named,
        "image": plan.image,
        "imagePullPolicy": plan.pull,
        "command": ["python3", "-I", "-S", "-c", *_sources()],
        "workingDir": REPO,
        "stdin": False,
        "resources": {"requests": resources, "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


@cache
def _sources() -> tuple[str, str]:
    """Of process 1, and of the watcher that it holds for `WATCHER`. `$(…)` would be replaced by the kubelet."""
    return _source(init), _source(run)


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text("utf-8").replace("$(", "$$(")


def _label(value: str) -> str:
    """Whatever a label cannot hold, the annotation does."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in value)[:63]
    return plain.strip("-_.")


def encoded(manifest: Manifest) -> str:
    return msgspec.json.encode(manifest).decode()


def decoded(text: str) -> Manifest | None:
    """None for what is no manifest."""
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError:
        return None

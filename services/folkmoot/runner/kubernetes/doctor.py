"""What a cluster has for workspaces, and what it lacks: each wall tried, with how to mend it. For `moot doctor`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Never

import msgspec

from folkmoot.kernel.errors import FolkmootError, Misconfigured, NotFound
from folkmoot.runner.kubernetes import canary, plan
from folkmoot.runner.kubernetes.api import Api, Json, connected
from folkmoot.runner.kubernetes.making import untried
from folkmoot.runner.stock import Sources
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.settings import KubernetesSettings, Settings

_NEEDED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("batch", "jobs"): ("create", "get", "list", "patch", "delete"),
    ("", "pods"): ("get", "list", "watch"),
    ("", "pods/exec"): ("get", "create"),
    ("", "events"): ("list",),
}
"""By group and resource."""
_TOO_MUCH: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("create", "delete", "patch"),
    ("", "secrets"): ("get", "list", "create"),
    ("", "configmaps"): ("create",),
    ("", "serviceaccounts/token"): ("create",),
    ("", "namespaces"): ("patch", "delete"),
    ("", "nodes"): ("get", "list"),
    ("", "nodes/proxy"): ("get",),
    ("", "resourcequotas"): ("delete",),
    ("networking.k8s.io", "networkpolicies"): ("create", "patch", "delete"),
    ("rbac.authorization.k8s.io", "rolebindings"): ("create",),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): ("create",),
}
"""What lies next to them, and whoever takes the runner would use first."""
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_OLDEST = 30
"""Minor version: an exec of `v5.channel.k8s.io`."""
_INSTALL = "kubectl apply -f deploy/kubernetes"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    needed: bool = True
    """False: worth knowing, but workspaces work without it."""
    text: str
    mend: str = ""


async def examined(folder: Path, settings: Settings, clock: Clock) -> list[Finding]:
    """Never raises; `folder` is empty and is thrown away. What comes after something that is needed and missing is not
    tried."""
    found = [_image(settings.kubernetes)]
    if not found[0].ok:
        return found
    try:
        async with connected(settings.kubernetes) as api:
            found += [await _version(api)]
            found += [await _needed(api), await _too_much(api), await _namespace(api), await _quota(api)]
    except FolkmootError as error:
        mend = "set FOLKMOOT_KUBERNETES_KUBECONFIG, or mend the cluster; docs/kubernetes.md"
        return [*found, Finding(name="cluster", ok=False, text=str(error), mend=mend)]
    if all(f.ok for f in found if f.needed):
        found += await _canaries(folder, settings, clock)
    return found


def _image(settings: KubernetesSettings) -> Finding:
    mend = "see deploy/images/workspaces, and set FOLKMOOT_KUBERNETES_IMAGE"
    try:
        return Finding(name="image", ok=True, text=plan.plan(settings).image)
    except FolkmootError as error:
        return Finding(name="image", ok=False, text=str(error), mend=mend)


async def _version(api: Api) -> Finding:
    said = await api.get("/version")
    minor = "".join(c for c in str(said.get("minor", "")) if c.isdigit())
    new = minor.isdecimal() and int(minor) >= _OLDEST
    text = f"{said.get('gitVersion', 'of no version')} at {api.server}"
    return Finding(name="cluster", ok=bool(new), text=text, mend=f"it needs Kubernetes 1.{_OLDEST} or later")


async def _needed(api: Api) -> Finding:
    missing = [
        f"{verb} {resource}"
        for (group, resource), verbs in _NEEDED.items()
        for verb in verbs
        if not await _may(api, group, resource, verb)
    ]
    count = sum(map(len, _NEEDED.values()))
    text = f"may not {', '.join(missing)}" if missing else f"all {count} that a runner needs in {api.namespace}"
    return Finding(name="rights", ok=not missing, text=text, mend=f"{_INSTALL}, and use folkmoot-runner's kubeconfig")


async def _too_much(api: Api) -> Finding:
    over = [
        f"{verb} {resource}"
        for (group, resource), verbs in _TOO_MUCH.items()
        for verb in verbs
        if await _may(api, group, resource, verb)
    ]
    over += ["create jobs in default"] if await _may(api, "batch", "jobs", "create", namespace="default") else []
    text = f"it may also {', '.join(over)}" if over else "nothing beside them: no pods, secrets, policies, roles, nodes"
    mend = "use the kubeconfig of folkmoot-runner, not an administrator's"
    return Finding(name="no other rights", ok=not over, needed=False, text=text, mend=mend)


async def _may(api: Api, group: str, resource: str, verb: str, *, namespace: str = "") -> bool:
    resource, _, sub = resource.partition("/")
    asked = {"group": group, "resource": resource, "subresource": sub, "verb": verb}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": namespace or api.namespace, **asked}},
    }
    answer = await api.create(_REVIEWS, body=body)
    return bool(answer["status"]["allowed"])


async def _namespace(api: Api) -> Finding:
    try:
        await canary.secured(api)
    except Misconfigured as error:
        return Finding(name="pod security", ok=False, text=str(error), mend=_INSTALL)
    return Finding(name="pod security", ok=True, text=f"{api.namespace} enforces restricted")


async def _quota(api: Api) -> Finding:
    """A runner may not read quotas; whoever runs the doctor may."""
    name, mend = "quota", f"{_INSTALL}: a runner that went wild stops there"
    try:
        items: list[Json] = (await api.get("v1", "resourcequotas"))["items"]
    except Misconfigured:
        return Finding(name=name, ok=True, needed=False, text="cannot be seen with a runner's rights")
    left = [f"{_used(q, 'pods')} of {q['spec']['hard']['pods']} pods" for q in items if "pods" in q["spec"]["hard"]]
    text = ", ".join(left) or f"none in {api.namespace}"
    return Finding(name=name, ok=bool(left), needed=False, text=text, mend=mend)


def _used(quota: Json, what: str) -> str:
    return str(quota.get("status", {}).get("used", {}).get(what, "?"))


async def _canaries(folder: Path, settings: Settings, clock: Clock) -> list[Finding]:
    kind = settings.kubernetes.runtime_class
    alone = Finding(
        name="runtime class",
        ok=bool(kind),
        needed=False,
        text=kind or "none: pods share their node's kernel",
        mend="set FOLKMOOT_KUBERNETES_RUNTIME_CLASS to one of gVisor or Kata",
    )
    try:
        async with untried(folder, sources=_no_sources(), settings=settings, clock=clock) as backend:
            seen = await canary.trial(backend, settings)
    except FolkmootError as error:
        mend = "what the cluster says tells who has to mend it; docs/kubernetes.md"
        return [alone, Finding(name="canary", ok=False, text=str(error), mend=mend)]
    return [alone, Finding(name="canary", ok=True, text="two pods ran, with all programs"), *_seen(seen)]


def _no_sources() -> Sources:
    """Of canaries, which have no repository."""

    def nowhere(_: object) -> Never:
        raise NotFound("there is no repository")

    async def nothing(*_: object) -> Never:
        raise NotFound("there is no repository")

    return Sources(
        objects=nowhere, bundles=nothing, changes=nothing, exhibits=nothing, environment=nothing, contents=nothing
    )


def _seen(trial: canary.Trial) -> list[Finding]:
    walls = Finding(
        name="walls",
        ok=trial.walls == canary.WALLS,
        text=trial.walls if trial.walls != canary.WALLS else "no capabilities, NoNewPrivs, seccomp, no user namespaces",
        mend="a pod must have what Pod Security `restricted` asks for",
    )
    open_ = ", ".join(trial.open)
    network = Finding(
        name="network policy",
        ok=not trial.open,
        text=f"a workspace reaches {open_}" if open_ else "nothing answered a canary: it is enforced",
        mend=f"{_INSTALL}, and a network plugin that enforces NetworkPolicy",
    )
    return [walls, network]

"""The settings of the Kubernetes backend, read into what a pod is made of. Pure."""

import re
from collections.abc import Iterator

import msgspec

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.runtime.settings import KubernetesSettings

_MIB = 1024**2
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
MEMORY_SHARE = 0.9
"""Of what the kernel would kill at: the watcher is to see it first."""
_EFFECTS = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})


class Share(msgspec.Struct, frozen=True):
    """Of a node, for one workspace."""

    cpu_millis: int
    memory_bytes: int
    disk_bytes: int
    processes: int


CLASSES = {
    "light": Share(250, 512 * _MIB, 1024 * _MIB, 256),
    "medium": Share(1_000, 2_048 * _MIB, 2_048 * _MIB, 512),
    "heavy": Share(4_000, 8_192 * _MIB, 8_192 * _MIB, 1_024),
}


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Where an environment is, or comes to be."""

    bytes: int
    digest: str = ""
    """Of what is laid into it before commands see it, read-only; empty: commands fill it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a pod of this runner has, besides whose it is."""

    image: str
    pull: str
    service_account: str
    cpu_millis: int
    memory_bytes: int
    disk_bytes: int
    """Of the repository, and of the home folder."""
    processes: int
    runtime_class: str
    node_selector: tuple[tuple[str, str], ...]
    tolerations: tuple[tuple[tuple[str, str], ...], ...]
    environment: Volume | None = None
    together_bytes: int = 0
    """Of the repository, the home folder and the environment, where each may be full but not all of them; 0: all."""

    @property
    def tmp_bytes(self) -> int:
        return self.disk_bytes // 2

    @property
    def ephemeral_bytes(self) -> int:
        """All volumes full, and a little for the node's own logs."""
        every = 2 * self.disk_bytes + (self.environment.bytes if self.environment else 0)
        return (self.together_bytes or every) + self.tmp_bytes + 16 * _MIB


def plan(settings: KubernetesSettings) -> Plan:
    """Raises Misconfigured, InvalidInput naming the setting."""
    share = CLASSES[settings.size]
    return Plan(
        image=_image(settings),
        pull=settings.pull,
        service_account=settings.service_account,
        cpu_millis=settings.cpu_millis or share.cpu_millis,
        memory_bytes=settings.memory_bytes or share.memory_bytes,
        disk_bytes=settings.disk_bytes or share.disk_bytes,
        processes=share.processes,
        runtime_class=settings.runtime_class,
        node_selector=tuple(_pairs(settings.node_selector, "kubernetes.node_selector")),
        tolerations=tuple(_tolerations(settings.tolerations)),
    )


def _image(settings: KubernetesSettings) -> str:
    if not settings.image:
        raise Misconfigured(
            "workspaces in a cluster need an image: set FOLKMOOT_KUBERNETES_IMAGE to one of deploy/images/workspaces, "
            "by digest"
        )
    if not by_digest(settings.image):
        raise InvalidInput("kubernetes.image", f"{settings.image!r} names no digest: a tag may become another image")
    return settings.image


def by_digest(image: str) -> bool:
    return bool(_DIGEST.search(image))


def _pairs(text: str, field: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, found, value = part.partition("=")
        if not (key and found):
            raise InvalidInput(field, f"{part!r} is not as key=value")
        yield key, value


def _tolerations(text: str) -> Iterator[tuple[tuple[str, str], ...]]:
    for part in filter(None, (p.strip() for p in text.split(","))):
        matched, _, effect = part.rpartition(":")
        key, equal, value = matched.partition("=")
        if not key or effect not in _EFFECTS:
            raise InvalidInput("kubernetes.tolerations", f"{part!r} is not as key=value:Effect or key:Effect")
        operator = (("operator", "Equal"), ("value", value)) if equal else (("operator", "Exists"),)
        yield (("key", key), ("effect", effect), *operator)

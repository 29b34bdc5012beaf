"""What `moot doctor` says of a cluster: each wall tried on a real one."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.runner.kubernetes.doctor import Finding, examined
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import KubernetesSettings, Settings
from tests.fixtures.backends import settings
from tests.fixtures.cluster import Cluster, command
from tests.fixtures.platform import Moot


async def told(folder: Path, wanted: KubernetesSettings) -> dict[str, Finding]:
    found = await examined(folder / "doctor", Settings(kubernetes=wanted), SystemClock())
    return {finding.name: finding for finding in found}


def test_a_cluster_with_every_wall(cluster: Cluster, tmp_path: Path) -> None:
    """By the command: each is named as holding; that pods share their node's kernel is said, and fails nothing; what
    agents would need on this machine is only worth knowing then."""
    wanted = settings(cluster, tmp_path)
    moot = Moot(tmp_path / "data")
    moot.env |= {
        "FOLKMOOT_RUNNER_BACKEND": "kubernetes",
        "FOLKMOOT_KUBERNETES_KUBECONFIG": wanted.kubeconfig,
        "FOLKMOOT_KUBERNETES_IMAGE": wanted.image,
        "FOLKMOOT_KUBERNETES_PULL": "Never",
        "FOLKMOOT_KUBERNETES_CPU_MILLIS": str(wanted.cpu_millis),
        "FOLKMOOT_KUBERNETES_MEMORY_BYTES": str(wanted.memory_bytes),
    }
    done = moot("doctor", "--json")
    found = {f["name"]: f for f in done.json["findings"]}
    there = {name.removeprefix("kubernetes: "): f for name, f in found.items() if name.startswith("kubernetes: ")}
    assert [name for name, f in there.items() if not f["ok"]] == ["runtime class"]
    assert [name for name, f in there.items() if f["needed"]] == [
        *("image", "cluster", "rights", "pod security", "canary", "walls", "network policy")
    ]
    assert done.code == 0
    assert not found["isolation"]["needed"]


@pytest.mark.disturbs
async def test_a_cluster_whose_policies_mean_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """What a workspace reaches is named, with what to do."""
    assert command("ignore-policies").returncode == 0
    try:
        found = await told(tmp_path, settings(cluster, tmp_path))
    finally:
        assert command("up", "--set", "base").returncode == 0
    assert not found["network policy"].ok
    assert "10250" in found["network policy"].text
    assert found["network policy"].mend


async def test_an_administrator_and_an_image_that_is_missing(cluster: Cluster, tmp_path: Path) -> None:
    """Rights that a runner does not need are a note; an image that is not there is what the cluster says."""
    wanted = settings(cluster, tmp_path, image="localhost/none@sha256:" + "0" * 64)
    wanted = msgspec.structs.replace(wanted, kubeconfig=str(cluster.kubeconfig))
    found = await told(tmp_path, wanted)
    assert (found["no other rights"].ok, found["no other rights"].needed) == (False, False)
    assert "secrets" in found["no other rights"].text
    assert found["quota"].ok
    assert not found["canary"].ok
    assert "image" in found["canary"].text


async def test_no_rights_no_cluster_no_image(cluster: Cluster, tmp_path: Path) -> None:
    """What is missing first is said, and nothing that comes after it."""
    assert list(await told(tmp_path, KubernetesSettings())) == ["image"]
    away = settings(cluster, tmp_path, request_s=0.5, kubeconfig=str(tmp_path / "none"))
    found = await told(tmp_path, away)
    assert (list(found), found["cluster"].ok) == (["image", "cluster"], False)
    elsewhere = settings(cluster, tmp_path, namespace="default")
    found = await told(tmp_path, elsewhere)
    assert not found["rights"].ok
    assert "create jobs" in found["rights"].text
    assert "canary" not in found

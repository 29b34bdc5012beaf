"""The runner's role in the cluster (deploy/kubernetes): each right that it has is needed, each that lies next to it is
refused, as the real API server says."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runner.kubernetes.api import Api, connected
from tests.fixtures.backends import NAMESPACE, settings
from tests.fixtures.cluster import Cluster

ROLE = {
    ("batch", "jobs", ""): {"create", "get", "list", "patch", "delete"},
    ("", "pods", ""): {"get", "list", "watch"},
    ("", "pods/exec", ""): {"get", "create"},
    ("", "events", ""): {"list"},
    ("", "namespaces", NAMESPACE): {"get"},
}
ANYBODY = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
"""What every account may ask about itself."""


@contextlib.asynccontextmanager
async def as_runner(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Api]:
    async with connected(settings(cluster, tmp_path)) as api:
        yield api


def rules(cluster: Cluster, account: str) -> list[dict[str, Any]]:
    """As the API server adds them up for a service account of ours in our namespace."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": NAMESPACE},
    }
    who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    groups = [f"--as-group=system:serviceaccounts:{NAMESPACE}", "--as-group=system:authenticated"]
    said = cluster.kubectl(
        "create", "--validate=false", who, *groups, "-f", "-", "-o", "json", stdin=json.dumps(review)
    )
    found: list[dict[str, Any]] = json.loads(said)["status"]["resourceRules"]
    return [rule for rule in found if not set(rule["resources"]) <= ANYBODY]


def test_the_role_is_what_is_written_here(cluster: Cluster) -> None:
    """All that a runner may, and nothing else, in its namespace; workspaces may nothing."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for rule in rules(cluster, "folkmoot-runner"):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames") or [""]:
                    found.setdefault((group, resource, name), set()).update(rule["verbs"])
    assert found == ROLE
    assert rules(cluster, "folkmoot-workspace") == []


_BESIDE = [
    ("v1", "secrets"),
    ("v1", "configmaps"),
    ("v1", "serviceaccounts"),
    ("v1", "resourcequotas"),
    ("networking.k8s.io/v1", "networkpolicies"),
    ("rbac.authorization.k8s.io/v1", "roles"),
    ("batch/v1", "cronjobs"),
]


@pytest.mark.parametrize(("version", "kind"), _BESIDE)
async def test_what_lies_beside_is_refused(cluster: Cluster, tmp_path: Path, version: str, kind: str) -> None:
    """Neither read nor made, with the token that a runner has."""
    async with as_runner(cluster, tmp_path) as api:
        with pytest.raises(Misconfigured, match="forbidden"):
            await api.get(version, kind)
        with pytest.raises(Misconfigured, match="forbidden"):
            await api.create(version, kind, body={"metadata": {"name": "x"}})


async def test_other_namespaces_and_the_cluster_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    """A pod of its own, another namespace's Jobs, the nodes, and the kubelet behind the API server."""
    async with as_runner(cluster, tmp_path) as api:
        with pytest.raises(Misconfigured, match="forbidden"):
            await api.create("v1", "pods", body={"metadata": {"name": "x"}})
        with pytest.raises(Misconfigured, match="forbidden"):
            await api.create("v1", "serviceaccounts", "folkmoot-runner", "token", body={})
        for path in ("api/v1/nodes", "apis/batch/v1/namespaces/default/jobs", "api/v1/nodes/testbed/proxy/pods"):
            assert await _status(cluster, tmp_path, path) == 403


async def _status(cluster: Cluster, tmp_path: Path, path: str) -> int:
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text("utf-8"))
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{cluster.server}/{path}", headers=headers, ssl=False) as answer,
    ):
        return answer.status

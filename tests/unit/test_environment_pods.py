"""Environments in pods, the parts that need no pod: what a cluster is asked for, and how what was made is packed."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.runner.environment.profile import TARGET
from folkmoot.runner.kubernetes import job, surroundings
from folkmoot.runner.kubernetes.plan import Volume, plan
from folkmoot.runner.kubernetes.pod import pack
from folkmoot.runner.kubernetes.setup import taken_too_much
from folkmoot.runner.kubernetes.surroundings import Surroundings
from folkmoot.runtime.settings import KubernetesSettings

PLAIN = plan(KubernetesSettings(image="localhost/x@sha256:" + "0" * 64, size="light"))


def pod(volume: Volume) -> dict[str, Any]:
    wanted = msgspec.structs.replace(PLAIN, environment=volume)
    made = job.of("n", {}, wanted, "r", annotations={}, deadline_s=9)
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def test_commands_see_it_read_only() -> None:
    """The one container that may write to it has no other volume, ends before, and has every wall of the other."""
    found = pod(Volume(bytes=1_000, digest="d"))
    (first,), (commands,) = found["initContainers"], found["containers"]
    assert first["volumeMounts"] == [{"name": "environment", "mountPath": TARGET}]
    of_it = [mount for mount in commands["volumeMounts"] if mount["name"] == "environment"]
    assert [(m["mountPath"], m["readOnly"]) for m in of_it] == [(TARGET, True), ("/node_modules", True)]
    for wall in ("securityContext", "resources", "image", "command"):
        assert first[wall] == commands[wall]
    assert {"name": "environment", "emptyDir": {"sizeLimit": "1000"}} in found["volumes"]


def test_a_set_up_fills_it() -> None:
    """In its own pod, of which nothing comes before."""
    found = pod(Volume(bytes=1_000))
    assert "initContainers" not in found
    assert {"name": "environment", "mountPath": TARGET} in found["containers"][0]["volumeMounts"]


def test_templates_tell_environments_apart() -> None:
    """Also two of one size: a warm pod of the one is none of the other."""
    kinds = [None, Volume(bytes=9, digest="a"), Volume(bytes=9, digest="b"), Volume(bytes=9)]
    assert len({job.template(msgspec.structs.replace(PLAIN, environment=kind)) for kind in kinds}) == 4


def test_the_disk_that_a_pod_asks_for() -> None:
    """All that may be full; of a set-up, what it may use together."""
    laid = msgspec.structs.replace(PLAIN, environment=Volume(bytes=1_000, digest="d"))
    assert laid.ephemeral_bytes == PLAIN.ephemeral_bytes + 1_000
    assert msgspec.structs.replace(laid, together_bytes=7).ephemeral_bytes == 7 + PLAIN.tmp_bytes + 16 * 1024**2


@given(
    st.builds(
        Surroundings,
        image=st.sampled_from(["", PLAIN.image]),
        key=st.text("0123456789abcdef", min_size=1, max_size=32),
        digest=st.text("0123456789abcdef", max_size=64),
        path=st.text(max_size=30),
        venv=st.booleans(),
        bytes=st.integers(0, 2**40),
    )
)
def test_a_word_says_all(wanted: Surroundings) -> None:
    """What a manifest holds is read back as it was; without an environment it is the image, as ever."""
    assert surroundings.read(wanted.word) == wanted
    assert wanted.volume_bytes > wanted.bytes
    assert surroundings.read(PLAIN.image) == Surroundings(image=PLAIN.image)
    assert Surroundings(image=PLAIN.image).word == PLAIN.image


def packed(root: Path, *, most_bytes: int = 10**9, most_files: int = 10**6) -> tuple[dict[str, int], bytes]:
    argv = (sys.executable, "-I", "-S", str(pack.__file__), str(root), str(most_bytes), str(most_files))
    head, _, rest = subprocess.run(argv, capture_output=True, check=True).stdout.partition(b"\n")
    return json.loads(head), rest


@pytest.fixture
def left(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a b/n\nl").mkdir(parents=True)
    (root / "a b/n\nl/x").write_bytes(b"x" * 10_000)
    (root / "a b/n\nl/x").chmod(0o755)
    (root / "out").symlink_to("/etc/passwd")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"\xff")).write_bytes(b"y")
    (root / "again").hardlink_to(root / "a b/n\nl/x")
    return root


def test_what_is_packed(left: Path) -> None:
    """Files with their modes and names, links as links, nobody's user, no pipe, and nothing behind a link."""
    head, body = packed(left)
    assert head["files"] == 8
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(body))) as tar:
        found = {info.name: info for info in tar.getmembers()}
        assert set(found) == {"a b", "a b/n\nl", "a b/n\nl/x", "out", "up", os.fsdecode(b"\xff"), "again"}
        assert (found["out"].linkname, found["up"].linkname) == ("/etc/passwd", "..")
        assert {(info.uid, info.uname) for info in found.values()} == {(0, "")}
        same = [found["a b/n\nl/x"], found["again"]]
        assert sorted(info.islnk() for info in same) == [False, True]
        assert all(info.mode == 0o755 for info in same)


@pytest.mark.parametrize("most", [{"most_bytes": 8_000}, {"most_files": 5}])
def test_too_much_is_not_packed(left: Path, most: dict[str, int]) -> None:
    """It is said how much was seen, and nothing follows."""
    head, body = packed(left, **most)
    assert head["bytes"] > 8_000 or head["files"] > 5
    assert body == b""


def test_node_modules_is_a_folder_or_nothing(left: Path) -> None:
    """A pod mounts it by its path, and a link there would keep the pod from running."""
    (left / "node_modules").symlink_to("/etc")
    assert packed(left)[0]["files"] == 8
    (left / "node_modules").unlink()
    (left / "node_modules").mkdir()
    assert packed(left)[0]["files"] == 9


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("the workspace is gone: its container ended: OOMKilled (exit 137)", "memory"),
        ('the pod was evicted: Usage of EmptyDir volume "environment" exceeds the limit "1Gi".', "disk"),
        ("the pod was evicted: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.", "disk"),
        ("the pod was evicted: The node was low on resource: memory. It was using 1Gi, which exceeds its request", ""),
        ("the workspace is gone: its pod was deleted", ""),
    ],
)
def test_a_set_up_that_the_cluster_ended(words: str, limit: str) -> None:
    """Took too much, where the cluster says so; else it is tried again."""
    assert taken_too_much(words) == limit

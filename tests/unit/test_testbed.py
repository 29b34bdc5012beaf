"""The parts of deploy/testbed and deploy/images that need no cluster."""

import hashlib
import signal
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

from deploy.images import oci
from deploy.images.workspaces import context
from deploy.shared import Failed, run, tree_key
from deploy.testbed.kubernetes import enforcer, processes
from deploy.testbed.kubernetes.places import Network, Places
from deploy.testbed.kubernetes.processes import Processes
from folkmoot.runner.local import toolchain


def test_addresses_of_a_bed_are_apart() -> None:
    """Node, machine, pods and services of one block do not overlap."""
    network = Network(block="10.251.0.0/16")
    assert (str(network.node), str(network.machine)) == ("10.251.0.1", "10.251.0.2")
    assert (str(network.pods), str(network.services)) == ("10.251.1.0/24", "10.251.2.0/24")
    assert network.server == "https://10.251.0.1:6443"


def test_two_beds_share_nothing_but_what_is_built(tmp_path: Path) -> None:
    """Names in the machine's own namespaces differ, and fit into a network interface's 15 letters."""
    one, other = Places(cache=tmp_path, name="one"), Places(cache=tmp_path, name="other")
    assert one.built == other.built
    assert not {one.home, one.link, one.cgroup} & {other.home, other.link, other.cgroup}
    assert len(one.link) <= 15


def test_an_image_is_what_its_name_and_digest_say(tmp_path: Path) -> None:
    """The archive is an OCI layout whose blobs have their digests for names; the same layer gives the same digest."""
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as out:
        out.addfile(tarfile.TarInfo("file"))
    image = oci.write(tmp_path / "image.tar", "localhost/folkmoot/x:1", layer, {"User": "65534:65534"})
    oci.note(image)
    assert oci.noted(image.archive) == image
    assert oci.write(tmp_path / "again.tar", image.name, layer, {"User": "65534:65534"}).digest == image.digest
    assert image.by_digest == f"localhost/folkmoot/x@{image.digest}"
    with tarfile.open(image.archive) as archive:
        blobs = {m.name: _content(archive, m.name) for m in archive if m.name.startswith("blobs/")}
        index = msgspec.json.decode(_content(archive, "index.json"))
    assert all(name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}" for name, content in blobs.items())
    assert index["manifests"][0]["digest"] == image.digest
    assert layer.read_bytes() in blobs.values()


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_an_image_that_was_not_finished_is_none(tmp_path: Path) -> None:
    """A maker that was killed leaves no note, and its archive counts for nothing."""
    (tmp_path / "base-0.tar").write_bytes(b"half")
    assert oci.noted(tmp_path / "base-0.tar") is None


def test_a_set_has_all_packages_of_those_that_it_extends() -> None:
    """data-science extends python, which extends base."""
    known = context.recipes()
    assert set(known["base"].packages) < set(known["python"].packages) < set(known["data-science"].packages)
    with pytest.raises(Failed, match="no set is called 'rust'; there are: base, "):
        context.recipe("rust")


def test_a_workspace_image_offers_what_a_local_sandbox_does(tmp_path: Path) -> None:
    """The same pytest with all it imports, the same tools, the same environment but for PATH."""
    context.write(context.recipe("base"), tmp_path / "context")
    assert context.PYTEST == toolchain._PACKAGES
    assert {p.name for p in (tmp_path / "context/tools").iterdir()} == {"rg", "ruff"}
    code = "import pytest, pygments, sys; print(pytest.__file__)"
    packages = tmp_path / "context/site-packages"
    assert run(sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(packages)!r}); {code}").startswith(
        str(packages)
    )
    assert context.environment()["PATH"].startswith("/opt/python/bin:/opt/tools:")
    assert 'ENV PIP_NO_INDEX="1"' in (tmp_path / "context/Dockerfile").read_text("utf-8")


def test_a_key_follows_content_and_names(tmp_path: Path) -> None:
    """A changed byte, a moved file and another option give another key; the same again gives the same."""
    (tmp_path / "a").write_text("1", "utf-8")
    first = tree_key(tmp_path, "x")
    assert tree_key(tmp_path, "x") == first
    assert tree_key(tmp_path, "y") != first
    (tmp_path / "a").rename(tmp_path / "b")
    assert tree_key(tmp_path, "x") != first


def test_another_source_than_the_changes_were_made_for_is_refused() -> None:
    """A new version of the enforcer's module is not patched half."""
    with pytest.raises(Failed, match="not the one that the changes in"):
        enforcer.apply("package dataplane\n")


def test_a_program_is_known_by_its_pid_and_birth(tmp_path: Path) -> None:
    """A file with a pid that somebody else has now, or that cannot be read, is nobody's."""
    running = Processes(tmp_path)
    running.start("sleeper", "sleep", "600")
    pid = running.pid("sleeper")
    assert pid is not None
    assert running.names() == ["sleeper"]
    (tmp_path / "pids/other").write_text(f"{pid} 1", "utf-8")
    (tmp_path / "pids/broken").write_text("", "utf-8")
    assert (running.pid("other"), running.pid("broken"), running.pid("none")) == (None, None, None)
    processes.send(pid, signal.SIGTERM)
    assert running.pid("sleeper") is None


def test_waiting_ends_with_the_process_that_was_waited_for(tmp_path: Path) -> None:
    """The error names it and shows the end of its log."""
    running = Processes(tmp_path)
    running.start("short", "sh", "-c", "echo no space; exit 1")
    with pytest.raises(Failed, match=r"short ended before the thing; it said:\nno space"):
        running.until("the thing", lambda: False, needs=["short"])


def test_waiting_ends_with_time(tmp_path: Path) -> None:
    """The error says for what, for how long, and shows the log of what it waited for."""
    running = Processes(tmp_path)
    running.start("slow", "sh", "-c", "echo thinking; exec sleep 600")
    running.until("its first word", lambda: running.said("slow"), needs=["slow"])
    with pytest.raises(Failed, match=r"the thing: not within 0 s\nslow:\nthinking"):
        running.until("the thing", lambda: False, needs=["slow"], for_s=0.2)
    processes.send(running.pid("slow") or 0, signal.SIGKILL)


def test_a_program_that_fails_says_all_it_said() -> None:
    """Argv, exit status and both streams; a missing one is named."""
    with pytest.raises(Failed, match=r"`sh -c echo out; echo err >&2; exit 3` ended with 3:\nout\nerr"):
        run("sh", "-c", "echo out; echo err >&2; exit 3")
    with pytest.raises(Failed, match="no-such-program is missing"):
        run("no-such-program")

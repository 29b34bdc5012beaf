"""containerd in the node: started, rid of an earlier bed's containers, and given its images."""

import contextlib
import signal
import subprocess
import tempfile
from pathlib import Path

import msgspec

from deploy.images import oci
from deploy.shared import Failed, run
from deploy.testbed.kubernetes import processes
from deploy.testbed.kubernetes.namespaces import Node
from deploy.testbed.kubernetes.places import Network, Places
from deploy.testbed.kubernetes.processes import Processes

DAEMON = "containerd"
PAUSE = "localhost/folkmoot/pause:1"
SECOND = "second"
"""A handler for RuntimeClasses, which is runc as well: there is no gVisor or Kata here."""
_CONFIGURATION = """\
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{state}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{second}]
runtime_type = "io.containerd.runc.v2"
"""


class Containers:
    """One bed's."""

    def __init__(self, places: Places, running: Processes, node: Node) -> None:
        self._places = places
        self._running = running
        self._node = node

    def start(self, network: Network, pause: Path, *, fresh: bool) -> None:
        """Unless it runs; in a fresh node it knows of no containers. Raises Failed."""
        if not self._running.pid(DAEMON):
            self._configure(network)
            self._daemon()
        if fresh:
            self._forget()
        self.load(self._pause_image(pause))

    def load(self, image: oci.Image) -> None:
        """Import an image, to be had by its name and by its digest. Raises Failed."""
        mark = self._places.store / f"imported-{image.digest.removeprefix('sha256:')}"
        if not mark.exists():
            self._ctr("image", "import", "--snapshotter", self._snapshotter(), image.archive)
            self._ctr("image", "tag", "--force", image.name, image.by_digest)
            mark.touch()

    def import_archive(self, archive: Path) -> None:
        """Any docker or OCI archive, under the names that it holds. Raises Failed."""
        self._ctr("image", "import", "--snapshotter", self._snapshotter(), archive.resolve())

    def _ctr(self, *arguments: object) -> str:
        return run(*self._node.inside("ctr", "--namespace", "k8s.io", *arguments))

    def _daemon(self) -> None:
        self._running.start(
            DAEMON, *self._node.inside("containerd", "--config", f"{self._places.state}/containerd.toml")
        )
        self._running.until("containerd", self._answers, needs=[DAEMON])

    def _answers(self) -> bool:
        with contextlib.suppress(Failed):
            self._ctr("version")
            return True
        return False

    def _forget(self) -> None:
        """Containers of an earlier bed ended with it: drop them before the kubelet asks for what there is."""
        if old := self._ctr("containers", "list", "--quiet").split():
            self._ctr("containers", "rm", *old)
            # It has read of them already, and would go on to show them.
            if (pid := self._running.child(DAEMON)) is not None:
                processes.send(pid, signal.SIGTERM)
            self._running.forget(DAEMON)
            self._daemon()

    def _configure(self, network: Network) -> None:
        state = self._places.state
        (state / "cni").mkdir(exist_ok=True)
        addresses = {
            "type": "host-local",
            "ranges": [[{"subnet": str(network.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins = {"cniVersion": "0.4.0", "name": "testbed", "plugins": [{"type": "ptp", "ipam": addresses}]}
        (state / "cni/10-testbed.conflist").write_bytes(msgspec.json.encode(plugins))
        text = _CONFIGURATION.format(pause=PAUSE, state=state, snapshotter=self._snapshotter(), second=SECOND)
        (state / "containerd.toml").write_text(text, "utf-8")

    def _snapshotter(self) -> str:
        """`overlayfs` where the cache's file system can be under an overlay, else `native`, which copies."""
        note = self._places.store / "snapshotter"
        if not note.is_file():
            note.write_text("overlayfs" if self._overlays() else "native", "utf-8")
        return note.read_text("utf-8")

    def _overlays(self) -> bool:
        with tempfile.TemporaryDirectory(dir=self._places.store) as scratch:
            folders = {name: Path(scratch) / name for name in ("lower", "upper", "work", "merged")}
            for folder in folders.values():
                folder.mkdir()
            options = "lowerdir={lower},upperdir={upper},workdir={work}".format_map(folders)
            mount = ("mount", "-t", "overlay", "overlay", "-o", options, str(folders["merged"]))
            # In namespaces that are gone with the command.
            return not subprocess.run(["unshare", "--mount", *mount], capture_output=True, check=False).returncode

    def _pause_image(self, program: Path) -> oci.Image:
        archive = program.with_suffix(".tar")
        if found := oci.noted(archive):
            return found
        layer = program.with_suffix(".layer")
        run("tar", "--mtime=@0", "--owner=0", "--group=0", "-C", program.parent, "-cf", layer, program.name)
        image = oci.write(archive, PAUSE, layer, {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"})
        layer.unlink()
        oci.note(image)
        return image

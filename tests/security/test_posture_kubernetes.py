"""What a command in a pod is, and what it has: equal to what is written out here, neither less nor more."""

import json
from pathlib import Path

from deploy.images.workspaces import context
from folkmoot.runner.kubernetes.room import ENVIRONMENT
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runtime.settings import RunnerSettings
from tests.fixtures.backends import cluster_bench
from tests.fixtures.cluster import Cluster
from tests.fixtures.workspace import toolchains
from tests.security.abuse.posture import ASK, STATUS

__all__ = ["toolchains"]

DEVICES = [
    *("fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "termination-log"),
    *("tty", "urandom", "zero"),
]
ROOT = {
    *("bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv"),
    *("sys", "tmp", "usr", "var", "workspace"),
}
WRITABLE = {
    # Ours.
    *("/workspace", "/home/agent", "/tmp", "/dev/shm"),
    # The container engine's: of root, but for the two that hold messages and the pod's last words.
    *("/dev", "/dev/mqueue", "/dev/pts", "/dev/termination-log", "/etc/hosts", "/proc", "/sys/fs/cgroup"),
    # Hidden behind an empty device.
    *("/proc/interrupts", "/proc/keys", "/proc/timer_list", "/proc/kcore", "/proc/latency_stats", "/proc/sched_debug"),
}
READ_ONLY = {
    *("/", "/etc/hostname", "/etc/resolv.conf", "/sys", "/sys/firmware"),
    *("/proc/acpi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", "/proc/sys"),
    "/proc/sysrq-trigger",
}
OWN = {"ipc", "mnt", "net", "pid", "pid_for_children", "uts"}


async def test_posture(cluster: Cluster, tmp_path: Path, toolchains: Toolchains) -> None:
    """Of every thread: user, groups, capabilities, NoNewPrivs, seccomp. Of the process: descriptors, limits, devices,
    mounts, namespaces, folders, processes, network interfaces, name, environment; no token."""
    async with cluster_bench(cluster, tmp_path, toolchains) as made:
        workspace = await made.workspace()
        done = await workspace.run(["python3", "-c", ASK])
        assert not (await workspace.run(["test", "-e", "/var/run/secrets"])).end.ok
    assert done.end.ok, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("status") == [STATUS | {"Groups": ["65534"]}] * 3
    _mounts(seen.pop("mounts"))
    _namespaces(seen.pop("namespaces"))
    assert set(seen.pop("root")) == ROOT
    # This process, what watches it, and the pod's first one.
    processes = seen.pop("processes")
    assert (processes[0], processes[-1], len(processes)) == (1, seen.pop("pid"), 3)
    # Of one user on the whole node: the container engine's. The pod's control group counts.
    del seen["limits"]["NPROC"]
    settings = RunnerSettings()
    assert seen == {
        "threads": 3,
        "descriptors": {"0": "pipe", "1": "pipe", "2": "pipe"},
        "environment": {**context.environment(), **ENVIRONMENT, "HOSTNAME": "workspace", "PWD": "/workspace"},
        "limits": {
            "NOFILE": [settings.open_files] * 2,
            "FSIZE": [settings.file_bytes] * 2,
            "CORE": [0, 0],
            "MEMLOCK": [65_536, 65_536],
        },
        "interfaces": ["lo", "eth0"],
        "devices": DEVICES,
        "host": "workspace",
        "session": True,
        "keeper": None,
    }


def _mounts(seen: list[tuple[str, str, bool, bool]]) -> None:
    """Each place and whether it could be written by somebody; what kernels have of the masked places differs."""
    places = {place: mode for place, mode, *_ in seen if not place.startswith("/sys/fs/cgroup/")}
    assert {place for place, mode in places.items() if mode == "rw"} <= WRITABLE
    assert {place for place, mode in places.items() if mode == "ro"} <= READ_ONLY
    assert {"/", "/proc/sys", "/proc/irq", "/sys"} <= {place for place, mode in places.items() if mode == "ro"}
    assert {mode for place, mode, *_ in seen if place.startswith("/sys/fs/cgroup/")} <= {"ro"}


def _namespaces(seen: dict[str, str]) -> None:
    """Of its own, but for the clock, and where the container engine gives none: users and control groups."""
    ours = {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()}
    assert {name for name in seen if seen[name] != ours[name]} >= OWN

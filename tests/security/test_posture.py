"""What a command is, and what it has: equal to what is written out here, neither less nor more."""

import json
from pathlib import Path

import pytest

from folkmoot.runner.local import launcher
from folkmoot.runner.local.toolchain import Toolchains, environment
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.client import GrpcWorkspace
from tests.fixtures.workspace import Bench, runner, toolchains, workspace
from tests.security.abuse.posture import ASK, STATUS

__all__ = ["runner", "toolchains", "workspace"]

DEVICES = ["core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom"]
WRITABLE = {"/tmp", "/dev/shm", "/dev/pts", "/workspace", "/home/agent"}
OWN = ("user", "ipc", "pid", "pid_for_children", "net", "uts", "cgroup", "mnt")
SHARED = ("time", "time_for_children")


@pytest.fixture
async def posture(workspace: GrpcWorkspace) -> dict[str, object]:
    done = await workspace.run(["python3", "-c", ASK])
    assert done.end.ok, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


async def test_posture(posture: dict[str, object], toolchains: Toolchains) -> None:
    """Of every thread: user, groups, capabilities, NoNewPrivs, seccomp. Of the process: descriptors, limits, devices,
    folders, processes, network interfaces, name, environment."""
    settings = RunnerSettings()
    statuses = posture.pop("status")
    assert isinstance(statuses, list)
    groups = [status.pop("Groups") for status in statuses]
    assert all(set(group) <= {"65534"} for group in groups)
    assert statuses == [STATUS] * 3
    namespaces, mounts, root = posture.pop("namespaces"), posture.pop("mounts"), posture.pop("root")
    assert isinstance(namespaces, dict)
    assert isinstance(mounts, list)
    assert isinstance(root, list)
    assert posture == {
        "threads": 3,
        "descriptors": {"0": "/dev/null", "1": "pipe", "2": "pipe"},
        "environment": environment(toolchains) | {"PWD": "/workspace"},
        "limits": {
            "NPROC": [settings.processes] * 2,
            "NOFILE": [settings.open_files] * 2,
            "FSIZE": [settings.file_bytes] * 2,
            "CORE": [0, 0],
            "MEMLOCK": [65_536, 65_536],
        },
        "interfaces": ["lo"],
        "devices": [*DEVICES, "zero"],
        "host": "workspace",
        "processes": [1, posture["pid"]],
        "pid": posture["pid"],
        "session": True,
        "keeper": "Operation not permitted" if launcher.available() else None,
    }
    system = {mount.target.split("/")[1] for mount in toolchains.mounts}
    assert set(root) == system | {"base.git", "dev", "home", "proc", "tmp", "workspace"}


async def test_mounts(posture: dict[str, object], toolchains: Toolchains) -> None:
    """Each place, whether it can be written, and that nothing on it can be a device or gain rights."""
    seen = posture["mounts"]
    assert isinstance(seen, list)
    shown = {mount.target for mount in toolchains.mounts if mount.kind in ("ro", "tmpfs")}
    devices = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    assert {m[0] for m in seen} == shown | devices | WRITABLE | {"/", "/proc", "/dev", "/base.git"}
    hidden = {mount.target for mount in toolchains.mounts if mount.kind == "tmpfs"}
    assert {m[0] for m in seen if m[1] == "rw"} == WRITABLE | devices | hidden
    assert {m[0] for m in seen if not m[2]} == set(), "nosuid"
    assert {m[0] for m in seen if not m[3]} == devices | {"/dev/pts"}, "nodev"


async def test_namespaces(posture: dict[str, object]) -> None:
    """Of its own in everything but the clock, which cannot be set from inside."""
    seen = posture["namespaces"]
    assert isinstance(seen, dict)
    ours = {path.name: str(path.readlink()) for path in Path("/proc/self/ns").iterdir()}
    assert {name for name in seen if seen[name] == ours[name]} <= set(SHARED)
    assert set(seen) == set(OWN) | {name for name in SHARED if name in ours}


async def test_from_outside_it_is_nobody_of_ours(runner: Bench, workspace: GrpcWorkspace) -> None:
    """Two commands of one workspace share no namespace with each other, nor with those of another workspace."""
    ask = ["sh", "-c", "readlink /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/mnt"]
    other = await runner.workspace()
    seen = [(await each.run(ask)).stdout.split() for each in (workspace, workspace, other)]
    assert len({name for names in seen for name in names}) >= 4
    assert str(Path("/proc/self/ns/net").readlink()).encode() not in {name for names in seen for name in names}

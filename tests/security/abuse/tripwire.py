"""What an attack could have changed on this machine: looked at before, and again after.

Other work goes on here meanwhile. So a sensor looks at what is ours (canaries, a process, listening sockets), and in
what belongs to all for the attack's own mark, which every attack puts into what it makes.
"""

import hashlib
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

SHARED = ("/", "/etc", "/usr", "/usr/bin", "/usr/local/bin", "/opt", "/dev", "/tmp", "/var/tmp", "/root", "/run")
"""Folders in which a breach would leave a name with the mark."""
WATCHED = ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/ld.so.preload", "/root/.bashrc", "/root/.profile")
Sensor = Callable[[], object]
KERNEL = ("hostname", "domainname", "core_pattern", "randomize_va_space", "sysrq")


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to one run of the suite."""

    nonce: str
    """In the environment of every attack, and in every name that one makes."""
    canaries: Path
    """A folder that anybody may write."""
    repositories: tuple[Path, ...]
    """Whose content no attack may change."""
    pid: int
    """Of a process that anybody's signal could end, were it seen."""


class Tripwire:
    def __init__(self, marked: Marked, visits: Callable[[], int], more: Mapping[str, Sensor] | None = None) -> None:
        self._marked = marked
        self._sensors: Mapping[str, Sensor] = {
            "files": self._files,
            "names": self._names,
            "repositories": self._repositories,
            "processes": self._processes,
            "canary process": self._canary,
            "mounts": self._mounts,
            "sockets": self._sockets,
            "visits": visits,
            "kernel": self._kernel,
            "ipc": self._ipc,
            **(more or {}),
        }
        self._before = self._look()

    def tripped(self) -> list[str]:
        """Names of what has changed since the last `set`."""
        return [name for name, value in self._look().items() if value != self._before[name]]

    def set(self) -> None:
        self._before = self._look()

    def _look(self) -> dict[str, object]:
        return {name: sensor() for name, sensor in self._sensors.items()}

    def _files(self) -> object:
        return [_content(p) for p in sorted(self._marked.canaries.rglob("*"))], [_content(Path(p)) for p in WATCHED]

    def _names(self) -> object:
        return [n for folder in SHARED for n in _entries(folder) if self._marked.nonce in n]

    def _repositories(self) -> object:
        return [_content(p) for place in self._marked.repositories for p in sorted(place.rglob("*"))]

    def _processes(self) -> object:
        """What carries the mark, and is not the canary."""
        mark = f"NONCE={self._marked.nonce}".encode()
        return sorted(pid for pid in _pids() if pid != self._marked.pid and mark in _read(f"/proc/{pid}/environ"))

    def _canary(self) -> object:
        """State, user and tracer: a signal, a stop or a tracer shows."""
        lines = _read(f"/proc/{self._marked.pid}/status").decode().splitlines()
        return [line for line in lines if line.startswith(("State:", "Uid:", "TracerPid:"))]

    def _mounts(self) -> object:
        words = self._marked.nonce, str(self._marked.canaries)
        return [m for m in _read("/proc/self/mountinfo").decode().splitlines() if any(word in m for word in words)]

    def _sockets(self) -> object:
        marked = [s for s in _read("/proc/net/unix").decode().splitlines() if self._marked.nonce in s]
        return sorted(line.split()[-1] for line in marked)

    def _kernel(self) -> object:
        """The clock too, to the quarter of an hour: it may be set meanwhile by who has the right to."""
        values = [_read(f"/proc/sys/kernel/{name}") for name in KERNEL]
        return *values, round((time.time() - time.monotonic()) / 900), socket.gethostname(), _read("/proc/swaps")

    def _ipc(self) -> object:
        key = str(ipc_key(self._marked.nonce))
        lines = [
            line for kind in ("shm", "sem", "msg") for line in _read(f"/proc/sysvipc/{kind}").decode().splitlines()
        ]
        keys = [k for k in _read("/proc/keys").decode("utf-8", "replace").splitlines() if self._marked.nonce in k]
        return [line for line in lines if line.split()[:1] == [key]], len(keys)


def ipc_key(nonce: str) -> int:
    return int(nonce[:7], 16)


def _content(path: Path) -> tuple[str, str]:
    """Name, kind, owner, size and content; what is not there says so."""
    try:
        info = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError as error:
        return str(path), str(error.errno)
    target = str(path.readlink()) if path.is_symlink() else ""
    return str(path), f"{info.st_mode} {info.st_uid} {info.st_nlink} {digest} {target}"


def _entries(folder: str) -> list[str]:
    try:
        return sorted(str(path) for path in Path(folder).iterdir())
    except OSError:
        return []


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""

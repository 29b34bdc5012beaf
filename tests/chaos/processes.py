"""Processes of one platform, found through /proc by their parents: killed one by one, by pid, never by name."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from folkmoot.platform.place import PlatformInfo

MARKS = {
    "orchestrator": "folkmoot.orchestrator",
    "runner": "folkmoot.runner",
    "planning": "folkmoot.planning",
    "context": "folkmoot.context",
    "ray head": "folkmoot.runtime.ray",
    "ray gcs": "gcs_server ",
    "raylet": "raylet/raylet ",
    "nats": "nats-server",
    "ray worker": "ray::_Host",
}
"""Part of the command line, by name of the part."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    parent: int
    session: int
    started: int
    """In ticks since the machine booted."""
    command: str

    @property
    def alive(self) -> bool:
        """The same process, not another one that got its number; a zombie is dead."""
        now = _read(Path(f"/proc/{self.pid}"))
        return now is not None and now.started == self.started


def everyone() -> list[Process]:
    """All that run on this machine now; no zombies."""
    return [p for entry in Path("/proc").iterdir() if entry.name.isdecimal() and (p := _read(entry))]


def family(top: int) -> list[Process]:
    """`top`, all that descend from it, and all in their sessions."""
    known = everyone()
    ours = {top}
    while grown := {p.pid for p in known if p.parent in ours} - ours:
        ours |= grown
    sessions = {p.session for p in known if p.pid in ours and p.session in ours}
    return [p for p in known if p.pid in ours or p.session in sessions]


def part(platform: PlatformInfo, name: str) -> Process:
    """The part of that name, as it runs now."""
    return next(p for p in family(platform.pid) if MARKS[name] in p.command)


def part_or_none(platform: PlatformInfo, name: str) -> Process | None:
    return next((p for p in family(platform.pid) if MARKS[name] in p.command), None)


def of(pid: int) -> Process | None:
    """None when it is gone, or a zombie."""
    return _read(Path(f"/proc/{pid}"))


def environment(pid: int) -> str:
    """Of a process, as text; empty when it is gone or another user's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def sandboxes(platform: PlatformInfo) -> list[Process]:
    return [p for p in family(platform.pid) if "bwrap" in p.command]


def kill(process: Process, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(process.pid, number)


def left(processes: list[Process], within_s: float) -> list[Process]:
    """Those that still run after `within_s`; returns as soon as none does."""
    until = time.monotonic() + within_s
    for _ in _moments(until):
        if not any(p.alive for p in processes):
            return []
    return [p for p in processes if p.alive]


def _moments(until: float) -> Iterator[None]:
    while time.monotonic() < until:
        yield
        time.sleep(0.05)  # noqa: TID251 -- strangers' processes tell nobody that they end


def _read(entry: Path) -> Process | None:
    try:
        stat = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError, ValueError):
        return None
    if stat[0] in "ZX":
        return None
    return Process(
        pid=int(entry.name), parent=int(stat[1]), session=int(stat[3]), started=int(stat[19]), command=command
    )

"""What every service process does alike: says when it is ready, ends on SIGTERM, and never outlives its parent."""

import asyncio
import ctypes
import json
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runtime import logging
from folkmoot.runtime.settings import Settings, load
from folkmoot.runtime.telemetry.start import telemetry

EXIT_MISCONFIGURED = 78
"""EX_CONFIG of sysexits.h: starting again changes nothing."""

DRAIN_S = 9
"""From being told to stop to the end: less than the platform waits before it kills, and it may be gone itself."""

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 128 * 1024
"""What glibc begins with."""


class Announcement:
    """Tells the parent, on standard output, that the service answers."""

    def __init__(self, service: str, *, metrics: str = "") -> None:
        """`metrics` is where they are served, empty if nowhere."""
        self._service = service
        self._metrics = {"metrics": metrics} if metrics else {}

    def ready(self, address: str, **more: str) -> None:
        """One line of JSON: {"service": …, "address": …, …}."""
        sys.stdout.write(json.dumps({"service": self._service, "address": address, **self._metrics, **more}) + "\n")
        sys.stdout.flush()


Serve = Callable[[Settings, Announcement, asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then drains and returns."""


def main(service: str, serve: Serve) -> None:
    """Run `serve` as this process; exits with 78 when a setting or the machine is at fault."""
    end_with_parent()
    _give_memory_back()
    logging.configure(service)
    _wait_for_children_without_threads()
    try:
        asyncio.run(_until_stopped(service, serve, load()))
    except FolkmootError as error:
        sys.stderr.write(f"{service}: {error}\n")
        raise SystemExit(EXIT_MISCONFIGURED) from error


async def _until_stopped(service: str, serve: Serve, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        signal.alarm(DRAIN_S)  # which nothing here handles, so it ends us even where the loop hangs

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    async with telemetry(settings.telemetry, service) as metrics:
        await serve(settings, Announcement(service, metrics=metrics), stop)


def _wait_for_children_without_threads() -> None:
    """As Python does by itself from 3.12 on: a thread per child costs the runner a tenth of its processor time."""
    if sys.version_info < (3, 12) and sys.platform == "linux":
        try:
            os.close(os.pidfd_open(os.getpid()))
        except OSError:  # a kernel before 5.3, or a container that forbids it
            return
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


def _give_memory_back() -> None:
    """Of a large body, as soon as it is freed. By itself glibc takes each that is freed for a sign that more are to
    come, and lays the next between small ones: what there was at once stays for good (mallopt(3))."""
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(parameter, _LARGE_BYTES)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, however it dies (Linux only)."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit("the parent process is gone")


def end_session(leader: int) -> None:
    """Kill all others in the session of `leader`, who may be dead: a Ray head leaves agents that nobody else ends."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and session(entry) == leader:
            with suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


def session(entry: Path) -> int | None:
    """Session id of the process at `/proc/<pid>`; behind the last `)` of its stat: state, ppid, pgrp, session."""
    try:
        return int((entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[3])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def instance(service: str) -> str:
    """A name that tells this process from its replicas and predecessors."""
    return f"{service}-{os.getpid()}-{secrets.token_hex(4)}"

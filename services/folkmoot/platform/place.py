"""Where a data folder's platform is: whoever holds `platform.lock` is it, `platform.json` (owner-readable) tells of it.

What `moot` asks each time: nothing is imported that only a start needs.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, Misconfigured
from folkmoot.runtime.settings import Settings

STOP_WAIT_S = 30.0
"""For the end of a platform."""


class PlatformInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a platform is, and the secret to talk to it."""

    pid: int
    started_at: str
    planning: str
    orchestrator: str
    context: str
    runner: str
    nats: str
    token: str
    model_url: str
    model_name: str
    metrics: dict[str, str] = {}
    """Where each service serves its metrics; empty where none does."""


def find(settings: Settings) -> PlatformInfo | None:
    """The platform that is up on this data folder."""
    try:
        info = msgspec.json.decode(_file(settings.data_folder).read_bytes(), type=PlatformInfo)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return info if _lives(info.pid) and _is_locked(settings.data_folder) else None


async def stop(settings: Settings) -> bool:
    """`moot down`: False when none was up. Raises Misconfigured when it does not end."""
    info = find(settings)
    if info is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGTERM)
    for _ in range(round(STOP_WAIT_S / 0.1)):
        if not _is_locked(settings.data_folder):
            return True
        await asyncio.sleep(0.1)
    raise Misconfigured(f"the platform (pid {info.pid}) did not end within {STOP_WAIT_S:.0f} s")


def _file(folder: Path) -> Path:
    return folder / "platform.json"


def write(folder: Path, info: PlatformInfo) -> None:
    """It is up."""
    fresh = folder / "platform.json.new"
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(info))
    fresh.rename(_file(folder))


def erase(folder: Path) -> None:
    """It is up no more."""
    _file(folder).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Yields the descriptor that holds the lock."""
    with (folder / "platform.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition("running", f"a platform runs on {folder} already; `moot down` ends it") from None
        yield lock.fileno()


async def wait_for_the_dead(folder: Path) -> None:
    """Wait for the log of a platform that was killed: it ends by itself, within a second or two."""
    try:
        info = msgspec.json.decode(_file(folder).read_bytes(), type=PlatformInfo)
    except (FileNotFoundError, msgspec.MsgspecError):
        return
    for _ in range(round(STOP_WAIT_S / 0.1)):
        if _lives(info.pid) or not _is_locked(folder):
            return
        await asyncio.sleep(0.1)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_locked(folder: Path) -> bool:
    try:
        with locked(folder):
            return False
    except FailedPrecondition:
        return True
    except FileNotFoundError:
        return False

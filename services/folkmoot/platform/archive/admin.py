"""Who we are on the bus, and how to be it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import connect
from folkmoot.runtime.settings import LogSettings, Settings

ADMIN = "platform"
SOURCE = "/platform/archive"
"""The writer that tombstones name."""


def lock_of(folder: Path) -> Path:
    """One keeper at a time per data folder: whoever holds this file."""
    return folder / "archive.lock"


def admin_of(settings: Settings, url: str) -> LogSettings:
    """Of the embedded server at `url`: only who may read the platform's own files knows its passwords.

    Raises Misconfigured.
    """
    path = settings.data_folder / "nats" / "nats.conf"
    try:
        users = json.loads(path.read_text("utf-8"))["authorization"]["users"]
        password = next(str(user["password"]) for user in users if user["user"] == ADMIN)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise Misconfigured(f"{path} does not say how to reach the log: {error}") from error
    return msgspec.structs.replace(settings.log, url=url, user=ADMIN, password=password)


@asynccontextmanager
async def keeping(there: LogSettings) -> AsyncIterator[Keeper]:
    """Raises Unavailable, Misconfigured."""
    async with connect(there, source=SOURCE, clock=SystemClock()) as bus:
        yield Keeper(bus)

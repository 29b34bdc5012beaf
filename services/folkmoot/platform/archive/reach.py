"""The way to the log as its admin: through the platform that is up, else through a server of our own on its folder."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Misconfigured, NotFound
from folkmoot.platform import embedded
from folkmoot.platform.children import Recipe, family
from folkmoot.runner.store import exclusive
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import connect, create
from folkmoot.runtime.log.server import free_port, new_passwords, server_argv, server_config
from folkmoot.runtime.settings import LogSettings, Settings, inherited

ADMIN = "platform"
SOURCE = "/platform/archive"


@asynccontextmanager
async def reached(settings: Settings, *, create_folder: bool = False) -> AsyncIterator[Keeper]:
    """The log of the platform that `settings` name; one keeper at a time per data folder.

    `FOLKMOOT_LOG_URL` names a log elsewhere; its user must be the admin. Raises NotFound when the data folder has no
    log and `create_folder` is off, FailedPrecondition("running") while a platform starts on it.
    """
    folder = settings.data_folder
    if settings.log.url:
        async with _connected(settings.log) as keeper:
            yield keeper
        return
    if not create_folder and not (folder / "nats").is_dir():
        raise NotFound(f"{folder} holds no platform's data")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with exclusive(folder / "archive.lock"):
        info = embedded.find(settings)
        if info is not None:
            there = msgspec.structs.replace(settings.log, url=info.nats, user=ADMIN, password=_password(folder))
            async with _connected(there) as keeper:
                yield keeper
            return
        async with own_server(settings) as there, _connected(there) as keeper:
            await create(keeper.bus)
            yield keeper


@asynccontextmanager
async def own_server(settings: Settings) -> AsyncIterator[LogSettings]:
    """A bus of our own on the data folder, where no platform is up; nothing is created in it.

    Raises FailedPrecondition("running") when one is.
    """
    folder = settings.data_folder
    with embedded.locked(folder) as lock:
        port, passwords = free_port(), new_passwords()
        config = server_config(folder / "nats", port=port, passwords=passwords)
        async with family(folder, last=("nats",)) as children:
            env = inherited(*embedded.PASSED_ON)
            children.start(
                Recipe(name="nats", argv=server_argv(config), env=env, announces=False, keeps=(lock,)),
            )
            url = f"nats://127.0.0.1:{port}"
            yield msgspec.structs.replace(settings.log, url=url, user=ADMIN, password=passwords[ADMIN])


@asynccontextmanager
async def _connected(there: LogSettings) -> AsyncIterator[Keeper]:
    async with connect(there, source=SOURCE, clock=SystemClock()) as bus:
        yield Keeper(bus)


def _password(folder: Path) -> str:
    """Of the admin: only who may read the platform's own files knows it. Raises Misconfigured."""
    path = folder / "nats" / "nats.conf"
    try:
        users = json.loads(path.read_text("utf-8"))["authorization"]["users"]
        return next(str(user["password"]) for user in users if user["user"] == ADMIN)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise Misconfigured(f"{path} does not say how to reach the log: {error}") from error

"""The way to the log as its admin: through the platform that is up, else through a server of our own on its folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import NotFound
from folkmoot.platform import place
from folkmoot.platform.archive.admin import ADMIN, admin_of, keeping, lock_of
from folkmoot.platform.children import PASSED_ON, Recipe, family
from folkmoot.runner.store import exclusive
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import create
from folkmoot.runtime.log.server import free_port, new_passwords, server_argv, server_config
from folkmoot.runtime.settings import LogSettings, Settings, inherited


@asynccontextmanager
async def reached(settings: Settings, *, new: bool = False) -> AsyncIterator[Keeper]:
    """The log of the platform that `settings` name; one keeper at a time per data folder.

    `FOLKMOOT_LOG_URL` names a log elsewhere; its user must be the admin. Raises NotFound when the data folder has no
    log and none may be begun (`new`), FailedPrecondition("running") while a platform starts or ends on it.
    """
    folder = settings.data_folder
    if settings.log.url:
        async with keeping(settings.log) as keeper:
            yield keeper
        return
    if not new and not (folder / "nats").is_dir():
        raise NotFound(f"{folder} holds no platform's data")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with exclusive(lock_of(folder)), _nearest(settings) as keeper:
        yield keeper


@asynccontextmanager
async def _nearest(settings: Settings) -> AsyncIterator[Keeper]:
    info = place.find(settings)
    if info is not None:
        async with keeping(admin_of(settings, info.nats)) as keeper:
            yield keeper
    else:
        async with own_server(settings) as there, keeping(there) as keeper:
            await create(keeper.bus)
            yield keeper


@asynccontextmanager
async def own_server(settings: Settings) -> AsyncIterator[LogSettings]:
    """A bus of our own on the data folder, where no platform is up; nothing is created in it.

    Raises FailedPrecondition("running") when one is.
    """
    folder = settings.data_folder
    with place.locked(folder) as lock:
        port, passwords = free_port(), new_passwords()
        config = server_config(folder / "nats", port=port, passwords=passwords)
        async with family(folder, last=("nats",)) as children:
            env = inherited(*PASSED_ON)
            children.start(Recipe(name="nats", argv=server_argv(config), env=env, announces=False, keeps=(lock,)))
            url = f"nats://127.0.0.1:{port}"
            yield msgspec.structs.replace(settings.log, url=url, user=ADMIN, password=passwords[ADMIN])


def mirrors_of(settings: Settings) -> Path | None:
    """Where the runner on this machine keeps its mirrors; None when the log is elsewhere, and so may they be."""
    folder = settings.data_folder / "mirrors"
    return folder if folder.is_dir() and not settings.log.url else None

"""A runner that is killed in the middle of a set-up: nothing half-made is used, and nothing of it runs on."""

import asyncio
from pathlib import Path

from folkmoot.runner.environment.profile import TARGET
from folkmoot.runtime.settings import Settings
from tests.fixtures.nats import nats_server
from tests.fixtures.workspace import toolchains
from tests.integration.test_runner_process import opened, prepared, running, settings
from tests.repositories import Repo

__all__ = ["nats_server", "settings", "toolchains"]

LINGERER = "86398.75"
"""Seconds that nobody else sleeps for: what is left running is found by this."""
CONFIG = f"""[environment]
set = "base"
setup = "touch {TARGET}/half; sleep $(cat requirements.txt); touch {TARGET}/whole"
"""


def lingering() -> list[str]:
    """Command lines that hold it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in found if LINGERER in line]


async def test_killed_in_the_middle(settings: Settings, tmp_path: Path) -> None:
    """The next one ends what was left, removes it, and begins anew."""
    repo = Repo(tmp_path / "origin")
    repo.commit({"README.md": "x\n", ".moot.toml": CONFIG, "requirements.txt": LINGERER})
    folder = settings.data_folder / "runner" / "environments"
    async with running(settings, tmp_path) as (process, address), asyncio.TaskGroup() as group:
        asking = group.create_task(prepared(address, repo))
        while not list(folder.glob(".new-*/root/half")):  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
        asking.cancel()
    repo.commit({"requirements.txt": "0"})
    async with running(settings, tmp_path) as (_, address):
        assert list(folder.iterdir()) == []
        base = await prepared(address, repo)
        assert (await opened(address, base)).workspace_id
        (place,) = folder.iterdir()
        assert sorted(path.name for path in (place / "root").iterdir()) == ["bin", "go", "half", "whole"]
        async with asyncio.timeout(20):
            while lingering():  # noqa: ASYNC110 -- the kernel ends it
                await asyncio.sleep(0.02)

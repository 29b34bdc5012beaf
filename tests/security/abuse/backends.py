"""Every backend of workspaces, as something that can be attacked."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runner.local import probe, toolchain
from tests.fixtures.workspace import bench
from tests.security.abuse.arena import Arena, lures
from tests.security.abuse.limits import SMALL


class NotThereError(Exception):
    """This machine has no such backend; its text says what is missing."""


@contextlib.asynccontextmanager
async def local(folder: Path) -> AsyncIterator[Arena]:
    """bubblewrap on this machine."""
    try:
        toolchains = toolchain.discover(folder / "toolchains")
        await probe.require(toolchains, folder / "toolchains")
    except FolkmootError as error:
        raise NotThereError(str(error)) from error
    async with (
        lures(folder) as around,
        bench(folder / "bench", toolchains) as usual,
        bench(folder / "small", toolchains, settings=SMALL) as small,
    ):
        yield Arena(usual, small, around, folder)


Backend = Callable[[Path], AbstractAsyncContextManager[Arena]]
BACKENDS: dict[str, Backend] = {"local": local}

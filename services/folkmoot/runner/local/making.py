"""The local backend, put together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from folkmoot.runner.environment.local import environments
from folkmoot.runner.environment.proxy import Resolve
from folkmoot.runner.local import orphans
from folkmoot.runner.local.gocache import GoCache
from folkmoot.runner.local.places import Places
from folkmoot.runner.local.stage import staged
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.stock import Sources
from folkmoot.runtime.settings import RunnerSettings

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def local(
    folder: Path,
    toolchains: Toolchains,
    *,
    sources: Sources,
    settings: RunnerSettings,
    resolve: Resolve | None = None,
) -> AsyncIterator[Places]:
    """Workspaces under `folder`, which nobody else has. What a dead predecessor left running there is ended first.
    `resolve` finds the hosts of set-ups; this machine does by default."""
    places = folder / "workspaces"
    places.mkdir(parents=True, exist_ok=True)
    places.chmod(0o711)
    async with (
        staged(toolchains, uid=settings.sandbox_uid, mark=orphans.mark(folder)) as stage,
        asyncio.TaskGroup() as group,
    ):
        if ended := orphans.end(folder):
            log.warning("%d sandboxes of a dead runner are ended", ended, extra={"action": "sweep"})
        shown = await stage.toolchains(toolchains)
        go = GoCache(folder / "go", shown, stage, group)
        made = await environments(
            folder / "environments",
            toolchains,
            shown=shown,
            stage=stage,
            sources=sources,
            settings=settings,
            group=group,
            resolve=resolve,
        )
        yield Places(
            places,
            shown,
            sources=sources,
            settings=settings,
            group=group,
            stage=stage,
            go=go,
            environments=made,
        )

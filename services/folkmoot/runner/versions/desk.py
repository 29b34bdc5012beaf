"""Versions for whoever asks: of what runs and of what is over alike."""

import asyncio
import logging

from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner.versions.archive import Archive, File, Work
from folkmoot.runner.versions.history import Version
from folkmoot.runner.workspace import Workspace
from folkmoot.runner.workspaces import Workspaces
from folkmoot.runtime.clock import Clock

log = logging.getLogger(__name__)

_SWEEP_S = 3_600.0
CLOSING_S = 20.0
"""Longest that the end of a workspace waits for its versions."""


class Keeper:
    """Takes versions out of workspaces. No workspace fails or stays for want of them."""

    def __init__(self, archive: Archive, *, limit: int) -> None:
        """`limit` is bytes of one work's versions."""
        self._archive = archive
        self._limit = limit

    async def keep(self, workspace: Workspace) -> None:
        if workspace.steps is None:
            return
        wish = workspace.wish
        work = Work(
            task_id=wish.task_id,
            agent_id=AgentId(wish.holder),
            attempt=wish.attempt,
            repository_id=wish.repository_id,
            commit=wish.tree.commit,
        )
        try:
            async with asyncio.timeout(CLOSING_S):
                if bundle := await workspace.steps.exported(self._limit):
                    self._archive.take(work, bundle)
        except (FolkmootError, OSError) as error:
            # A time-out is an OSError, too.
            log.warning("no versions of %s: %s", wish.workspace_id, error, extra={"action": "version"})


class Desk:
    def __init__(self, registry: Workspaces, keeper: Keeper, archive: Archive, clock: Clock) -> None:
        self._clock = clock
        self._registry = registry
        self._keeper = keeper
        self._archive = archive

    async def listed(self, task_id: TaskId, agent_id: str = "") -> list[Version]:
        """Raises InvalidInput, GitFailed."""
        await self._brought(task_id)
        return await self._archive.listed(task_id, agent_id)

    async def diff(self, task_id: TaskId, version: tuple[str, int, int], against: int, path: bytes) -> bytes:
        """As `Archive.diff`."""
        await self._brought(task_id)
        return await self._archive.diff(task_id, version, against, path)

    async def file(self, task_id: TaskId, version: tuple[str, int, int], path: bytes) -> File:
        """As `Archive.file`."""
        await self._brought(task_id)
        return await self._archive.file(task_id, version, path)

    async def keep_swept(self) -> None:
        """For ever: remove what is older than is kept."""
        while True:
            if gone := await asyncio.to_thread(self._archive.sweep):
                log.info("versions of %d works are removed", gone, extra={"action": "sweep"})
            await self._clock.sleep(_SWEEP_S)

    async def _brought(self, task_id: TaskId) -> None:
        """What runs says what it has until now."""
        for workspace in self._registry.of_task(task_id):
            await self._keeper.keep(workspace)

"""Versions of files in pods: beside the runner, a ledger for each workspace that keeps them."""

import asyncio
import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.jobs import Jobs, Turns
from folkmoot.runner.kubernetes.room import PodRoom
from folkmoot.runner.stock import Objects
from folkmoot.runner.versions.ledger import Ledger
from folkmoot.runner.versions.looks import Looks
from folkmoot.runner.workspace import Wish, Workspace

log = logging.getLogger(__name__)

_LENDER = "candidates.git"
"""Beside a mirror's `base.git`, of which it has everything, and what came through the border besides."""


class Shelf:
    def __init__(self, folder: Path, objects: Objects, group: asyncio.TaskGroup, *, limit: int) -> None:
        """`folder` is the runner's, which nobody else has. `limit` is bytes of one work's versions."""
        self._folder = folder
        self._objects = objects
        self._group = group
        self._limit = limit
        folder.mkdir(parents=True, exist_ok=True)

    def looks(self, wish: Wish, room: PodRoom, jobs: Jobs, turns: Turns) -> Looks | None:
        """Nothing is on disk yet. None for a workspace that keeps no versions."""
        if not wish.versions or wish.deferred:
            return None
        ledger = Ledger(self._folder / wish.workspace_id, wish.tree.commit)
        return Looks(ledger, room.looked, jobs, turns, self._group, limit=self._limit)

    def opened(self, workspace: Workspace) -> None:
        """Before its check-out."""
        if isinstance(workspace.steps, Looks):
            objects = self._objects(workspace.wish.repository_id)
            workspace.steps.ledger.make(objects.with_name(_LENDER))

    def begun(self, workspace: Workspace) -> None:
        """Right after its check-out, which was run as what changes files."""
        if isinstance(workspace.steps, Looks):
            workspace.steps.begin()

    def resumed(self, workspace: Workspace) -> None:
        """One of a predecessor's. Where nothing is known of it, it goes on without."""
        if isinstance(workspace.steps, Looks) and not workspace.steps.resume():
            workspace.steps = None
            log.warning("no more versions of %s: their beginning is lost", workspace.wish.workspace_id)

    async def dropped(self, ident: WorkspaceId) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder / ident, ignore_errors=True)

    async def swept(self, known: Collection[WorkspaceId]) -> None:
        """What belongs to none of `known` goes."""
        for place in list(self._folder.iterdir()):
            if place.name not in known:
                await self.dropped(WorkspaceId(place.name))

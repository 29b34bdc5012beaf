"""What the registry of workspaces asks of who makes them: a port, with one implementation for each kind of place."""

from collections.abc import Collection
from typing import Protocol

from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.workspace import Manifest, Workspace


class Backend(Protocol):
    """Makes, furnishes, finds again and removes. Calls for one workspace come one after the other."""

    @property
    def name(self) -> str:
        """As the setting `runner.backend` says it."""
        ...

    async def known(self) -> list[Workspace]:
        """Those of a predecessor, ready; what is none is removed."""
        ...

    async def begun(self, manifest: Manifest) -> Workspace:
        """One of which nothing is there yet. Raises NotFound for an unknown repository."""
        ...

    async def fill(self, workspace: Workspace) -> None:
        """Make its room, check its commit out, and see to it that a successor finds it.

        What was made until an error stays: the caller removes it. Raises NotFound for an unknown commit,
        FailedPrecondition("exhibit"), InvalidInput, Unavailable, ResourceExhausted, Misconfigured, WorkspaceLost.
        """
        ...

    async def keep(self, workspace: Workspace, renewed: Manifest) -> None:
        """A successor finds it with this manifest. Raises Unavailable."""
        ...

    async def remove(self, workspace: Workspace) -> None:
        """Nothing of it stays; fine for what is gone already. No command of it runs any more."""
        ...

    async def sweep(self, known: Collection[WorkspaceId]) -> None:
        """Remove what belongs to none of `known`."""
        ...

    def cramped(self) -> bool:
        """Whether there is no room on the disk for another one."""
        ...

    def stop(self) -> None:
        """Nothing more is built for later."""
        ...

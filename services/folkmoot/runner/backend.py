"""What the registry of workspaces asks of who makes them: a port, with one implementation for each kind of place."""

from collections.abc import Collection
from typing import Protocol

import msgspec

from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import WorkspaceId
from folkmoot.runner.workspace import Manifest, Wish, Workspace


class Backend(Protocol):
    """Makes, furnishes, finds again and removes. Calls for one workspace come one after the other."""

    @property
    def name(self) -> str:
        """As the setting `runner.backend` says it."""
        ...

    async def known(self) -> list[Workspace]:
        """Those of a predecessor, ready; what is none is removed."""
        ...

    async def prepared(self, base: PreparedBase) -> None:
        """Returns once all that workspaces on `base` need besides its files is at hand. Raises
        FailedPrecondition("environment") with what was wrong, Unavailable."""
        ...

    async def begun(self, manifest: Manifest) -> Workspace:
        """One of which nothing is there yet. Raises NotFound for an unknown repository, and as `prepared`."""
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


WARM_S = 1_800.0
"""An older one that nobody claimed is replaced."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one workspace as good as another before anybody has it."""

    words: str
    """What the backend tells kinds apart by."""
    wish: Wish | None = None
    """Of no task and no holder, where what is asked for matters."""
    environment: str = ""
    """As of a `Manifest`."""


class Warm(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace that waits for whoever it will be. Each backend adds its own."""

    kind: Kind
    name: str
    """Of its folder or Job; never that of another one."""
    age_s: float = 0.0
    """When it was found."""


class Warming(Backend, Protocol):
    """A backend that can make most of a workspace before it is known for whom."""

    @property
    def standing(self) -> Kind | None:
        """The kind that everybody may want."""
        ...

    @property
    def at_once(self) -> int:
        """As many warm ones are made side by side."""
        ...

    @property
    def pause_s(self) -> float:
        """Between an ask and what is made for the next one: what is asked for at once, and the work that follows at
        once on the same machine, comes first."""
        ...

    def kind(self, manifest: Manifest) -> Kind | None:
        """None for what no other one could use. Raises NotFound for an unknown repository."""
        ...

    async def left(self) -> list[Warm]:
        """Of a predecessor, ready to be claimed; after `known`."""
        ...

    async def warmed(self, kind: Kind) -> Warm:
        """A new one. Nobody's hands were in it. What was made until an error is removed. Raises as `fill`."""
        ...

    def lives(self, warm: Warm) -> bool:
        """Whether it is, as far as is known, still there."""
        ...

    async def claim(self, warm: Warm, workspace: Workspace) -> bool:
        """`fill`, from what is ready there. From its first step on it is this workspace's and nobody else's, also
        when we die in the middle. False where somebody else has it, or it is gone; nothing is left to remove then.
        """
        ...

    async def cooled(self, warm: Warm) -> None:
        """Removes it, if nobody claimed it."""
        ...

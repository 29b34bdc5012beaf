"""What a workspace asks of who keeps its versions."""

from typing import Protocol

from folkmoot.runner.command import Run


class Kept(Protocol):
    def stepping(self, plain: Run) -> Run:
        """`plain`, with whatever this needs around a run that may change files."""
        ...

    def note(self, what: str) -> None:
        """A step is over, and something may have changed."""
        ...

    async def settled(self) -> None:
        """Wait until all that was noted is kept, or cannot be."""
        ...

    async def exported(self, limit: int) -> bytes:
        """A bundle of all steps, empty where there are none. Raises ResourceExhausted for more than `limit` bytes,
        Unavailable, NotFound once the workspace is closed, WorkspaceLost."""
        ...

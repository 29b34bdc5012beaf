"""A workspace that several attacks have one after the other, each as if it were fresh.

Where a workspace takes seconds to open, two hundred of them would take a quarter of an hour. What the previous attack
left in files is taken away and the repository laid in again, by what was read when it was opened; one that does not
work any more is closed, and the next attack has a new one.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runtime.workspace.client import GrpcWorkspace

_FOLDERS = "/workspace /home/agent /tmp /dev/shm"
_RESTORE = f"""chmod -R u+rwx {_FOLDERS} 2>/dev/null
find {_FOLDERS} -mindepth 1 -delete
test -z "$(find {_FOLDERS} -mindepth 1)" && tar -C /workspace -xf -"""
_KEEP = "find . -mindepth 1 -maxdepth 1 -print0 | tar --null --files-from=- -cf -"
"""Without the folder itself, which is the kubelet's."""
_MOST = 50_000_000


class Spare:
    def __init__(self, opened: Callable[[], Awaitable[GrpcWorkspace]]) -> None:
        self._opened = opened
        self._workspace: GrpcWorkspace | None = None
        self._content = b""

    async def there(self) -> GrpcWorkspace:
        """For what only looks, or knocks."""
        if self._workspace is None:
            self._workspace = await self._opened()
            self._content = (await self._workspace.run(["sh", "-c", _KEEP], output_limit=_MOST)).stdout
        return self._workspace

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[GrpcWorkspace]:
        workspace = await self.there()
        try:
            yield workspace
        finally:
            if not await self._restored(workspace):
                await self.forsaken()

    async def forsaken(self) -> None:
        """The next one is a new one."""
        workspace, self._workspace = self._workspace, None
        if workspace is not None:
            await workspace.close()

    async def _restored(self, workspace: GrpcWorkspace) -> bool:
        try:
            return (await workspace.run(["sh", "-c", _RESTORE], stdin=self._content)).end.ok
        except FolkmootError:
            return False

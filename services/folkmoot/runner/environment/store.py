"""Environments of one runner: each made once, whoever asks and how often, kept while there is room, never changed.

A folder under the key is whole: it is made aside and renamed. What a killed runner left half-made is swept.
"""

import asyncio
import contextlib
import copy
import logging
import os
import tempfile
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, FolkmootError, InvalidInput, Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import RepositoryId, WorkspaceId
from folkmoot.runner.environment.ground import Errand, Ground, Made
from folkmoot.runner.environment.hosts import Host, Policy
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.local import folders
from folkmoot.runner.stock import Sources
from folkmoot.runner.workspace import Manifest
from folkmoot.runtime.settings import RunnerSettings
from folkmoot.runtime.workspace.port import WorkspaceLost

log = logging.getLogger(__name__)

_AT_ONCE = 2
_REMEMBERED = 200
"""Failures."""
_NOTE = "made.json"
_DRAFT = ".new-"


class Environments:
    """All of one runner, in `folder`, which nobody else has."""

    def __init__(
        self,
        folder: Path,
        ground: Ground,
        *,
        sources: Sources,
        settings: RunnerSettings,
        policy: Policy,
        group: asyncio.TaskGroup,
    ) -> None:
        self.folder = folder
        self._ground = ground
        self._sources = sources
        self._settings = settings
        self._policy = policy
        self._group = group
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._whole: dict[str, Made] = {}
        self._running: dict[str, asyncio.Task[FolkmootError | None]] = {}
        self._failed: dict[str, FailedPrecondition] = {}
        self._used: dict[WorkspaceId, str] = {}
        self._stopped = False

    async def resume(self) -> None:
        """At start: what a predecessor made is there again, what it did not finish goes."""
        for place in list(self.folder.iterdir()):
            made = _noted(place)
            if made is None:
                await folders.remove(place)
            else:
                self._whole[place.name] = made

    async def prepared(self, base: PreparedBase) -> None:
        """Returns once all that tasks on `base` need besides its files is there.

        A set-up that failed for an earlier task is tried again. Raises FailedPrecondition("environment"), Unavailable.
        """
        wanted = await self._sources.environment(base.repository_id, base.commit)
        key = await self._key(wanted)
        if key:
            self._failed.pop(key, None)
            await self._ready(key, wanted, base.repository_id)

    async def entered(self, manifest: Manifest) -> Manifest:
        """`manifest`, with the environment of its base, which stays until `left`. Raises as `prepared`; what failed
        since the task began fails again."""
        wish = manifest.wish
        wanted = await self._sources.environment(wish.repository_id, wish.tree.base)
        key = await self._key(wanted)
        if key:
            if key in self._failed:
                raise copy.copy(self._failed[key])
            self._used[wish.workspace_id] = key
            try:
                await self._ready(key, wanted, wish.repository_id)
            except BaseException:
                self.left(wish.workspace_id)
                raise
        return msgspec.structs.replace(manifest, environment=key)

    def resumed(self, manifest: Manifest) -> bool:
        """Whether a predecessor's workspace still has its environment, which then stays."""
        if manifest.environment and manifest.environment not in self._whole:
            return False
        if manifest.environment:
            self._used[manifest.wish.workspace_id] = manifest.environment
        return True

    def left(self, ident: WorkspaceId) -> None:
        self._used.pop(ident, None)

    def made(self, key: str) -> Made | None:
        """None where it is no longer there."""
        return self._whole.get(key)

    def place(self, key: str) -> Path:
        """What was made."""
        return self.folder / key / self._ground.result

    async def spoilt(self, key: str) -> None:
        """It is not what was made: whoever wants it next makes it anew."""
        if self._whole.pop(key, None) is not None:
            await folders.remove(self.folder / key)

    def stop(self) -> None:
        """Whoever waits hears that the runner ends; the next one begins anew."""
        self._stopped = True
        for task in self._running.values():
            task.cancel()

    # --- keys -----------------------------------------------------------------------------------------------------

    async def _key(self, wanted: Wanted) -> str:
        """Empty where nothing has to be made. Raises FailedPrecondition for what cannot be had there."""
        platform = await self._ground.platform(wanted)
        return "" if platform is None else wanted.key(platform, map(str, self._hosts(wanted)))

    def _hosts(self, wanted: Wanted) -> frozenset[Host]:
        try:
            return self._policy.granted(wanted.config.allow_hosts)
        except ValueError as error:
            problem = f"environment.allow_hosts names what this installation does not allow: {error}"
            raise FailedPrecondition("environment", f"{problem}; see FOLKMOOT_RUNNER_SETUP_HOSTS") from error

    # --- making ---------------------------------------------------------------------------------------------------

    async def _ready(self, key: str, wanted: Wanted, repository_id: RepositoryId) -> None:
        """All who want the same key wait for the one run; whoever is called off meanwhile does not end it."""
        if key in self._whole and self.place(key).exists():
            os.utime(self.folder / key)
            return
        task = self._running.get(key)
        if task is None:
            if self._stopped:
                raise Unavailable("this runner ends")
            task = self._group.create_task(self._outcome(key, wanted, repository_id), name=f"set-up {key}")
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        await asyncio.wait([task])
        if task.cancelled():
            raise Unavailable("the set-up was ended: this runner ends")
        if (error := task.result()) is not None:
            raise copy.copy(error)  # one for each: who raises it writes into it

    async def _outcome(self, key: str, wanted: Wanted, repository_id: RepositoryId) -> FolkmootError | None:
        """As a value: an error would end everything else of this runner."""
        try:
            async with self._slots:
                await self._made(key, wanted, repository_id)
        except FailedPrecondition as error:
            self._failed[key] = error
            while len(self._failed) > _REMEMBERED:
                del self._failed[next(iter(self._failed))]
            log.warning("set-up %s: %s", key, error, extra={"action": "setup"})
            return error
        except WorkspaceLost as error:
            return Unavailable(f"the set-up was lost: {error}")
        except FolkmootError as error:
            return error
        except OSError as error:
            return Unavailable(f"the set-up could not be run: {error.strerror}")
        return None

    async def _made(self, key: str, wanted: Wanted, repository_id: RepositoryId) -> None:
        contents = await self._sources.contents(repository_id, [file.object_id for file in wanted.files])
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.folder))
        try:
            made = await self._ground.make(draft, self._errand(wanted, tuple(contents)))
            (draft / _NOTE).write_bytes(msgspec.json.encode(made))
            draft.rename(self.folder / key)
        except BaseException:
            await folders.remove(draft)
            raise
        self._whole[key] = made
        log.info("environment %s: set up in %.1f s", key, made.seconds, extra={"action": "setup"})
        await self._make_room(spare=key)

    def _errand(self, wanted: Wanted, contents: tuple[bytes, ...]) -> Errand:
        allowed = self._hosts(wanted)
        return Errand(wanted=wanted, contents=contents, allowed=allowed, private=self._policy.private)

    async def _make_room(self, *, spare: str) -> None:
        """The least recently used go first; none that a workspace has, or that was just made."""
        for key in sorted(self._whole, key=self._last_used):
            if not self._too_much():
                return
            if key not in {*self._used.values(), spare}:  # as it is now: a removal takes its time
                del self._whole[key]
                await folders.remove(self.folder / key)

    def _too_much(self) -> bool:
        size = sum(made.bytes for made in self._whole.values())
        return len(self._whole) > self._settings.environments or size > self._settings.environments_bytes

    def _last_used(self, key: str) -> float:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / key).stat().st_mtime
        return 0.0


def policy_of(settings: RunnerSettings) -> Policy:
    """Raises InvalidInput."""
    try:
        return Policy.of(settings.setup_hosts, settings.setup_private_hosts)
    except ValueError as error:
        raise InvalidInput("runner.setup_hosts", str(error)) from error


def _noted(place: Path) -> Made | None:
    """None for what is not whole."""
    if place.name.startswith("."):
        return None
    try:
        return msgspec.json.decode((place / _NOTE).read_bytes(), type=Made)
    except (OSError, msgspec.DecodeError):
        return None

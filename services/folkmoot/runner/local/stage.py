"""Who runs bwrap: nobody, wherever we may choose.

A runner that is root hands every sandbox to an unprivileged user: limits bind, and a broken wall opens on nothing.
That user may traverse neither a root home (interpreters, the default data folder) nor a private data folder. So the few
folders that a sandbox needs are bound, for it alone, in a mount namespace that only a descriptor of ours keeps: it ends
when we end, however we end, and no other process of the machine sees it.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runner.command import Command
from folkmoot.runner.local import groups
from folkmoot.runner.local.sandbox import Mount, Profile, collected
from folkmoot.runner.local.toolchain import Toolchains

log = logging.getLogger(__name__)

_PLACE = "/sys"
"""Is everywhere, and no sandbox is shown it: its place in the private namespace is free for ours."""
_TRY_S = 20.0

_MAKE = 'mount -t tmpfs -o mode=711,size=1m,nosuid,nodev tmpfs "$1" && echo made && read -r _'
_SHOW = """umask 022
while [ $# -gt 0 ]; do
  if [ -d "$1" ]; then mkdir "$2"; else : >"$2"; fi && mount --bind -- "$1" "$2" || exit 1
  shift 2
done
"""


class Stage:
    """What sandboxes are shown, and as whom they run. `uid` is None where they run as we do."""

    def __init__(
        self, namespace: int | None = None, uid: int | None = None, *, doubt: str = "", mark: str = ""
    ) -> None:
        self.uid = uid
        self.groups = groups.found(mark) if uid is not None else None
        """Control groups for commands, where this runner may make any."""
        self.mark = mark
        """Of the sandboxes of this runner."""
        self.doubt = doubt
        """Why a runner that is root cannot run them as nobody; empty when it can or is not."""
        self._namespace = namespace
        self._shown: dict[Path, Path] = {}
        self._numbers = itertools.count()
        """Of places; a number is never used twice: a bind that was cancelled may have happened."""
        self._lock = asyncio.Lock()

    @property
    def prefix(self) -> tuple[str, ...]:
        """In front of bwrap's argv. By our /proc, not inherited: bwrap would hand the descriptor on."""
        if self._namespace is None:
            return ()
        return (*self._enter(), "-S", str(self.uid), "-G", str(self.uid), "--")

    def owned(self, folder: Path) -> None:
        """Give a folder of ours, that nobody else could reach yet, to the sandboxes' user."""
        if self.uid is None:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def owns(self, folder: Path) -> bool:
        """Whether sandboxes of this stage could use what is in `folder`."""
        return folder.stat().st_uid == (os.getuid() if self.uid is None else self.uid)

    async def shown(self, paths: Iterable[Path]) -> Mapping[Path, Path]:
        """Where the sandboxes' user finds each of them. Raises Misconfigured when one cannot be shown."""
        wanted = list(dict.fromkeys(paths))
        if self._namespace is None:
            return {path: path for path in wanted}
        async with self._lock:
            hidden = [p for p in wanted if p not in self._shown and not open_to_all(p)]
            places = {p: Path(_PLACE) / str(next(self._numbers)) for p in hidden}
            if places:
                await self._bind(places)
                self._shown.update(places)
        return {path: self._shown.get(path, path) for path in wanted}

    async def toolchains(self, found: Toolchains) -> Toolchains:
        """`found`, as the sandboxes' user finds it."""
        sources = [Path(m.source) for m in found.mounts if m.kind == "ro"]
        places = await self.shown([found.bwrap, *sources])
        return msgspec.structs.replace(
            found,
            bwrap=places[found.bwrap],
            mounts=tuple(_moved(mount, places) for mount in found.mounts),
        )

    def close(self) -> None:
        if self._namespace is not None:
            os.close(self._namespace)
            self._namespace = None

    def _enter(self) -> tuple[str, ...]:
        return (_program("nsenter"), f"--mount=/proc/{os.getpid()}/fd/{self._namespace}")

    async def _bind(self, places: Mapping[Path, Path]) -> None:
        pairs = [str(each) for pair in places.items() for each in pair]
        process = await asyncio.create_subprocess_exec(
            *(*self._enter(), "--", "/bin/sh", "-c", _SHOW, "show", *pairs),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        if process.returncode != 0:
            raise Misconfigured(f"workspaces cannot be shown {', '.join(map(str, places))}: {said.decode()[:500]}")


@contextlib.asynccontextmanager
async def staged(toolchains: Toolchains, *, uid: int, mark: str = "") -> AsyncIterator[Stage]:
    """As root a stage for `uid`, if one works here; else one that changes nothing, and says why in `doubt`."""
    stage = await _made(toolchains, uid, mark) if os.getuid() == 0 else Stage(mark=mark)
    if stage.doubt:
        log.warning("sandboxes run as root: %s", stage.doubt, extra={"action": "sandbox"})
    try:
        yield stage
    finally:
        if stage.groups is not None:
            await stage.groups.drained()
        stage.close()


def open_to_all(path: Path) -> bool:
    """Whether any user of this machine may go there and read."""
    folders = [*path.resolve().parents]
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in folders):
        return False
    mode = path.stat().st_mode
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed == needed


async def _made(toolchains: Toolchains, uid: int, mark: str) -> Stage:
    try:
        stage = Stage(await _namespace(), uid, mark=mark)
    except Misconfigured as error:
        return Stage(doubt=str(error), mark=mark)
    try:
        await _try(stage, await stage.toolchains(toolchains))
    except Misconfigured as error:
        stage.close()
        return Stage(doubt=str(error), mark=mark)
    return stage


async def _namespace() -> int:
    """Descriptor of a mount namespace of ours, in which the place is empty. Raises Misconfigured."""
    process = await asyncio.create_subprocess_exec(
        *(_program("unshare"), "--mount", "--propagation", "slave", "/bin/sh", "-c", _MAKE, "make", _PLACE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    made = await process.stdout.readline()
    namespace = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) if made else -1
    process.stdin.close()
    _, said = await process.communicate()
    if not made:
        raise Misconfigured(f"a mount namespace cannot be had: {said.decode('utf-8', 'replace').strip()[:500]}")
    return namespace


async def _try(stage: Stage, toolchains: Toolchains) -> None:
    """Raises Misconfigured when the user cannot make a sandbox."""
    profile = Profile.plain(toolchains.bwrap, toolchains.mounts, charged=Path(_PLACE), prefix=stage.prefix)
    ended, _, complaint = await collected(profile, Command(argv=("true",), cwd="/", timeout_s=_TRY_S))
    if not ended.end.ok:
        raise Misconfigured(f"user {stage.uid} cannot make a sandbox: {complaint.decode('utf-8', 'replace')[:500]}")


def _moved(mount: Mount, places: Mapping[Path, Path]) -> Mount:
    if mount.kind != "ro":
        return mount
    return msgspec.structs.replace(mount, source=str(places[Path(mount.source)]))


def _program(name: str) -> str:
    """Of util-linux. Raises Misconfigured."""
    if found := shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin"):
        return found
    raise Misconfigured(f"{name} (util-linux) is missing")

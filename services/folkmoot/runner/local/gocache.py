"""Go's build cache: the standard library compiled once, and what a workspace compiles kept from call to call.

The shared part is made in a sandbox of its own and is only ever the lower layer of an overlay: what a workspace writes
goes to its own folder, and nothing of it reaches another.
"""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runner.command import REPO, Command
from folkmoot.runner.local.launcher import HOME
from folkmoot.runner.local.sandbox import Limits, Mount, Profile, collected
from folkmoot.runner.local.stage import Stage
from folkmoot.runner.local.toolchain import Toolchains, environment

log = logging.getLogger(__name__)

TARGET = "/opt/go-cache"
"""Inside. Not below HOME, where a workspace could have put a link for the mount to follow."""
_BUILD_S = 600.0
_PATIENCE_S = 60.0
"""Of one who opens a workspace; 14 s are enough on two idle cores."""
_AHEAD_S = 6 * 3600.0
_RECIPE = 1
"""Counts up when `_PACKAGES` or `_BUILD` changes."""
_PACKAGES = (
    *("bufio", "bytes", "context", "encoding/json", "errors", "flag", "fmt", "io", "math", "math/rand", "os"),
    *("path/filepath", "reflect", "regexp", "slices", "maps", "sort", "strconv", "strings", "sync", "testing", "time"),
    *("unicode", "cmp", "log"),
)
_BUILD = """set -e
cd /tmp && mkdir warm && cd warm
printf 'module warm\\n\\ngo 1.21\\n' >go.mod
{ echo 'package main'; for p in $1; do echo "import _ \\"$p\\""; done; echo 'func main() {}'; } >main.go
printf 'package main\\nimport "testing"\\nfunc TestWarm(t *testing.T) {}\\n' >warm_test.go
go test ./... && go build -o /dev/null .
"""
_LIMITS = Limits(processes=512, open_files=4_096, file_bytes=2**29, memory_bytes=2**32, disk_bytes=2**30)


class GoCache:
    """Of one runner. Its folder is closed to everybody else: the sandboxes' user owns what is in it."""

    def __init__(self, folder: Path, toolchains: Toolchains, stage: Stage, group: asyncio.TaskGroup) -> None:
        self._folder = folder
        self._toolchains = toolchains
        self._stage = stage
        self._group = group
        self._making: asyncio.Task[Path | None] | None = None

    async def shared(self) -> Path | None:
        """The layer below, as sandboxes find it. None where it cannot be had, or not in time: Go then starts cold."""
        if self._making is None:
            self._making = self._group.create_task(self._made_or_said(), name="go cache")
        done, _ = await asyncio.wait([self._making], timeout=_PATIENCE_S)
        place = self._making.result() if done else None
        if place is None:
            return None
        await asyncio.to_thread(_date_ahead, place)
        return await self._one(place)

    def stop(self) -> None:
        if self._making is not None:
            self._making.cancel()

    async def _made_or_said(self) -> Path | None:
        try:
            return await self._made()
        except (FolkmootError, OSError) as error:
            log.warning("no warm build cache for Go: %s", error, extra={"action": "go_cache"})
            return None

    async def _made(self) -> Path | None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = await self._run(("go", "version"), (), self._folder)
        found = re.search(rb"go version (\S+ \S+)", said)
        if found is None:
            return None
        name = re.sub(r"[^a-zA-Z0-9.]", "-", found[1].decode())
        place = self._folder / f"{name}-{_RECIPE}"
        if not place.is_dir():
            await self._fill(place)
        await self._try(place)
        return place

    async def _fill(self, place: Path) -> None:
        """Complete or not there."""
        for left in self._folder.glob(".new-*"):
            shutil.rmtree(left)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        self._stage.owned(draft)
        mount = Mount(kind="rw", source=str(await self._one(draft)), target=TARGET)
        began = time.monotonic()
        await self._run(("sh", "-c", _BUILD, "warm", " ".join(_PACKAGES)), (mount,), draft)
        log.info("Go's cache was warmed in %.1f s", time.monotonic() - began, extra={"action": "go_cache"})
        draft.rename(place)

    async def _try(self, place: Path) -> None:
        """Overlays do not work everywhere: in a container, an upper layer may not lie on another overlay."""
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            self._stage.owned(folder)
            layers = Layers(folder, await self._one(folder), await self._one(place), self._stage)
            with layers.taken() as mount:
                await self._run(("sh", "-c", f"echo x >{TARGET}/x"), (mount,), folder)

    async def _one(self, path: Path) -> Path:
        return (await self._stage.shown([path]))[path]

    async def _run(self, argv: tuple[str, ...], mounts: tuple[Mount, ...], charged: Path) -> bytes:
        """Raises FolkmootError when it fails."""
        home = Mount(kind="tmpfs", target=HOME, size=2**20)
        work = Mount(kind="tmpfs", target=REPO, size=2**20)
        profile = Profile(
            bwrap=self._toolchains.bwrap,
            mounts=(*self._toolchains.mounts, home, work, *mounts),
            environment=environment(self._toolchains) | {"GOCACHE": TARGET},
            limits=_LIMITS,
            charged=charged,
            prefix=self._stage.prefix,
            locked=self._toolchains.locked,
            mark=self._stage.mark,
        )
        ended, stdout, stderr = await collected(profile, Command(argv=argv, timeout_s=_BUILD_S))
        if not ended.end.ok:
            raise FolkmootError(f"{' '.join(argv[:2])}: {stderr.decode('utf-8', 'replace')[-500:] or ended.end}")
        return stdout


class Layers:
    """What one workspace wrote. Two mounts of one upper layer are undefined, so commands at once get one each."""

    def __init__(self, folder: Path, shown: Path, shared: Path, stage: Stage) -> None:
        self._folder = folder
        self._shown = shown
        self._shared = shared
        self._stage = stage
        self._busy: set[int] = set()

    @contextlib.contextmanager
    def taken(self) -> Iterator[Mount]:
        """The first free layer: calls one after the other find what the last one compiled."""
        number = next(n for n in range(len(self._busy) + 1) if n not in self._busy)
        self._busy.add(number)
        try:
            yield self._mount(str(number))
        finally:
            self._busy.remove(number)

    def _mount(self, name: str) -> Mount:
        if not (self._folder / name).is_dir():
            for part in ("", "upper", "work"):
                (self._folder / name / part).mkdir(mode=0o755)
            self._stage.owned(self._folder / name)
        place = self._shown / name
        return Mount(
            kind="overlay",
            source=str(self._shared),
            upper=str(place / "upper"),
            work=str(place / "work"),
            target=TARGET,
        )


def cached(profile: Profile, mount: Mount) -> Profile:
    """`profile`, with Go's cache in it."""
    return msgspec.structs.replace(
        profile, mounts=(*profile.mounts, mount), environment={**profile.environment, "GOCACHE": TARGET}
    )


def _date_ahead(folder: Path) -> None:
    """Go touches an entry that is older than an hour, which would copy it up; a lease is shorter than this."""
    now = time.time()
    if folder.stat().st_mtime - now > _AHEAD_S / 2:
        return
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (now, now + _AHEAD_S))

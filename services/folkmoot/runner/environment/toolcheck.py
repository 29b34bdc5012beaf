"""Whether this machine has what a base asks for: tried once in a sandbox, and said by name where it has not."""

import asyncio
import hashlib
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.command import Command
from folkmoot.runner.environment import sets
from folkmoot.runner.environment.sets import Need
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.local.sandbox import Profile, collected
from folkmoot.runner.local.stage import Stage
from folkmoot.runner.local.toolchain import Toolchains, environment

_TIMEOUT_S = 60.0


class Toolcheck:
    """Of one runner. What is there is not asked for again; what is missing may have been installed meanwhile."""

    def __init__(self, folder: Path, toolchains: Toolchains, stage: Stage) -> None:
        self._folder = folder
        self._toolchains = toolchains
        self._stage = stage
        self._there: dict[Need, str] = {}
        self._lock = asyncio.Lock()

    async def require(self, wanted: Wanted) -> None:
        """Raises FailedPrecondition("environment") naming what is missing, or of another version."""
        library, version = wanted.config.library
        await self._have(sets.NEEDS[library], f"the library set {library} needs")
        await self._have(sets.RUNNERS[wanted.runner], "the tests at base need")
        if version:
            self._require_version(wanted.config.image, sets.NEEDS[library], version)

    def _require_version(self, image: str, needs: tuple[Need, ...], version: str) -> None:
        there = self._there[needs[0]] if needs else ""
        if not needs or not sets.of_version(version, there):
            has = f"has {needs[0].name} {there}" if needs else "knows of no versions of that set"
            raise FailedPrecondition("environment", f"base asks for {image}, and this machine {has}")

    async def _have(self, needs: tuple[Need, ...], who: str) -> None:
        async with self._lock:
            missing = [need for need in needs if not await self._found(need)]
        if missing:
            names = ", ".join(need.name for need in missing)
            packages = " ".join(dict.fromkeys(need.debian for need in missing))
            mend = f"on Debian, `apt-get install {packages}`"
            raise FailedPrecondition("environment", f"{who} {names}, not to be found on this machine ({mend})")

    async def _found(self, need: Need) -> bool:
        if need in self._there:
            return True
        plain = Profile.plain(
            self._toolchains.bwrap,
            self._toolchains.mounts,
            charged=self._folder,
            prefix=self._stage.prefix,
            locked=self._toolchains.locked,
        )
        asking = msgspec.structs.replace(plain, environment=environment(self._toolchains))
        ended, said, _ = await collected(asking, Command(argv=need.argv, cwd="/", timeout_s=_TIMEOUT_S))
        if ended.end.ok:
            self._there[need] = sets.version(said.decode("utf-8", "replace"))
        return ended.end.ok


def platform_of(toolchains: Toolchains) -> str:
    """All of this machine that a set-up sees, as one word."""
    digest = hashlib.sha256()
    for part in _parts(toolchains):
        digest.update(f"{part}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _parts(toolchains: Toolchains) -> Iterator[str]:
    yield from (platform.machine(), sys.version, *toolchains.path)
    yield from sorted(f"{mount.kind} {mount.target} {Path(mount.source).name}" for mount in toolchains.mounts)
    for name in ("go", "node", "npm", sets.SYSTEM_PYTHON):
        found = shutil.which(name, path=":".join(toolchains.path))
        if found:
            info = Path(found).stat()
            yield f"{found} {info.st_size} {info.st_mtime_ns}"

"""Whether there is what a base asks for: tried once where its tests will run, and said by name where there is not."""

import asyncio
import hashlib
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
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


Ask = Callable[[Need], Awaitable[str | None]]
"""What it says where it is there; None where it is not."""


class Toolcheck:
    """Of one runner. What is there is not asked for again. `where` is what looks for it, in words."""

    def __init__(self, ask: Ask, where: str) -> None:
        self._ask = ask
        self._where = where
        self._there: dict[Need, str] = {}
        self._lock = asyncio.Lock()

    async def require(self, wanted: Wanted) -> None:
        """Raises FailedPrecondition("environment") naming what is missing, or of another version; what asking does."""
        library, version = wanted.config.library
        await self._have(sets.NEEDS[library], f"the library set {library} needs")
        await self._have(sets.RUNNERS[wanted.runner], "the tests at base need")
        if version:
            self._require_version(wanted.config.image, sets.NEEDS[library], version)

    def _require_version(self, image: str, needs: tuple[Need, ...], version: str) -> None:
        there = self._there[needs[0]] if needs else ""
        if not needs or not sets.of_version(version, there):
            has = f"has {needs[0].name} {there}" if needs else "knows of no versions of that set"
            raise FailedPrecondition("environment", f"base asks for {image}, and {self._where} {has}")

    async def _have(self, needs: tuple[Need, ...], who: str) -> None:
        async with self._lock:
            missing = [need for need in needs if not await self._found(need)]
        if missing:
            names = ", ".join(need.name for need in missing)
            packages = " ".join(dict.fromkeys(need.debian for need in missing))
            has_not = f"which {self._where} has not (in Debian, {packages})"
            raise FailedPrecondition("environment", f"{who} {names}, {has_not}")

    async def _found(self, need: Need) -> bool:
        if need in self._there:
            return True
        said = await self._ask(need)
        if said is not None:
            self._there[need] = sets.version(said)
        return said is not None


def asking(folder: Path, toolchains: Toolchains, stage: Stage) -> Ask:
    """In a sandbox of this machine, without a workspace: what was missing may be installed when it is asked again."""
    plain = Profile.plain(
        toolchains.bwrap, toolchains.mounts, charged=folder, prefix=stage.prefix, locked=toolchains.locked
    )
    profile = msgspec.structs.replace(plain, environment=environment(toolchains))

    async def ask(need: Need) -> str | None:
        ended, said, _ = await collected(profile, command(need))
        return said.decode("utf-8", "replace") if ended.end.ok else None

    return ask


def command(need: Need) -> Command:
    return Command(argv=need.argv, cwd="/", timeout_s=_TIMEOUT_S)


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

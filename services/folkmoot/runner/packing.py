"""Packing: a mirror that has taken in thousands of candidates is as fast as a fresh one, and has all that it had.

Small packs and loose objects become one pack, by the rule of `git repack --geometric` (which, before git 2.41, would
take in what a repository only borrows). Nothing is judged by whether a ref reaches it, and nothing is removed before
its new place has been read: a death at any moment leaves everything there, at worst twice.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FolkmootError
from folkmoot.runner import refs
from folkmoot.runner.git import Git, GitFailed

log = logging.getLogger(__name__)

LARGEST_BYTES = 16 * 1024**2
"""A pack of this size is never written again: what one packing takes has a bound."""
_STALE_S = 120.0
"""A lock or draft this old is a dead git's: a living one is ended after half that time."""
_WAITS = -1
_MAGIC, _VERSION = b"\xfftOc", 2
_TABLE = 8 + 256 * 4


class _Pack(msgspec.Struct, frozen=True, kw_only=True):
    index: Path
    size: int
    """Bytes."""

    def remove(self) -> None:
        """The index first: without it nobody looks for the rest."""
        for suffix in (".idx", ".rev", ".pack"):
            self.index.with_suffix(suffix).unlink(missing_ok=True)


class Packer:
    """Packs repositories as they wear."""

    def __init__(self, alone: Callable[[Path], AbstractAsyncContextManager[None]], *, every: int) -> None:
        self._alone = alone
        self._every = every
        self._rest: dict[Path, int] = {}
        """What could not be packed away the last time."""
        self._worn: asyncio.Queue[Path] = asyncio.Queue()

    def look(self, folder: Path) -> None:
        """Have it packed if it has worn by `every` candidates since the last time: each is a pack and a ref."""
        rest = self._rest.get(folder, 0)
        if rest != _WAITS and wear(folder) - rest >= 2 * self._every:
            self._rest[folder] = _WAITS
            self._worn.put_nowait(folder)

    async def keep(self) -> None:
        """For ever, one after the other."""
        while True:
            folder = await self._worn.get()
            try:
                async with self._alone(folder):
                    await pack(Git(folder))
            except (FolkmootError, OSError) as error:
                # It is only slower so: a full disk, say, has room again some day.
                log.warning("%s is not packed: %s", folder, error, extra={"action": "pack"})
            self._rest[folder] = wear(folder)


def wear(folder: Path) -> int:
    """What git would look through one by one in the repository: packs and loose refs."""
    return sum(1 for _ in (folder / "objects/pack").glob("*.idx")) + refs.loose_count(folder)


async def pack(git: Git, *, largest: int = LARGEST_BYTES) -> None:
    """Pack refs, and objects outside packs of `largest` bytes. One caller at a time for a repository.

    Raises GitFailed, OSError.
    """
    clear(git.folder)
    await git.out("pack-refs", "--all")
    packs, loose = _small(git.folder, largest), dict(_loose(git.folder))
    chosen = geometric([one.size for one in packs])
    if chosen + bool(loose) < 2:
        return
    old = packs[:chosen]
    wanted = set(loose).union(*(_names(one.index) for one in old))
    # Objects first, everything else behind: whoever reads meanwhile finds each in the old place or in the new one.
    place = git.folder / "objects/pack"
    listed = "".join(f"{name}\n" for name in sorted(wanted)).encode("ascii")
    made = await git.line("pack-objects", "--quiet", "--delta-base-offset", str(place / "pack"), stdin=listed)
    new = place / f"pack-{made}.idx"
    if not wanted <= _names(new):
        raise GitFailed("pack-objects", f"{new.name} lacks some of what it was made of")
    for one in old:
        if one.index != new:
            one.remove()
    for file in loose.values():
        file.unlink(missing_ok=True)


def clear(folder: Path, *, now: float | None = None) -> None:
    """Remove locks and drafts that gits left which died in the middle; `now` is seconds since 1970."""
    last = (time.time() if now is None else now) - _STALE_S
    locks = [*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock"), folder / "packed-refs.new"]
    drafts = [*(folder / "objects").glob("tmp_*"), *(folder / "objects/pack").glob("tmp_*")]
    for path in (*locks, *drafts):
        if path.is_file() and path.stat().st_mtime < last:
            path.unlink(missing_ok=True)


def geometric(sizes: Sequence[int]) -> int:
    """How many of the packs, smallest first, become one, so that each other one is at least twice as large as all
    before it together. Pure."""
    count, total = 0, 0
    for number, size in enumerate(sizes):
        if number and size < 2 * total:
            count = number + 1
        total += size
    return count


def _small(folder: Path, largest: int) -> list[_Pack]:
    """Smallest first, without those that git was told to keep or that are only half there."""
    found = []
    for index in (folder / "objects/pack").glob("*.idx"):
        content = index.with_suffix(".pack")
        if content.is_file() and not index.with_suffix(".keep").exists():
            found.append(_Pack(index=index, size=content.stat().st_size))
    return sorted((one for one in found if one.size < largest), key=lambda one: (one.size, one.index.name))


def _loose(folder: Path) -> Iterator[tuple[str, Path]]:
    for place in (folder / "objects").iterdir():
        if len(place.name) == 2:
            for file in place.iterdir():
                if len(file.name) in {38, 62}:
                    yield place.name + file.name, file


def _names(index: Path) -> set[str]:
    """The objects of a pack, from its index (gitformat-pack, version 2). Raises GitFailed for another version."""
    content = index.read_bytes()
    if content[:4] != _MAGIC or struct.unpack(">I", content[4:8])[0] != _VERSION:
        raise GitFailed("pack-objects", f"{index.name} is no index of version {_VERSION}")
    [count] = struct.unpack(">I", content[_TABLE - 4 : _TABLE])
    # Behind the table: names, checksums (4 bytes each), offsets (4), then two digests as long as a name.
    width = (len(index.stem) - len("pack-")) // 2
    return {content[at : at + width].hex() for at in range(_TABLE, _TABLE + count * width, width)}

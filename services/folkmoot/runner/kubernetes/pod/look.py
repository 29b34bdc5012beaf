"""What is in a repository, and what has changed there since the last look. Sent to a watcher (`run.py`) with its order,
and run by it when a command and all that it left are over.

What is said, big-endian: a head, then one entry for each name. Head: `S` where names are as the last look left them
and only changes follow, `W` where all names follow, `T` where there is too much and nothing follows (1 byte); the pod's
time before the look in nanoseconds (8); a digest of all names (16); how many entries follow (4). Entry: `f` file, `x`
one that may be executed, `l` link; `-` as before, `c` changed, `w` changed and its content follows; inode (8); size of
that content (4); length of the name (2); the name; the content.

Only change times count, which no program can set. A name leads through no link.
"""

from __future__ import annotations

import os
import stat
import struct
import time

TYPE_CHECKING = False  # as mypy knows it; the import itself would cost milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_HEAD = struct.Struct(">cq16sI")
_ENTRY = struct.Struct(">ccQIH")
COARSE = 5
"""The clock by which kernels say when a file was changed: CLOCK_REALTIMECOARSE."""
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
_DEPTH = 100
_NAME_BYTES = 4000


class _TooMuchError(Exception):
    """More files, or more time, than a look may take."""


def looked(asked: dict[str, Any]) -> Iterator[bytes]:
    """`asked`: `root`; `since`, nanoseconds, below 0 where nothing counts as changed; `digest` of the last look's
    names; `want`, names whose content is wanted whatever their time; `room`, bytes of content in all; `files` and
    `seconds` at most; `folders` that are not looked into, `endings` and `beginnings` of names that do not count."""
    at = time.clock_gettime_ns(COARSE)
    root = os.open(asked["root"], _FOLDER)
    try:
        walk = _Walk(asked, at)
        try:
            walk.through(root, b"", 0)
        except _TooMuchError:
            yield _HEAD.pack(b"T", at, b"", 0)
            return
        yield from _told(walk.found, asked, at, root)
    finally:
        os.close(root)


class _Walk:
    def __init__(self, asked: dict[str, Any], at: int) -> None:
        self.found: list[tuple[bytes, bytes, int, int, bool]] = []
        """Name, kind, inode, size, whether it has changed."""
        self._until = time.monotonic() + asked["seconds"]
        self._left = asked["files"]
        self._folders = frozenset(asked["folders"])
        self._endings, self._beginnings = tuple(asked["endings"]), tuple(asked["beginnings"])
        # A clock that was set back tells nothing of what came since.
        self._since = 0 if 0 <= at < asked["since"] else asked["since"]

    def through(self, folder: int, above: bytes, depth: int) -> None:
        """Raises _TooMuchError."""
        folders = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._count()
                if not self._counts(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    self._take(entry, above)
        for name in folders:
            if name not in self._folders and depth < _DEPTH:
                self._into(folder, name, above, depth)

    def _into(self, folder: int, name: str, above: bytes, depth: int) -> None:
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            return
        try:
            self.through(inner, above + os.fsencode(name) + b"/", depth + 1)
        finally:
            os.close(inner)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0 or (not self._left & 255 and time.monotonic() > self._until):
            raise _TooMuchError

    def _counts(self, name: str) -> bool:
        return name != ".git" and not name.endswith(self._endings) and not name.startswith(self._beginnings)

    def _take(self, entry: os.DirEntry[str], above: bytes) -> None:
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            return
        kind, path = _kind(info.st_mode), above + os.fsencode(entry.name)
        if kind and len(path) <= _NAME_BYTES:
            changed = self._since >= 0 and info.st_ctime_ns >= self._since
            self.found.append((path, kind, info.st_ino, info.st_size, changed))


def _kind(mode: int) -> bytes:
    """Empty for what is neither file nor link."""
    if stat.S_ISLNK(mode):
        return b"l"
    if not stat.S_ISREG(mode):
        return b""
    return b"x" if mode & 0o100 else b"f"


def _told(
    found: list[tuple[bytes, bytes, int, int, bool]], asked: dict[str, Any], at: int, root: int
) -> Iterator[bytes]:
    found.sort()
    digest = _digest(b"".join(kind + struct.pack(">QH", inode, len(path)) + path for path, kind, inode, _, _ in found))
    whole = digest != asked["digest"]
    chosen = _chosen(found, asked)
    told = [row for row in found if whole or row[4] or row[0] in chosen]
    yield _HEAD.pack(b"W" if whole else b"S", at, digest, len(told))
    for path, kind, inode, _, changed in told:
        content = _content(root, path, asked["room"]) if path in chosen else None
        how = b"w" if content is not None else b"c" if changed else b"-"
        yield _ENTRY.pack(kind, how, inode, len(content or b""), len(path)) + path + (content or b"")


def _digest(names: bytes) -> bytes:
    try:
        from _blake2 import blake2b  # hashlib itself brings all of OpenSSL along
    except ImportError:
        from hashlib import blake2b
    return blake2b(names, digest_size=16).digest()


def _chosen(found: list[tuple[bytes, bytes, int, int, bool]], asked: dict[str, Any]) -> set[bytes]:
    """Whose content is told: small ones first, as many as there is room for."""
    wanted, room = frozenset(asked["want"]), asked["room"]
    chosen = set()
    for size, path in sorted((row[3], row[0]) for row in found if (row[0] in wanted if wanted else row[4])):
        room -= size
        if room < 0:
            break
        chosen.add(path)
    return chosen


def _content(root: int, path: bytes, most: int) -> bytes | None:
    """None for what cannot be read, or has become something else or larger meanwhile."""
    *folders, name = path.split(b"/")
    at = os.dup(root)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            return os.readlink(name, dir_fd=at)
        return _file(os.open(name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=at), most)
    except OSError:
        return None
    finally:
        os.close(at)


def _file(handle: int, most: int) -> bytes | None:
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        body = file.read(most + 1)
    return body if len(body) <= most else None

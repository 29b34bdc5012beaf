"""What a look into a repository says, as `kubernetes/pod/look.py` tells it. Pure, and whatever comes is data."""

import struct
from collections.abc import Iterator

import msgspec

_HEAD = struct.Struct(">cq16sI")
_ENTRY = struct.Struct(">ccQIH")
NOTHING_CHANGED = -1
BESIDE_BYTES = 1024**2
"""Of content, that comes with a command's end unasked; small files first."""
FURTHER_BYTES = 16 * 1024**2
"""Of content that is asked for by a run of its own. A larger file has no versions."""
MOST_BYTES = 64 * 1024**2
"""Of one look in all."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    since: int = NOTHING_CHANGED
    """By the pod's clock, nanoseconds: what changed later is told."""
    digest: bytes = bytes(16)
    """Of the names that are known. Where they are others, all are told."""
    want: tuple[bytes, ...] = ()
    room: int = BESIDE_BYTES


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    path: bytes
    kind: str
    """`f`, `x` (may be executed) or `l` (a link)."""
    inode: int
    changed: bool
    content: bytes | None
    """Of a link: where it leads."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    at: int
    """When the look began, as `Ask.since`."""
    digest: bytes
    whole: bool
    """All names are here; else those that changed, and names are as they were."""
    too_much: bool
    """More than is looked at: nothing is told."""
    entries: tuple[Entry, ...]


def read(body: bytes) -> Seen:
    """Raises ValueError for what is no look."""
    if len(body) < _HEAD.size:
        raise ValueError("a look was cut short")
    kind, at, digest, count = _HEAD.unpack_from(body)
    if kind not in (b"S", b"W", b"T"):
        raise ValueError("a look of another kind")
    entries = tuple(_entries(body, count))
    return Seen(at=at, digest=digest, whole=kind == b"W", too_much=kind == b"T", entries=entries)


def _entries(body: bytes, count: int) -> Iterator[Entry]:
    at = _HEAD.size
    for _ in range(count):
        if len(body) - at < _ENTRY.size:
            raise ValueError("a look was cut short")
        kind, how, inode, size, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        path, content = body[at : at + length], body[at + length : at + length + size]
        at += length + size
        if at > len(body) or kind not in (b"f", b"x", b"l") or how not in (b"-", b"c", b"w"):
            raise ValueError("a look with an entry that is none")
        found = content if how == b"w" else None
        yield Entry(path=path, kind=kind.decode("ascii"), inode=inode, changed=how != b"-", content=found)
    if at != len(body):
        raise ValueError("a look with something behind it")

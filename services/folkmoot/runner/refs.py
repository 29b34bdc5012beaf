"""Refs of our own bare repositories, read as files: no process, however many candidates there are.

Git writes them, this only reads. `store.make_bare` makes every one of these repositories, so refs are always loose
files over one `packed-refs`. One that git packs meanwhile is found: it is in there before its file goes.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

_LOOSE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\n?")


def value(folder: Path, ref: str) -> str | None:
    """The object that `ref` of the repository is; None where there is none, or a symbolic one."""
    loose = _loose(folder / ref)
    if loose is not None:
        return loose
    packed = _packed(folder)
    at = packed.find(b" " + os.fsencode(ref) + b"\n")
    return packed[packed.rfind(b"\n", 0, at) + 1 : at].decode("ascii") if at >= 0 else None


def naming(folder: Path, object_id: str, *under: str) -> list[str]:
    """Refs below any of `under` (each ends in `/`) that are `object_id` itself, sorted.

    Right where a ref never gets another value, as those of candidates.
    """
    return sorted({ref for prefix in under for ref in _naming(folder, object_id, prefix)})


def below(folder: Path, *under: str) -> dict[str, str]:
    """Name to object, of all refs below any of `under` (each ends in `/`)."""
    loose = {ref: found for prefix in under for ref in _files(folder, prefix) if (found := _loose(folder / ref))}
    return {ref: found for ref, found in _rows(folder) if ref.startswith(under)} | loose


def loose_count(folder: Path) -> int:
    return sum(1 for _ in _files(folder, "refs/"))


def _naming(folder: Path, object_id: str, prefix: str) -> Iterator[str]:
    for ref in _files(folder, prefix):
        if _loose(folder / ref) == object_id:
            yield ref
    packed, wanted = _packed(folder), f"\n{object_id} {prefix}".encode()
    at = packed.find(wanted)
    while at >= 0:
        end = packed.index(b"\n", at + 1)
        yield os.fsdecode(packed[at + len(object_id) + 2 : end])
        at = packed.find(wanted, end)


def _rows(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and object. Other lines say how the file is sorted, or what a tag points to."""
    for line in _packed(folder).split(b"\n"):
        object_id, gap, ref = line.partition(b" ")
        if gap and _LOOSE.fullmatch(object_id):
            yield os.fsdecode(ref), object_id.decode("ascii")


def _files(folder: Path, prefix: str) -> Iterator[str]:
    for place, _, names in os.walk(folder / prefix):
        for name in names:
            if not name.endswith(".lock"):
                yield os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118 -- ten times as fast


def _loose(path: Path) -> str | None:
    try:
        found = _LOOSE.fullmatch(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return found[1].decode("ascii") if found else None


def _packed(folder: Path) -> bytes:
    """Begins with a line of its own, so that every ref has an end of line before it."""
    try:
        return (folder / "packed-refs").read_bytes()
    except FileNotFoundError:
        return b""

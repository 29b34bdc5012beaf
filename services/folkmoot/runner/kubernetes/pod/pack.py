"""What a set-up left, as a compressed tar on standard output, behind one line of JSON that says how much it is.

Arguments: its folder, the most bytes on disk, the most files. The line: `{"bytes": b, "files": f}`; where one of them
is too much, nothing follows it. Only files, folders and links are packed, and links are not followed.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import sys
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PR_SET_DUMPABLE = 4
_LEVEL = 1
_NAME_BYTES = 2048
"""In a tar."""
_PIECE = 256 * 1024


def main(root: str, most_bytes: str, most_files: str) -> None:
    size, files = _measured(root, int(most_bytes), int(most_files))
    out = sys.stdout.buffer
    out.write(json.dumps({"bytes": size, "files": files}).encode() + b"\n")
    if size > int(most_bytes) or files > int(most_files):
        return
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_PIECE) as tar,
    ):
        for path in _paths(root):
            _add(tar, path, os.path.relpath(path, root))
    out.flush()


def _measured(root: str, most_bytes: int, most_files: int) -> tuple[int, int]:
    """Bytes on disk, a name alone counting as some, and how many; counting ends where either is too much."""
    size = files = 0
    for path in _paths(root):
        size += max(_NAME_BYTES, os.lstat(path).st_blocks * 512)
        files += 1
        if size > most_bytes or files > most_files:
            break
    return size, files


def _paths(root: str) -> Iterator[str]:
    """Each folder before what is in it. A pod mounts `node_modules` by its path: it is a folder, or nothing."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if folder == root and entry.name == "node_modules" and not entry.is_dir(follow_symlinks=False):
                    continue
                yield entry.path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    info = tar.gettarinfo(path, name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.isreg():
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            tar.addfile(info, file)
    elif info.isdir() or info.issym() or info.islnk():
        tar.addfile(info)


if __name__ == "__main__":
    # No other process of this user may look into us, or write to our standard output.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    main(*sys.argv[1:])

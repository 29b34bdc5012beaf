"""The commit message in a git bundle's pack, read without git and without a repository. Pure.

A pack is thin: without base its deltas mean nothing, but the one commit in it stands whole.
"""

import re
import zlib

_COMMIT, _OFS_DELTA, _REF_DELTA = 1, 6, 7
_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*: \S.*")
_LARGEST = 1024 * 1024
"""Bytes of a commit object that are looked at."""


def commit_message(pack: bytes, id_bytes: int = 20) -> str:
    """The message of the first commit in `pack`; empty when there is none that can be read."""
    try:
        return _find(pack, id_bytes)
    except (IndexError, zlib.error):
        return ""


def trailers(message: str) -> list[str]:
    """The lines of the last paragraph, if all of them are trailers."""
    last = message.strip().split("\n\n")[-1].splitlines()
    return last if "\n\n" in message.strip() and all(_TRAILER.fullmatch(t) for t in last) else []


def _find(pack: bytes, id_bytes: int) -> str:
    at, count = 12, int.from_bytes(pack[8:12], "big")
    for _ in range(count):
        kind, at = _head(pack, at)
        if kind == _OFS_DELTA:
            at = _past_varint(pack, at)
        if kind == _REF_DELTA:
            at += id_bytes
        stream = zlib.decompressobj()
        body = stream.decompress(pack[at:], _LARGEST)
        if kind == _COMMIT:
            return body.partition(b"\n\n")[2].decode("utf-8", "replace")
        if not stream.eof:
            return ""
        at = len(pack) - len(stream.unused_data)
    return ""


def _head(pack: bytes, at: int) -> tuple[int, int]:
    """Kind of the object at `at`, and where its own data begins."""
    return (pack[at] >> 4) & 7, _past_varint(pack, at)


def _past_varint(pack: bytes, at: int) -> int:
    while pack[at] & 0x80:
        at += 1
    return at + 1

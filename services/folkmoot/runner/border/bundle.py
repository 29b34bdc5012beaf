"""The header of a git bundle, read by ourselves before git sees a byte of it. Pure."""

import re
import struct

import msgspec

_HEADER_BYTES = 16 * 1024
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"HEAD|refs/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")
_SMALLEST_OBJECT = 9
"""Bytes: one of header, eight of the shortest zlib stream."""


class BadBundle(ValueError):
    """It does not look as a bundle of one candidate must; the message says why."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    tip: str
    prerequisites: tuple[str, ...]
    ref: str
    pack: bytes


def parsed(content: bytes, *, most: int = 1) -> Bundle:
    """One ref, 1 to `most` prerequisites, no capability but the object format, and a pack of believable size.

    Raises BadBundle.
    """
    head, gap, pack = content[:_HEADER_BYTES].partition(b"\n\n")
    if not gap:
        raise BadBundle("is no git bundle: its header does not end")
    # The commit subject behind a prerequisite is the only free text in it, and need not be UTF-8.
    lines = head.decode("utf-8", "replace").split("\n")
    capabilities = [line[1:] for line in lines[1:] if line.startswith("@")]
    prerequisites = [line[1:] for line in lines[1:] if line.startswith("-")]
    refs = [line for line in lines[1:] if not line.startswith(("@", "-"))]
    _check_version(lines[0], capabilities)
    if len(refs) != 1:
        raise BadBundle(f"brings {len(refs)} refs; exactly one is expected")
    if not 1 <= len(prerequisites) <= most:
        expected = "exactly one, the base, is expected" if most == 1 else f"from 1 to {most} are expected"
        raise BadBundle(f"names {len(prerequisites)} prerequisites; {expected}")
    tip, ref = _tip(refs[0])
    pack = content[len(head) + len(gap) :]
    _check_pack(pack)
    needed = tuple(_object_id(line.split(" ", 1)[0]) for line in prerequisites)
    return Bundle(tip=tip, ref=ref, prerequisites=needed, pack=pack)


def written(ref: str, tip: str, prerequisite: str, pack: bytes) -> bytes:
    """A bundle of one ref on one prerequisite, as git writes it and `parsed` reads it."""
    version = "# v2 git bundle" if len(tip) == 40 else "# v3 git bundle\n@object-format=sha256"
    return f"{version}\n-{prerequisite} base\n{tip} {ref}\n\n".encode("ascii") + pack


def _check_version(line: str, capabilities: list[str]) -> None:
    if line not in {"# v2 git bundle", "# v3 git bundle"}:
        raise BadBundle("is no git bundle of version 2 or 3")
    if line == "# v2 git bundle" and capabilities:
        raise BadBundle("is of version 2 and names capabilities")
    unknown = [c for c in capabilities if c not in {"object-format=sha1", "object-format=sha256"}]
    if unknown:
        raise BadBundle(f"needs the capability {unknown[0][:40]!r}, which is refused")


def _tip(line: str) -> tuple[str, str]:
    tip, _, ref = line.partition(" ")
    if not _REF.fullmatch(ref):
        raise BadBundle(f"names the ref {ref[:80]!r}, which is refused")
    return _object_id(tip), ref


def _object_id(text: str) -> str:
    if not _OBJECT_ID.fullmatch(text):
        raise BadBundle(f"names the object {text[:80]!r}, which is no object id")
    return text


def _check_pack(pack: bytes) -> None:
    if len(pack) < 32 or pack[:4] != b"PACK":
        raise BadBundle("holds no pack")
    version, count = struct.unpack(">II", pack[4:12])
    if version not in {2, 3}:
        raise BadBundle(f"holds a pack of version {version}")
    if count * _SMALLEST_OBJECT > len(pack):
        raise BadBundle(f"declares {count} objects in {len(pack)} bytes")

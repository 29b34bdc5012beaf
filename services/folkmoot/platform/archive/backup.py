"""All of a platform in one file, taken while it runs or while it is down.

In it: the streams, the mirrors, and the settings file without its secrets. Not in it: secrets, and what the platform
makes again by itself (the graph, keys, passwords, workspaces, messages between runner and orchestrator).
"""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import AlreadyExists
from folkmoot.kernel.events import timestamp
from folkmoot.platform.archive.toml import without_secrets
from folkmoot.runtime.log import snapshots, topology
from folkmoot.runtime.log.keeper import Keeper

FORMAT = "folkmoot.backup.v1"
NAME = "backup.json"
STREAMS = (
    topology.AGILE,
    topology.REQUESTS,
    topology.DELIBERATIONS,
    topology.STEPS,
    topology.FLEET,
    topology.PARKED,
    topology.OBJECTS,
)
"""In this order: what a message names is taken after it. `resume.py` relies on it."""
SETTINGS = "folkmoot.toml"
MIRRORS = "mirrors"


class StreamTaken(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    taken: snapshots.Taken
    size: int
    sha256: str
    """Both of the member `streams/<name>`."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """First member of the file."""

    format: str
    made_at: str
    streams: tuple[StreamTaken, ...]


async def backup(keeper: Keeper, data: Path, target: Path, *, now: datetime) -> Contents:
    """Write the new file `target`, whole or not at all; readable by its owner only.

    Raises AlreadyExists when it is there, Unavailable when the log goes away meanwhile.
    """
    if target.exists():
        raise AlreadyExists(f"{target} exists already")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as draft:
        taken = tuple([await _taken(keeper, spec.name, Path(draft)) for spec in STREAMS])
        contents = Contents(format=FORMAT, made_at=timestamp(now), streams=taken)
        fresh = Path(draft) / "backup"
        fresh.touch(mode=0o600)
        with fresh.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _write(tar, contents, Path(draft), data)
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(target)
    return contents


async def _taken(keeper: Keeper, stream: str, draft: Path) -> StreamTaken:
    file = draft / stream
    with file.open("wb") as out:
        taken = await snapshots.take(keeper.bus.wire, stream, out)
    with file.open("rb") as body:
        sha256 = hashlib.file_digest(body, "sha256").hexdigest()
    return StreamTaken(name=stream, taken=taken, size=file.stat().st_size, sha256=sha256)


def _write(tar: tarfile.TarFile, contents: Contents, draft: Path, data: Path) -> None:
    _add(tar, NAME, msgspec.json.encode(contents))
    for stream in contents.streams:
        tar.add(draft / stream.name, f"streams/{stream.name}", filter=_anonymous)
    if (data / SETTINGS).is_file():
        _add(tar, SETTINGS, without_secrets((data / SETTINGS).read_text("utf-8")).encode())
    for file in mirror_files(data / MIRRORS):
        _add_file(tar, file, f"{MIRRORS}/{file.relative_to(data / MIRRORS)}")


def mirror_files(folder: Path) -> Iterator[Path]:
    """Refs before objects: what a ref names was there before it, and nothing is ever collected meanwhile."""
    objects: list[Path] = []
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if parts[0] == "quarantine" or parts[-1] == "lock" or file.suffix == ".lock" or not _plain(file):
            continue
        if parts[2:3] != ("objects",):
            yield file
        elif not file.name.startswith("tmp_"):
            objects.append(file)
    yield from objects


def _plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _add_file(tar: tarfile.TarFile, file: Path, name: str) -> None:
    """Refs are replaced while we read: we have the old one or the new one. What went away is left out."""
    try:
        with file.open("rb") as body:
            member = _anonymous(tar.gettarinfo(arcname=name, fileobj=body))
            tar.addfile(member, body)
    except FileNotFoundError:
        return


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(body), 0o600
    tar.addfile(member, io.BytesIO(body))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever restores it owns it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member

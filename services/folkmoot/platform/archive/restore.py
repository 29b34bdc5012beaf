"""A platform from a backup, in a new data folder."""

import hashlib
import shutil
import tarfile
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.platform.archive.admin import keeping
from folkmoot.platform.archive.backup import FORMAT, MIRRORS, NAME, SETTINGS, STREAMS, Contents, StreamTaken
from folkmoot.platform.archive.reach import own_server
from folkmoot.platform.archive.resume import Resumed, resume
from folkmoot.runtime.log import snapshots
from folkmoot.runtime.log.keeper import Keeper
from folkmoot.runtime.log.nats import create
from folkmoot.runtime.settings import Settings

MAX_CONTENTS_BYTES = 1024 * 1024


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    made_at: str
    messages: dict[str, int]
    """By stream."""
    resumed: Resumed


async def restore(settings: Settings, file: Path) -> Restored:
    """Fill the data folder of `settings`, which must be empty or not there, and stop: `moot up` starts it.

    Whole or not at all. Raises FailedPrecondition("empty"), InvalidInput and Misconfigured naming what is wrong with
    the file.
    """
    folder = settings.data_folder
    if folder.exists() and any(folder.iterdir()):
        raise FailedPrecondition("empty", f"{folder} is not empty: a backup is restored into a new data folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tarfile.open(file, mode="r:") as tar:
            return await _restored(tar, settings)
    except tarfile.TarError as error:
        _emptied(folder)
        raise InvalidInput("FILE", f"is no backup: {error}") from error
    except FailedPrecondition:
        raise  # a platform was started in it meanwhile: what is there now is not ours
    except BaseException:
        _emptied(folder)
        raise


async def _restored(tar: tarfile.TarFile, settings: Settings) -> Restored:
    contents = _contents(tar)
    for stream in contents.streams:
        _require_digest(tar, stream)
    async with own_server(settings) as there, keeping(there) as keeper:
        messages = {stream.name: await _put(tar, keeper, stream) for stream in contents.streams}
        await create(keeper.bus)
        resumed = await resume(keeper)
    _unpack(tar, settings.data_folder)
    return Restored(made_at=contents.made_at, messages=messages, resumed=resumed)


def _contents(tar: tarfile.TarFile) -> Contents:
    first = tar.next()
    body = tar.extractfile(first) if first and first.name == NAME and first.size <= MAX_CONTENTS_BYTES else None
    if body is None:
        raise InvalidInput("FILE", f"is no backup: it does not begin with {NAME}")
    try:
        contents = msgspec.json.decode(body.read(), type=Contents)
    except msgspec.MsgspecError as error:
        raise InvalidInput(NAME, str(error)) from error
    if contents.format != FORMAT or [s.name for s in contents.streams] != [s.name for s in STREAMS]:
        raise InvalidInput(NAME, f"is of another version: {contents.format[:80]!r}")
    return contents


def _require_digest(tar: tarfile.TarFile, stream: StreamTaken) -> None:
    body = _member(tar, stream)
    if hashlib.file_digest(body, "sha256").hexdigest() != stream.sha256:
        raise InvalidInput(f"streams/{stream.name}", "is not what was backed up")


def _member(tar: tarfile.TarFile, stream: StreamTaken) -> "tarfile.ExFileObject":
    try:
        body = tar.extractfile(f"streams/{stream.name}")
    except KeyError:
        body = None
    if body is None:
        raise InvalidInput(f"streams/{stream.name}", "is missing")
    return body  # type: ignore[return-value] # typeshed says IO[bytes]


async def _put(tar: tarfile.TarFile, keeper: Keeper, stream: StreamTaken) -> int:
    spec = next(spec for spec in STREAMS if spec.name == stream.name)
    return await snapshots.put(keeper.bus.wire, spec, stream.taken, _member(tar, stream))


def _unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Plain files of ours only; the filter refuses what would leave the folder."""
    for member in tar:
        if member.isreg() and (member.name == SETTINGS or member.name.startswith(f"{MIRRORS}/")):
            tar.extract(member, folder, filter="data")
    for place in (folder / MIRRORS).glob("*/*.git"):
        # Git takes a folder for a repository only if these are there, empty or not.
        for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (place / part).mkdir(parents=True, exist_ok=True)


def _emptied(folder: Path) -> None:
    for part in folder.iterdir():
        shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()

"""Folders and bare repositories of ours: made by hand, locked across processes, swept after a crash.

One repository has two: `base.git` holds what its origin has and nothing else, so that a workspace may see it whole;
`candidates.git` borrows base's objects and holds what agents made.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

_LOCK_POLL_S = 0.05


def make_bare(folder: Path, *, borrows: str = "", object_format: str = "sha1") -> None:
    """A bare repository without templates, hooks or samples; complete or not there at all, under any concurrency."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    _fill(draft, borrows, object_format)
    draft.chmod(0o755)
    try:
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft)
        if not folder.is_dir():
            raise


def share_shallow(source: Path, target: Path) -> None:
    """Where history ends in `source`, it ends in what borrows from it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source / "shallow", target / "shallow")


@contextlib.asynccontextmanager
async def exclusive(path: Path) -> AsyncIterator[None]:
    """One holder at a time, in all processes of this machine; freed by the kernel when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(handle):  # noqa: ASYNC110 -- the other holder is another process
            await asyncio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def quarantine(folder: Path) -> Iterator[Path]:
    """A fresh folder that is removed at the end, or by `sweep` when we die before."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    handle = os.open(draft / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        place = draft.rename(folder / draft.name.replace(".new-", "q-"))
        try:
            yield place
        finally:
            shutil.rmtree(place)
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove quarantines whose holder is dead; says how many."""
    dead = [place for place in folder.glob("q-*") if _abandoned(place / "lock")]
    for place in dead:
        shutil.rmtree(place)
    return len(dead)


def _fill(folder: Path, borrows: str, object_format: str) -> None:
    for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (folder / part).mkdir(parents=True)
    version = 0 if object_format == "sha1" else 1
    extension = f"[extensions]\n\tobjectFormat = {object_format}\n" if version else ""
    (folder / "config").write_text(f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}")
    if borrows:
        (folder / "objects/info/alternates").write_text(f"{borrows}\n")
    # Last: without HEAD it is no repository. Unborn: nothing of ours is ever checked out.
    (folder / "HEAD").write_text("ref: refs/heads/none\n")


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _abandoned(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _locked(handle)
    finally:
        os.close(handle)

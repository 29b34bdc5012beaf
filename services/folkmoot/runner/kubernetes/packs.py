"""Packs of what a base holds, for pods: made once, kept on disk, the oldest dropped first."""

import asyncio
import contextlib
import io
import shutil
import signal
import tarfile
import tempfile
from pathlib import Path
from weakref import WeakValueDictionary

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import checkout
from folkmoot.runner.checkout import Stock, Tree
from folkmoot.runner.git import Git, GitFailed, Memory, last_line

_KEPT = 16
_TIMEOUT_S = 300.0


class Packs:
    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        """`folder` is ours alone; what a predecessor did not finish goes."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".new-*"):
            shutil.rmtree(left)
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._locks: WeakValueDictionary[CommitId, asyncio.Lock] = WeakValueDictionary()

    async def of(self, objects: Path, commit: CommitId) -> Path:
        """Folder with one pack and its index: `commit` and all its history in the repository `objects`.

        Raises FailedPrecondition("repository_bytes") when it is too large, GitFailed.
        """
        place = self._folder / commit
        async with self._locks.setdefault(commit, asyncio.Lock()):
            if place.is_dir():
                place.touch()
            else:
                await self._made(objects, commit, place)
        return place

    async def _made(self, objects: Path, commit: CommitId, place: Path) -> None:
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            done = await Git(objects).run(
                *("pack-objects", "--quiet", "--revs", "--delta-base-offset", str(draft / "pack")),
                stdin=f"{commit}\n".encode("ascii"),
                timeout_s=_TIMEOUT_S,
                # What is half-made lies where it is to be renamed: mirrors may lie on another disk.
                env={"GIT_OBJECT_DIRECTORY": str(draft), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects / "objects")},
                memory=Memory(file_size=self._limit_bytes),
            )
            if done.code == -signal.SIGXFSZ:
                problem = f"the repository is larger, packed, than {self._limit_bytes} bytes"
                raise FailedPrecondition("repository_bytes", f"{problem}: see FOLKMOOT_KUBERNETES_REPOSITORY_BYTES")
            if done.code != 0:
                raise GitFailed("pack-objects", last_line(done.stderr) or f"exit {done.code}")
            with contextlib.suppress(FileNotFoundError):
                (draft / "pack").rmdir()
            self._drop_oldest()
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _drop_oldest(self) -> None:
        places = sorted(self._folder.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
        for place in [p for p in places if not p.name.startswith(".new-")][_KEPT - 1 :]:
            shutil.rmtree(place)


def tarred(objects: Path, pack: Path, tree: Tree, stock: Stock) -> bytes:
    """All of a fresh `.git`, with what it needs to be checked out; nothing in it points outside."""
    with tempfile.TemporaryDirectory(prefix="moot-") as folder:
        repo = Path(folder)
        checkout.skeleton(repo, objects, tree, stock, borrows="")
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w") as tar:
            tar.add(repo / ".git", ".git")
            for file in sorted(pack.iterdir()):
                tar.add(file, f".git/objects/pack/{file.name}")
        return body.getvalue()

"""The quarantine: a bare repository for one bundle, gone afterwards, in which git's strictest reader takes it apart.

Its objects may build on a repository of ours, which it borrows and cannot write.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from folkmoot.runner import store
from folkmoot.runner.border import bundle as bundles
from folkmoot.runner.border.bundle import Bundle
from folkmoot.runner.border.verdict import turn_back
from folkmoot.runner.git import Git, Memory
from folkmoot.runner.objects import Objects, reading

COMMIT_BYTES = 1024**2
"""Of a candidate's commit: we read it ourselves."""
_MEMORY = Memory()
_STRICT = "--strict=badFilemode=error,gitattributesSymlink=error,gitignoreSymlink=error"
"""What git only mentions by itself. An odd mode is not seen later: `diff-tree` shows the mode that it is taken for."""


@contextlib.asynccontextmanager
async def opened(folder: Path, lender: Path, *, sha256: bool) -> AsyncIterator[tuple[Git, Objects]]:
    """An empty repository below `folder` that borrows from `lender`, a bare repository; removed at the end."""
    with store.quarantine(folder) as place:
        git = Git(place / "q.git")
        borrows = str((lender / "objects").absolute())
        store.make_bare(git.folder, borrows=borrows, object_format="sha256" if sha256 else "sha1")
        store.share_shallow(lender, git.folder)
        async with reading(git) as objects:
            yield git, objects


def header_of(content: bytes, *, size: int, prerequisites: int) -> Bundle:
    """A bundle of at most `size` bytes that asks for at most so many `prerequisites`. Pure. Raises TurnedBack."""
    if len(content) > size:
        turn_back(f"the bundle has {len(content)} bytes; at most {size}")
    try:
        return bundles.parsed(content, most=prerequisites)
    except bundles.BadBundle as error:
        turn_back(f"the bundle {error}")


async def unpacked(git: Git, objects: Objects, bundle: Bundle) -> None:
    """Its objects are in `git`, and its tip is a commit among them. Raises TurnedBack, GitTooSlow, GitFailed."""
    await _index(git, bundle.pack)
    [about] = await objects.about([bundle.tip])
    if about.kind != "commit":
        turn_back(f"the bundle's tip {bundle.tip} is no commit that it brings")
    if about.size > COMMIT_BYTES:
        turn_back(f"the commit {bundle.tip} has {about.size} bytes; at most {COMMIT_BYTES}")


async def check_descent(git: Git, objects: Objects, below: Sequence[str], tip: str, most: int) -> None:
    """`tip` is at most `most` commits above one of `below`: one of these is the boundary of what it brings exactly when
    one of its commits has that for a parent. Raises TurnedBack, GitFailed."""
    if await _straight(objects, below, tip, most):
        return
    listed = await git.out("rev-list", "--boundary", f"--max-count={most + 1}", tip, *(f"^{b}" for b in below))
    lines = listed.decode("ascii").split()
    if sum(not line.startswith("-") for line in lines) > most:
        turn_back(f"the candidate has more than {most} commits")
    if tip not in below and not any(f"-{b}" in lines for b in below):
        turn_back("the candidate does not descend from base")


async def parents_of(objects: Objects, commit: str) -> list[str]:
    """For a commit that is known to be small. Raises GitFailed."""
    [body] = await objects.contents([commit])
    lines = body.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
    return [line.removeprefix("parent ") for line in lines if line.startswith("parent ")]


async def _index(git: Git, pack: bytes) -> None:
    """Strictly, within bounds: what comes out of it is sound git data, and no more than that."""
    args = ("index-pack", _STRICT, "--stdin", "--fix-thin", f"--max-input-size={len(pack)}")
    done = await git.run(*args, stdin=pack, memory=_MEMORY)
    if done.code != 0:
        turn_back(f"git refuses the bundle: {_complaint(done.stderr) or f'exit {done.code}'}")


def _complaint(stderr: str) -> str:
    """The first line tells what is wrong, the last that something is."""
    lines = [line for line in stderr.splitlines() if line.startswith(("fatal:", "error:"))]
    return "".join(c for c in "; ".join(lines[:2]) if c.isprintable())[:300]


async def _straight(objects: Objects, below: Sequence[str], tip: str, most: int) -> bool:
    """Whether a single line of at most `most` commits leads up from `below`: the usual case, for which no git is
    started."""
    for _ in range(most + 1):
        if tip in below:
            return True
        [about] = await objects.about([tip])
        parents = await parents_of(objects, tip) if about.kind == "commit" and about.size <= COMMIT_BYTES else []
        if len(parents) != 1:
            return False
        tip = parents[0]
    return False

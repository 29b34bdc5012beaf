"""Commits that the platform makes, and what they bring: the same for the same tree, parents and text."""

import hashlib
import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from folkmoot.kernel.ids import CommitId
from folkmoot.runner.git import Git, GitFailed

_WHO = "Folkmoot <moot@localhost>"
_LATEST = 4_102_444_800
"""2100-01-01, seconds: an absurd date of a parent's gives no absurd date of ours."""


def platform_commit(git: Git, tree: str, parents: Sequence[CommitId], text: str, *, after: int) -> CommitId:
    """A commit of ours, one second younger than `after` (seconds since 1970), the date of its youngest parent.

    Byte for byte what `git commit-tree` would make; `text` ends its last line. Raises GitFailed.
    """
    when = min(after + 1, _LATEST)
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"{role} {_WHO} {when} +0000" for role in ("author", "committer")]
    body = ("\n".join(lines) + "\n\n" + text).encode()
    whole = b"commit %d\0%b" % (len(body), body)
    commit = hashlib.new("sha1" if len(tree) == 40 else "sha256", whole, usedforsecurity=False).hexdigest()
    try:
        _write(git.folder / "objects", commit, whole)
    except OSError as error:
        raise GitFailed("commit", f"{commit} cannot be written: {error.strerror}") from error
    return CommitId(commit)


def _write(objects: Path, object_id: str, whole: bytes) -> None:
    """A loose object, complete or not there; the draft's name is one that git sweeps."""
    place = objects / object_id[:2] / object_id[2:]
    if place.exists():
        return
    place.parent.mkdir(exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix="tmp_obj_", dir=objects)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(zlib.compress(whole))
        Path(draft).chmod(0o444)
        Path(draft).rename(place)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


async def packed(git: Git, base: CommitId, commit: CommitId, *, limit: int) -> bytes:
    """What `commit` has and `base` has not, as a thin pack. Raises GitFailed."""
    wanted = f"{commit}\n^{base}\n".encode("ascii")
    return await git.out(
        "pack-objects", "--quiet", "--stdout", "--revs", "--thin", "--delta-base-offset", stdin=wanted, limit=limit
    )

"""What a repository looks like to somebody who plans work on it: its files by name, and its README."""

from collections.abc import Sequence

import msgspec

from folkmoot.kernel.ids import CommitId
from folkmoot.runner.basetree import Node, blobs, parsed
from folkmoot.runner.git import Git

FILES = 2_000
README_CHARS = 8_000
_README_BYTES = 512 * 1024
_READMES = ("readme.md", "readme.rst", "readme.txt", "readme")


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    commit: CommitId
    files: tuple[str, ...]
    """Paths, sorted; names that are no UTF-8 left out."""
    truncated: bool
    """There are more files."""
    readme: str
    """Its beginning; empty when there is none."""


async def outline_of(git: Git, commit: CommitId) -> Outline:
    nodes = parsed(await git.out("ls-tree", "-r", "-z", "--long", "--full-tree", commit, limit=512 * 1024**2))
    names = sorted(name for node in nodes if (name := _utf8(node.path)))
    readme = _readme(nodes)
    bodies = await blobs(git, [readme.object_id] if readme else [])
    return Outline(
        commit=commit,
        files=tuple(names[:FILES]),
        truncated=len(names) > FILES,
        readme=b"".join(bodies).decode("utf-8", "replace").replace("\0", "�")[:README_CHARS],
    )


def _readme(nodes: Sequence[Node]) -> Node | None:
    """The one at the top that people see first."""
    plain = {n.path.lower(): n for n in nodes if n.mode.startswith("100") and n.size <= _README_BYTES}
    return next((plain[name.encode()] for name in _READMES if name.encode() in plain), None)


def _utf8(path: bytes) -> str:
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return ""

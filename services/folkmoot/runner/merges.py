"""Joining decided commits: by git in the mirror, without a work tree, and the same commit for the same heads.

Several heads are a chain: each is merged onto what the ones before it gave, also onto a tree with conflict markers in
it. What comes out is one commit with all heads as its parents. It is a proposal like any other until it has come
through the border.
"""

from collections.abc import Iterator, Sequence

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput
from folkmoot.kernel.ids import CommitId, commit_id
from folkmoot.runner import refs
from folkmoot.runner.basetree import blobs, parsed
from folkmoot.runner.border.counting import counted
from folkmoot.runner.border.entries import raw_entries, shown
from folkmoot.runner.commits import platform_commit
from folkmoot.runner.git import Git, GitFailed, GitTooSlow, last_line

STARTS = "refs/folkmoot/start/"
"""Merges that tasks begin with, by commit; in `candidates.git`."""
WINNERS = "refs/heads/moot/"
MOST_HEADS = 64
TOLD_CHARS = 8_000
TOLD_BYTES = 9_000
"""The account of a conflict stands in events, which are small."""
NAMES_BYTES = 6_000
"""Of all conflicting paths together, for the same reason."""
HUNK_LINES = 40
TOLD_PATHS = 50
_HUNK_FILE_BYTES = 512 * 1024
_USAGE, _FATAL = 129, 128
"""Exit codes of a git that does not know an option, or that gave up."""
_LISTING_BYTES = 4 * 1024**2
_CONFIG = ("merge.renameLimit=1000", "merge.directoryRenames=conflict")
"""A folder that one side renamed does not silently take in what the other side added to it."""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task begins; the fields are those of `PreparedBase`."""

    commit: CommitId
    origin: CommitId | None = None
    start: CommitId | None = None
    conflicts: tuple[str, ...] = ()
    conflict: str = ""
    files: int = 0
    """Changed from `commit` to `start`: a merge may be larger than what a task may change."""
    lines: int = 0


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    tree: str
    conflicts: tuple[bytes, ...] = ()
    said: tuple[str, ...] = ()


async def joined(git: Git, named: CommitId, merge: Sequence[str]) -> Joined:
    """`merge` on top of each other, in `git`, the repository of candidates; `named` is what the base ref names.

    What `named` has already is left out. Raises InvalidInput("merge", …) for what is no winner of this repository or
    has no history in common, FailedPrecondition("merge", …) for what is too much, GitFailed.
    """
    heads = await _outside(git, _winners(git, merge), named)
    if len(heads) < 2:
        return Joined(commit=heads[0], origin=named) if heads else Joined(commit=named)
    start, steps = await _chain(git, heads)
    await git.out("update-ref", f"{STARTS}{start}", start)
    conflicts = tuple(dict.fromkeys(path for step in steps for path in step.conflicts))
    files, lines = await _size(git, heads[0], start)
    return Joined(
        commit=heads[0],
        origin=named,
        start=start,
        conflicts=_names(conflicts),
        conflict=await _account(git, start, conflicts, [words for step in steps for words in step.said]),
        files=files,
        lines=lines,
    )


def _winners(git: Git, merge: Sequence[str]) -> list[CommitId]:
    heads = list(dict.fromkeys(commit_id(head, "merge") for head in merge))
    if len(heads) > MOST_HEADS:
        raise InvalidInput("merge", f"{len(heads)} commits; at most {MOST_HEADS}")
    for head in heads:
        if not refs.naming(git.folder, head, WINNERS):
            raise InvalidInput("merge", f"{head} is no decided commit that this mirror has of the repository")
    return heads


async def _outside(git: Git, heads: Sequence[CommitId], named: CommitId) -> list[CommitId]:
    """Those that `named` has not, in one question for all."""
    if not heads:
        return []
    listed = await git.out("rev-list", "--stdin", stdin="".join(f"{c}\n" for c in (*heads, f"^{named}")).encode())
    outside = set(listed.decode("ascii").split())
    return [head for head in heads if head in outside]


async def _chain(git: Git, heads: Sequence[CommitId]) -> tuple[CommitId, list[_Step]]:
    """The commit with all heads in it, and how it came about."""
    dates = await _dates(git, heads)
    tip, when, steps = heads[0], dates[heads[0]], list[_Step]()
    for head in heads[1:-1]:
        when = max(when, dates[head])
        steps.append(await _merged(git, tip, head))
        tip, when = _committed(git, steps[-1].tree, (tip, head), after=when), when + 1
    steps.append(await _merged(git, tip, heads[-1]))
    return _committed(git, steps[-1].tree, heads, after=max(dates.values())), steps


async def _dates(git: Git, commits: Sequence[CommitId]) -> dict[str, int]:
    """Seconds since 1970, by commit."""
    lines = (await git.line("show", "-s", "--format=%H %ct", *commits)).splitlines()
    return {commit: int(seconds) for commit, _, seconds in (line.partition(" ") for line in lines)}


def _committed(git: Git, tree: str, heads: Sequence[CommitId], *, after: int) -> CommitId:
    listed = "".join(f"\n{head}" for head in heads)
    text = f"Merge {len(heads)} decided commits\n{listed}\n"
    return platform_commit(git, tree, heads, text, after=after)


async def _merged(git: Git, ours: CommitId, theirs: CommitId) -> _Step:
    args = ("merge-tree", "--write-tree", "-z", "--name-only", ours, theirs)
    try:
        done = await git.run(*args, config=_CONFIG, limit=_LISTING_BYTES)
    except GitTooSlow as error:
        raise FailedPrecondition("merge", f"git takes too long to merge {theirs} into {ours}: {error}") from error
    if done.truncated:
        raise FailedPrecondition("merge", f"{theirs} conflicts with {ours} in too many paths")
    if done.code == _USAGE:
        raise FailedPrecondition("merge", "the runner's git is older than 2.38, which merges without a work tree")
    if done.code == _FATAL and (await git.run("merge-base", ours, theirs)).code == 1:
        raise InvalidInput("merge", f"{theirs} has no history in common with {ours}")
    if done.code not in {0, 1}:
        raise GitFailed("merge-tree", last_line(done.stderr) or f"exit {done.code}")
    return _step(done.stdout, clean=done.code == 0)


def _step(output: bytes, *, clean: bool) -> _Step:
    """Reads `git merge-tree -z --name-only`: the tree, conflicting paths, an empty field, messages."""
    tree, *fields = output.split(b"\0")
    if clean:
        return _Step(tree=tree.decode())
    border = fields.index(b"")
    return _Step(tree=tree.decode(), conflicts=tuple(fields[:border]), said=tuple(_said(fields[border + 1 :])))


def _said(fields: Sequence[bytes]) -> Iterator[str]:
    """What git says of conflicts, from its messages: number of paths, paths, kind, words."""
    at = 0
    while at < len(fields) - 1:
        at += 1 + int(fields[at])
        kind, words = fields[at], fields[at + 1]
        if kind.startswith(b"CONFLICT"):
            yield shown(words.strip())
        at += 2


async def _size(git: Git, commit: CommitId, start: CommitId) -> tuple[int, int]:
    """Files and lines between the two, lines counted as the border does."""
    args = ("-r", "--raw", "--patch", "-z", "--no-renames", "--text", "-U0", "--no-color", "--no-ext-diff")
    done = await git.run("diff-tree", *args, "--no-textconv", commit, start)
    if done.truncated:
        raise FailedPrecondition("merge", f"{start} is too large a change of {commit}")
    raw, _, patch = done.stdout.partition(b"\0\0")
    return len(raw_entries(raw + b"\0")) if raw else 0, sum(counted(patch))


def _names(conflicts: Sequence[bytes]) -> tuple[str, ...]:
    names = tuple(shown(path) for path in conflicts)
    if sum(len(name.encode()) for name in names) > NAMES_BYTES:
        raise FailedPrecondition("merge", f"it conflicts in {len(names)} paths: too many for one task")
    return names


# --- the account of a conflict -----------------------------------------------------------------------------------


async def _account(git: Git, start: CommitId, conflicts: Sequence[bytes], said: Sequence[str]) -> str:
    """For whoever resolves it: git's words, then the beginning of each hunk. Foreign text; empty without conflicts."""
    parts = list(dict.fromkeys(said))
    for path, body in await _contents(git, start, conflicts[:TOLD_PATHS]):
        parts += [f"{shown(path)}:\n{hunk}" for hunk in hunks(body)]
    text = "\n".join(parts)
    cut = text.encode()[:TOLD_BYTES].decode("utf-8", "ignore")[: TOLD_CHARS - 2]
    return text if cut == text else f"{cut}\n…"


async def _contents(git: Git, start: CommitId, paths: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Path and content of those that are plain files of moderate size."""
    if not paths:
        return []
    wanted = [path.decode("utf-8", "surrogateescape") for path in paths]
    nodes = parsed(await git.out("ls-tree", "-z", "--long", "--full-tree", start, "--", *wanted))
    files = [n for n in nodes if n.mode.startswith("100") and n.size <= _HUNK_FILE_BYTES]
    return list(zip([n.path for n in files], await blobs(git, [n.object_id for n in files]), strict=True))


def hunks(body: bytes) -> list[str]:
    """The regions between conflict markers, markers included, each cut to `HUNK_LINES`. Pure."""
    found: list[list[str]] = []
    inside = False
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("<<<<<<< ") and not inside:
            found.append([])
            inside = True
        if inside:
            found[-1].append(line)
        inside = inside and not line.startswith(">>>>>>> ")
    return ["\n".join(_plain(line) for line in _shortened(hunk)) for hunk in found]


def _shortened(hunk: list[str]) -> list[str]:
    more = len(hunk) - HUNK_LINES
    return hunk if more <= 0 else [*hunk[:HUNK_LINES], f"[{more} more lines]"]


def _plain(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in line)

"""What a candidate changes, by the tree policy and within base's limits."""

from collections.abc import Mapping, Sequence

import msgspec

from folkmoot.kernel.evidence import PreparedBase
from folkmoot.runner.border.counting import LINE_BYTES, counted
from folkmoot.runner.border.entries import Entry, is_link, raw_entries, shown
from folkmoot.runner.border.tree import forbidden, link_escapes
from folkmoot.runner.border.verdict import Limits, turn_back
from folkmoot.runner.git import Git
from folkmoot.runner.objects import Objects

DIFF_BYTES = 8 * 1024**2
"""The stored diff is cut behind this; the limit on lines is hit long before, unless base has raised it."""
NAMES_BYTES = 24 * 1024
"""Of all changed paths together: an admission has to fit into an event."""
_TEXT = ("-p", "-r", "--text", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv")
"""A patch that shows every file, also one that a NUL byte or `.gitattributes` would keep out of sight."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came through the checks."""

    tree: str
    entries: tuple[Entry, ...]
    contents: dict[str, bytes]
    """New objects, by id."""
    patch: bytes
    """All of the change, cut behind `DIFF_BYTES`."""
    added: int
    removed: int


async def examined(git: Git, objects: Objects, base: PreparedBase, tip: str, limits: Limits) -> Seen:
    """The change from base to `tip`, a commit on base that is in `git`. Raises TurnedBack, GitTooSlow, GitFailed."""
    entries = await _changed(git, base, tip)
    await _check_sizes(objects, entries, limits)
    new = sorted({e.new_object for e in entries if not e.deleted})
    contents = dict(zip(new, await objects.contents(new), strict=True))
    _check_links(entries, contents)
    patch, (added, removed) = await _compared(git, base, tip)
    if added + removed > base.max_diff_lines:
        turn_back(f"the change adds and removes {added + removed} lines; at most {base.max_diff_lines}")
    tree = await _tree(objects, tip)
    return Seen(tree=tree, entries=tuple(entries), contents=contents, patch=patch, added=added, removed=removed)


async def _changed(git: Git, base: PreparedBase, tip: str) -> list[Entry]:
    # A line has at most 4 KiB of path; more output than this means more files than are allowed.
    limit = (base.max_files + 2) * 8_192
    done = await git.run("diff-tree", "-r", "--raw", "-z", "--no-renames", base.commit, tip, limit=limit)
    if done.code != 0 and not done.truncated:
        turn_back("the candidate's tree cannot be read")
    entries = [] if done.truncated else raw_entries(done.stdout)
    if done.truncated or len(entries) > base.max_files:
        count = "too many" if done.truncated else str(len(entries))
        turn_back(f"the change touches {count} files; at most {base.max_files}")
    # Of a merge, all may be there already: both sides made the same change, or the first one is the answer.
    if not entries and not base.start:
        turn_back("the candidate changes nothing")
    if sum(len(shown(e.path)) for e in entries) > NAMES_BYTES:
        turn_back(f"the names of the changed files have more than {NAMES_BYTES} characters together")
    for entry in entries:
        if reason := forbidden(entry):
            turn_back(reason)
    return entries


async def _check_sizes(objects: Objects, entries: Sequence[Entry], limits: Limits) -> None:
    most = min(limits.file_bytes, limits.bundle_bytes)
    new = [e for e in entries if not e.deleted]
    total = 0
    for entry, about in zip(new, await objects.about([e.new_object for e in new]), strict=True):
        if about.kind != "blob":
            turn_back(f"{shown(entry.path)}: its content is missing or no file")
        if about.size > most:
            turn_back(f"{shown(entry.path)}: has {about.size} bytes; at most {most}")
        total += about.size
    if total > 4 * most:
        turn_back(f"the changed files have {total} bytes together; at most {4 * most}")


def _check_links(entries: Sequence[Entry], contents: Mapping[str, bytes]) -> None:
    for entry in entries:
        if is_link(entry.new_mode) and link_escapes(entry.path, contents[entry.new_object]):
            turn_back(f"{shown(entry.path)}: is a symbolic link that leads out of the repository")


async def _compared(git: Git, base: PreparedBase, tip: str) -> tuple[bytes, tuple[int, int]]:
    """The patch, and lines added and removed, of all files alike: whether git takes one for text is the candidate's to
    choose. A patch that is cut, perhaps by what is around the change, is counted without that."""
    done = await git.run("diff-tree", *_TEXT, "--full-index", base.commit, tip, limit=DIFF_BYTES)
    if done.code == 0 and not done.truncated:
        return done.stdout, counted(done.stdout)
    return done.stdout, await _counted(git, base, tip)


async def _counted(git: Git, base: PreparedBase, tip: str) -> tuple[int, int]:
    limit = base.max_diff_lines * 2 * LINE_BYTES + (base.max_files + 1) * 16_384
    done = await git.run("diff-tree", *_TEXT, "-U0", base.commit, tip, limit=limit)
    if done.truncated:
        turn_back(f"the change adds and removes more than {base.max_diff_lines} lines")
    if done.code != 0:
        turn_back("the change cannot be read line by line")
    return counted(done.stdout)


async def _tree(objects: Objects, commit: str) -> str:
    """Its first line names it, as `index-pack --strict` has made sure."""
    [body] = await objects.contents([commit])
    return body.partition(b"\n")[0].removeprefix(b"tree ").decode("ascii")

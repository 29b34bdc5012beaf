"""Which tells of a candidate's files count: those that base's own code does not have."""

import asyncio
from collections.abc import Mapping, Sequence

from folkmoot.kernel.evidence import PreparedBase
from folkmoot.runner import policy
from folkmoot.runner.border.entries import Entry, shown
from folkmoot.runner.git import Git
from folkmoot.runner.objects import Objects
from folkmoot.runner.tells import Tell, is_package, package_tampering, placed, tells

_LOOKED_AT = 50
"""Files of base that hold the same word."""

Told = dict[bytes, tuple[Tell, ...]]
"""By path, sorted."""


async def told(
    git: Git, objects: Objects, base: PreparedBase, entries: Sequence[Entry], contents: Mapping[str, bytes]
) -> Told:
    """`contents` has the new objects. Raises GitFailed, GitTooSlow."""
    found = {e: fresh for e in entries if (fresh := await _fresh(objects, e, contents))}
    said = frozenset(tell for fresh in found.values() for tell in fresh)
    if not said:
        return {}
    product, all_ = await _habits(git, objects, base, said)
    kept = {e: fresh - (all_ if policy.is_test(e.path) else product) for e, fresh in found.items()}
    return {e.path: await asyncio.to_thread(placed, e.path, contents[e.new_object], of) for e, of in kept.items() if of}


def grave(found: Sequence[Tell]) -> str:
    """In words; empty where none of them is."""
    return "; ".join(t.words for t in found if t.grave)[:300]


def lesser(found: Told) -> tuple[str, ...]:
    """Findings in words, for people."""
    return tuple(f"{t.words} in {shown(path)[:200]}" for path, of in found.items() for t in of if not t.grave)


async def scripts(objects: Objects, entry: Entry, contents: Mapping[str, bytes]) -> str:
    """What was done to the scripts of a package.json that say how tests are run."""
    if entry.added or entry.deleted or not is_package(entry.path) or not entry.old_mode.startswith("100"):
        return ""
    [old] = await objects.contents([entry.old_object])
    return package_tampering(old, contents[entry.new_object])


async def _fresh(objects: Objects, entry: Entry, contents: Mapping[str, bytes]) -> frozenset[Tell]:
    """What the new content has and the old one has not. Hostile source takes a second to read: others go on."""
    if entry.deleted or not entry.new_mode.startswith("100"):
        return frozenset()
    now = await asyncio.to_thread(tells, entry.path, contents[entry.new_object])
    if not now or not entry.old_mode.startswith("100"):
        return now
    [old] = await objects.contents([entry.old_object])
    return now - await asyncio.to_thread(tells, entry.path, old)


async def _habits(
    git: Git, objects: Objects, base: PreparedBase, said: frozenset[Tell]
) -> tuple[frozenset[Tell], frozenset[Tell]]:
    """Those that base's product has too, or what a merge brings together; and those that it has with its tests."""
    known = base.start or base.commit
    words = sorted({w for tell in said if (w := tell.excused_by)})
    patterns = [part for word in words for part in ("-e", word)]
    done = await git.run("grep", "-l", "-z", "-I", "-F", *patterns, known, "--") if words else None
    if done is None or done.code != 0:
        return frozenset(), frozenset()
    paths = [row.partition(b":")[2] for row in done.stdout.split(b"\0") if row]
    product = [path for path in paths if not policy.is_test(path) and not policy.steers(path)][:_LOOKED_AT]
    own = [*product, *[path for path in paths if policy.is_test(path)][:_LOOKED_AT]]
    listed = await git.out("ls-tree", "-z", "--full-tree", known, "--", *map(_literal, own)) if own else b""
    rows = [row.partition(b"\t") for row in listed.split(b"\0")[:-1]]
    bodies = await objects.contents([head.split(b" ")[2].decode("ascii") for head, _, _ in rows])
    found = {path: await asyncio.to_thread(tells, path, body) for (_, _, path), body in zip(rows, bodies, strict=True)}
    own_code = frozenset[Tell]().union(*(of for path, of in found.items() if not policy.is_test(path)))
    return own_code, frozenset[Tell]().union(*found.values())


def _literal(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")

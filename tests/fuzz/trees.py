"""Whole commits with hostile trees, packed by hand: what git itself would never make comes in too."""

import msgspec
from hypothesis import strategies as st

from tests.fixtures.packs import BLOB, COMMIT, TREE, object_id, pack_of, packed
from tests.fuzz.names import NAMES, TARGETS

Row = tuple[str, bytes, bytes]
"""Mode, name, object id (raw)."""


class Grown(msgspec.Struct, frozen=True):
    """A tree and all objects that it needs."""

    tree: bytes
    objects: tuple[bytes, ...]


_FILES = st.tuples(st.sampled_from(["100644", "100644", "100755", "100666", "644"]), st.binary(max_size=60))
_LINKS = st.tuples(st.just("120000"), TARGETS)
_SUBMODULES = st.tuples(st.just("160000"), st.binary(min_size=20, max_size=20))
_LYING = st.tuples(st.sampled_from(["40000", "040000", "0", "120000", "100644"]), st.binary(max_size=20))
"""A body under a mode that means something else."""
_LEAVES = st.one_of(_FILES, _FILES, _FILES, _LINKS, _LINKS, _SUBMODULES, _LYING)
_Leaf = tuple[str, bytes]
_Tree = list[tuple[bytes, "_Leaf | _Tree"]]

TREES: st.SearchStrategy[_Tree] = st.recursive(
    st.lists(st.tuples(NAMES, _LEAVES), min_size=1, max_size=4),
    lambda inner: st.lists(st.tuples(NAMES, st.one_of(_LEAVES, inner)), min_size=1, max_size=4),
    max_leaves=10,
)


def grown(tree: "_Tree", rows: tuple[Row, ...] = (), *, ordered: bool = True) -> Grown:
    """`rows` stand in the root besides; a tree that is not `ordered` has its rows as they came."""
    objects: list[bytes] = []
    return Grown(_grow(tree, rows, objects, ordered=ordered), tuple(objects))


def _grow(tree: "_Tree", rows: tuple[Row, ...], objects: list[bytes], *, ordered: bool) -> bytes:
    mine = list(rows)
    for name, what in tree:
        if isinstance(what, list):
            mine.append(("40000", name, _grow(what, (), objects, ordered=ordered)))
        elif what[0] == "160000":
            mine.append((what[0], name, what[1]))
        else:
            objects.append(packed(BLOB, what[1]))
            mine.append((what[0], name, object_id(BLOB, what[1])))
    if ordered:
        # Two rows of one name are a matter of their own.
        mine = list({row[1]: row for row in mine}.values())
        mine.sort(key=lambda row: row[1] + (b"/" if row[0] in {"40000", "040000"} else b""))
    body = b"".join(mode.encode() + b" " + name + b"\0" + oid for mode, name, oid in mine)
    objects.append(packed(TREE, body))
    return object_id(TREE, body)


def deep(depth: int, leaf: "_Leaf") -> Grown:
    """Folders in folders."""
    objects = [packed(BLOB, leaf[1])]
    mode, inner = leaf[0], object_id(BLOB, leaf[1])
    for _ in range(depth):
        body = mode.encode() + b" d\0" + inner
        objects.append(packed(TREE, body))
        mode, inner = "40000", object_id(TREE, body)
    return Grown(inner, tuple(objects))


DEEP = st.builds(deep, st.integers(1, 3_000), _LEAVES)
_WHO = b"A <a@b> 1700000000 +0000"
_PEOPLE = st.one_of(st.just(_WHO), st.just(_WHO), st.binary(max_size=40))


def bundle(grown: Grown, base: str, who: bytes = _WHO) -> bytes:
    """One commit with that tree on `base`."""
    body = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nx\n" % (
        grown.tree.hex().encode(), base.encode(), who, who,
    )  # fmt: skip
    pack = pack_of(*dict.fromkeys(grown.objects), packed(COMMIT, body))
    head = f"# v2 git bundle\n-{base} base\n{object_id(COMMIT, body).hex()} refs/heads/x\n\n"
    return head.encode() + pack


def bundles(base: str, rows: tuple[Row, ...]) -> st.SearchStrategy[bytes]:
    """`rows` are base's root."""
    beside = st.builds(
        lambda tree, ordered: grown(tree, rows, ordered=ordered), TREES, st.sampled_from([True, True, False])
    )
    alone = st.builds(grown, TREES)
    return st.builds(lambda g, who: bundle(g, base, who), st.one_of(beside, beside, beside, alone, DEEP), _PEOPLE)

"""Real bundles with something done to them."""

import struct
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from tests.fixtures.packs import summed

Change = Callable[[bytes], bytes]


def _flipped(at: int, bit: int) -> Change:
    def change(body: bytes) -> bytes:
        where = at % max(1, len(body))
        return body[:where] + bytes([body[where] ^ (1 << bit)]) + body[where + 1 :] if body else body

    return change


def _edited(at: int, length: int, new: bytes) -> Change:
    def change(body: bytes) -> bytes:
        where = at % (len(body) + 1)
        return body[:where] + new + body[where + length :]

    return change


def _cut(at: int) -> Change:
    return lambda body: body[: at % (len(body) + 1)]


def _twice(start: int, length: int) -> Change:
    def change(body: bytes) -> bytes:
        where = start % (len(body) + 1)
        return body[: where + length] + body[where:]

    return change


def _in_head(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def whole(body: bytes) -> bytes:
        head, gap, pack = body.partition(b"\n\n")
        return b"\n".join(change(head.split(b"\n"))) + gap + pack

    return whole


def _ref_again(name: bytes) -> Change:
    return _in_head(lambda lines: [*lines, lines[-1].partition(b" ")[0] + b" " + name])


def _other_base(base: bytes) -> Change:
    return _in_head(lambda lines: [b"-" + base + b" x" if line.startswith(b"-") else line for line in lines])


def _counted(count: int) -> Change:
    def change(body: bytes) -> bytes:
        start = body.find(b"PACK")
        return body if start < 0 else body[: start + 8] + struct.pack(">I", count) + body[start + 12 :]

    return change


_PLACES = st.integers(0, 2**20)
_HEX = st.text("0123456789abcdef", min_size=40, max_size=40).map(str.encode)
_CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(_flipped, _PLACES, st.integers(0, 7)),
    st.builds(_edited, _PLACES, st.integers(0, 40), st.binary(max_size=40)),
    st.builds(_cut, _PLACES),
    st.builds(_twice, _PLACES, st.integers(0, 400)),
    st.builds(_ref_again, st.sampled_from([b"refs/heads/x", b"HEAD", b"refs/heads/y", b"--x"])),
    st.builds(_other_base, _HEX),
    st.builds(_counted, st.sampled_from([0, 1, 2, 3, 1_000, 2**31, 2**32 - 1])),
)


def _spliced(one: bytes, other: bytes, here: int, there: int) -> bytes:
    return one[: here % (len(one) + 1)] + other[there % (len(other) + 1) :]


def _applied(body: bytes, changes: Sequence[Change], sums: bool) -> bytes:
    for change in changes:
        body = change(body)
    return summed(body) if sums else body


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Each has at least one change; half of them have a right check sum again."""
    some = st.integers(0, len(seeds) - 1).map(lambda n: seeds[n])
    body = st.one_of(some, some, st.builds(_spliced, some, some, _PLACES, _PLACES))
    return st.builds(_applied, body, st.lists(_CHANGES, min_size=1, max_size=4), st.booleans())

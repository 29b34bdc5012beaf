"""Safe duplicate merging: what may count as one change, and what never may."""

import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.runner.fingerprint import Change, fingerprint, normalised_python

SOURCE = b"""def f(x):
    # why
    if x == "a b":
        return [1, 2]

    return x + 1
"""


def change(content: bytes, path: bytes = b"a.py", operation: str = "M", mode: str = "100644") -> Change:
    return Change(path=path, operation=operation, mode=mode, content=content)


def same(one: bytes, two: bytes, path: bytes = b"a.py") -> bool:
    return fingerprint([change(one, path)]) == fingerprint([change(two, path)])


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace(b"    # why\n", b""),
        SOURCE.replace(b"# why", b"# why not"),
        SOURCE.replace(b"\n\n", b"\n"),
        SOURCE.replace(b"[1, 2]", b"[1,2]  # two"),
        SOURCE.replace(b"[1, 2]", b"[\n   1, # one\n\n 2]"),
        SOURCE.replace(b"x + 1", b"x+1"),
        SOURCE.rstrip(b"\n"),
        SOURCE.replace(b"\n", b"\r\n"),
    ],
)
def test_merges_what_means_nothing(other: bytes) -> None:
    """Comments, blank lines and layout between tokens are no difference in Python."""
    assert same(SOURCE, other)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b"if x:\n    a()\n    b()\n", b"if x:\n    a()\nb()\n"),
        (b'x = "a b"\n', b'x = "a  b"\n'),
        (b'x = "# a"\n', b'x = "# b"\n'),
        (b"x = 'a'\n", b'x = "a"\n'),
        (b"x = 1\n", b"x = 1.0\n"),
        (b"x = 10\n", b"x = 1_0\n"),
        (b"x = a - b\n", b"x = a + b\n"),
        (b"x = a < b\n", b"x = a <= b\n"),
        (b"x = not a\n", b"x = nota\n"),
        (b'x = f"{y=}"\n', b'x = f"{y = }"\n'),
        (b'x = f"{{y}}"\n', b'x = f"{y}"\n'),
        (b'"""a\n\nb"""\n', b'"""a\nb"""\n'),
        (b"#!/bin/a\nx = 1\n", b"#!/bin/b\nx = 1\n"),
        (b"# coding: latin-1\nx = '\xe9'\n", "x = 'é'\n".encode()),
        (b"x = f()  # type: ignore[misc]\n", b"x = f()\n"),
        (b"x = f()  # noqa: E501\n", b"x = f()\n"),
        (b"if x:  # pragma: no cover\n    f()\n", b"if x:\n    f()\n"),
        (b"f(a,  # type: ignore[misc]\n  b)\n", b"f(a, b  # type: ignore[misc]\n)\n"),
        (b"x = (1\n# a\n", b"x = (1\n# b\n"),
        (b"x = '\n# a\n", b"x = '\n# b\n"),
    ],
)
def test_never_merges_what_may_mean_something(one: bytes, two: bytes) -> None:
    """Indentation, literals, operators, strings, quotes; and what is no Python counts byte by byte."""
    assert not same(one, two)


@pytest.mark.parametrize("path", [b"a.c", b"a.js", b"a.go", b"Makefile", b"a.yaml", b"a.python"])
def test_other_languages_count_byte_by_byte(path: bytes) -> None:
    """No normaliser is trusted where we have no tokeniser."""
    assert same(b"x\n", b"x\n", path)
    assert not same(b"#define A 1\n", b"#define A 2\n", path)
    assert not same(b"x # a\n", b"x # b\n", path)


def test_path_operation_and_mode_count() -> None:
    """The same content elsewhere, or added instead of changed, or executable, is another change."""
    kinds = [
        change(b""),
        change(b"", path=b"b.py"),
        change(b"", operation="A"),
        change(b"", operation="D", mode="000000"),
        change(b"", mode="100755"),
        change(b"", mode="120000"),
    ]
    assert len({fingerprint([k]) for k in kinds}) == len(kinds)


CHANGES = st.lists(st.tuples(st.binary(min_size=1, max_size=5), st.binary(max_size=20)), max_size=5)


@given(CHANGES)
def test_order_does_not_matter(rows: list[tuple[bytes, bytes]]) -> None:
    """A change is a set of paths."""
    changes = [change(content, path) for path, content in rows]
    assert fingerprint(changes) == fingerprint(list(reversed(changes)))


@given(CHANGES, CHANGES)
def test_equal_only_if_equal(one: list[tuple[bytes, bytes]], two: list[tuple[bytes, bytes]]) -> None:
    """Without Python in it, two keys are equal exactly for the same rows."""
    a, b = ([change(content, path + b".c") for path, content in rows] for rows in (one, two))
    assert (fingerprint(a) == fingerprint(b)) == (sorted(one) == sorted(two))


WORDS = st.sampled_from(
    ["x", "1", "'a'", "+", "-", "(", ")", ":", "if", "\n", "    ", "#c", " ", "f'{x}'", "\\\n", "\t"]
)


@given(st.lists(WORDS, max_size=12).map("".join), st.lists(WORDS, max_size=12).map("".join))
def test_equal_python_has_equal_tokens(one: str, two: str) -> None:
    """Equal keys of readable Python mean equal tokens, by an independent reading."""
    keys = [normalised_python(text.encode()) for text in (one, two)]
    if keys[0] is not None and keys[0] == keys[1]:
        assert _read(one) == _read(two)


def _read(text: str) -> list[tuple[int, str]]:
    lines = iter(text.splitlines(keepends=True))
    skipped = {tokenize.COMMENT, tokenize.NL}
    return [
        (t.type, "" if t.type == tokenize.NEWLINE else t.string)
        for t in tokenize.generate_tokens(lambda: next(lines, ""))
        if t.type not in skipped
    ]


@given(st.binary(max_size=200))
def test_any_bytes_have_a_key(content: bytes) -> None:
    """Nothing that an agent writes into a .py file makes the fingerprint fail."""
    assert len(fingerprint([change(content)])) == 64

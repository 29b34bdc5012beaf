"""The key of safe duplicate merging. Pure.

Equal keys mean the same set of (path, operation, mode, normalised content). Python loses comments, blank lines and
layout between tokens, and keeps indentation, literals, operators and strings; Go, JavaScript and TypeScript lose what
`syntax` says; everything else, what cannot be read, and Python with a comment that may be an order to a tool, counts
byte by byte. Two changes that might behave differently never get one key; two that behave alike may get two.
"""

import hashlib
import io
import re
import token
import tokenize
from collections.abc import Iterable, Iterator

import msgspec

from folkmoot.runner import syntax

_READABLE_BYTES = 1_000_000
"""Larger files are compared byte by byte: nobody edits them for style."""
_MEANINGLESS = frozenset({tokenize.COMMENT, tokenize.NL})
_ORDERS = re.compile(
    r"type:|noqa|pragma|lint|pyright|mypy|ruff|isort|fmt:|yapf|nosec|bandit|noinspection|cython:|distutils:",
    re.IGNORECASE,
)
"""To a type checker, a linter, a coverage tool: a check may run one."""
_STRING_OPENS = frozenset(getattr(token, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(token, name))
_STRING_CLOSES = frozenset(getattr(token, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(token, name))


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a change."""

    path: bytes
    operation: str
    """As `git diff-tree --raw` has it: A, M, D or T."""
    mode: str
    """The new mode; `000000` for what is deleted."""
    content: bytes
    """The new content; empty for what is deleted."""


def fingerprint(changes: Iterable[Change]) -> str:
    """SHA-256 in hex; the order of `changes` does not matter."""
    parts = sorted((c.path, c.operation.encode(), c.mode.encode(), _content_key(c)) for c in changes)
    return _digest(part for row in parts for part in row).hex()


def normalised_python(source: bytes) -> bytes | None:
    """Digest of the tokens that mean something; None when `source` cannot be read as Python."""
    try:
        return _digest(_tokens(source))
    except (tokenize.TokenError, SyntaxError, ValueError, LookupError):
        return None


def _content_key(change: Change) -> bytes:
    tokens = _normalised(change) if change.mode.startswith("100") else None
    return b"tokens" + tokens if tokens else b"bytes" + hashlib.sha256(change.content).digest()


def _normalised(change: Change) -> bytes | None:
    """Digest of what means something, where that is known; the path says in which language."""
    if change.path.endswith((b".py", b".pyi")):
        return normalised_python(change.content) if len(change.content) <= _READABLE_BYTES else None
    try:
        return _digest(syntax.tokens(change.path, change.content))
    except syntax.Unclear:
        return None


def _tokens(source: bytes) -> Iterator[bytes]:
    if source.startswith(b"#!"):
        yield source.split(b"\n", 1)[0]
    stream = tokenize.tokenize(io.BytesIO(source).readline)
    for item in stream:
        if item.type == tokenize.ERRORTOKEN:
            raise ValueError("not Python")
        if item.type == tokenize.COMMENT and _ORDERS.search(item.string):
            raise ValueError("a comment that may be an order goes by lines, of which tokens keep little")
        if item.type in _STRING_OPENS:
            yield from _whole_string(stream)
        if item.type not in _MEANINGLESS:
            yield b"%d" % item.exact_type
            # A line's own ending says nothing, and the last line may have none.
            yield b"" if item.type == tokenize.NEWLINE else item.string.encode("utf-8", "surrogatepass")


def _whole_string(stream: Iterator[tokenize.TokenInfo]) -> Iterator[bytes]:
    """Inside an f-string even blanks may mean something (`{x = }`): keep its lines as they stand."""
    depth = 1
    while depth:
        item = next(stream)
        depth += (item.type in _STRING_OPENS) - (item.type in _STRING_CLOSES)
        yield item.line.encode("utf-8", "surrogatepass")
        yield b"%d %d %d" % (item.exact_type, *item.start)


def _digest(parts: Iterable[bytes]) -> bytes:
    """Of the parts with their lengths, so that no two lists run together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()

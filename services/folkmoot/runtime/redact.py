"""Secrets taken out of texts that a model or the log will keep. Pure: same text, same result, in linear time.

Meant to be right rather than complete: an agent edits the files that it was shown, so a harmless value that is hidden
costs more than a word here. What is looked for: tokens whose shape says whose they are, private keys, passwords in
URLs, `Authorization` headers, and values that look random behind a name such as `password`.

Linear, because what a pattern has read is not read again: it either matches all of it, or is bounded, or may not begin
inside a run of its own characters.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import log2
from typing import NamedTuple

_KEY_CHARS = 64
"""Base64 characters of the smallest private key that anybody uses."""
_NAMED_CHARS = 12
_TURN_CHARS = 4
"""A random value changes between letters, capitals and digits at least this often; names of programs do not."""
_ENTROPY = 3.0
"""Bits a character: what repeats itself has less."""


class Span(NamedTuple):
    """A secret in a text."""

    start: int
    end: int
    kind: str


class _Shape(NamedTuple):
    kind: str
    literals: tuple[str, ...]
    """One of them begins every match: they are found fast, the pattern is tried only there."""
    pattern: re.Pattern[str]
    """Its group `secret` is what goes; all of it when there is none."""
    sure: Callable[[str], bool] = bool
    """Whether this one is a secret."""


def redacted(text: str, *known: str) -> str:
    """`text` with each secret replaced by `[redacted:<kind>]`; `known` ones wherever they stand, as `key`."""
    return _replaced(text, {*_known(text, known), *found(text)})


def without(text: str, *known: str) -> str:
    """`text` with the `known` secrets replaced, and nothing else: for what a model says and means."""
    return _replaced(text, set(_known(text, known)))


def redacted_bytes(body: bytes) -> bytes:
    """As `redacted`; bytes that are no UTF-8 stay as they are."""
    return redacted(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _replaced(text: str, spans: set[Span]) -> str:
    pieces, at = [], 0
    for span in _apart(sorted(spans)):
        pieces += [text[at : span.start], f"[redacted:{span.kind}]"]
        at = span.end
    return "".join((*pieces, text[at:])) if pieces else text


def found(text: str) -> Iterator[Span]:
    """What looks like a secret, by shape; spans of different shapes may overlap."""
    for literal, shape in _BY_LITERAL:
        if literal in text:  # most texts have none: this line is all that they cost
            yield from _of_shape(text, shape, literal)


def _of_shape(text: str, shape: _Shape, literal: str) -> Iterator[Span]:
    at = text.find(literal)
    while at >= 0:
        match = shape.pattern.match(text, at)
        group = 0 if match is None or "secret" not in shape.pattern.groupindex else "secret"
        if match is not None and shape.sure(match[group]):
            yield Span(*match.span(group), shape.kind)
        at = text.find(literal, max(match.end() if match else 0, at + len(literal)))


def _known(text: str, known: Iterable[str]) -> Iterator[Span]:
    for secret in known:
        if secret:
            yield from (Span(m.start(), m.end(), "key") for m in re.finditer(re.escape(secret), text))


def _apart(spans: Iterable[Span]) -> Iterator[Span]:
    """Sorted spans, without those that begin inside an earlier one; what they cover stays covered."""
    waiting: Span | None = None
    for span in spans:
        if waiting is None or span.start >= waiting.end:
            if waiting is not None:
                yield waiting
            waiting = span
        else:
            waiting = waiting._replace(end=max(waiting.end, span.end))
    if waiting is not None:
        yield waiting


# --- what is a secret ----------------------------------------------------------------------------------------------


def _random(value: str) -> bool:
    """Whether nobody would write this by hand: letters and digits that alternate often, no character too common."""
    kinds = ["0" if c.isdigit() else "A" if c.isupper() else "a" for c in value if c.isalnum()]
    if not {"a", "0"} <= {kind.lower() for kind in kinds}:
        return False
    turns = sum(a != b and (a, b) != ("A", "a") for a, b in pairwise(kinds))
    return turns * _TURN_CHARS >= len(kinds) and _entropy(value) >= _ENTROPY


def _entropy(value: str) -> float:
    """Shannon's, in bits a character."""
    return -sum(n / len(value) * log2(n / len(value)) for n in Counter(value).values())


def _named_value(value: str) -> bool:
    return len(value) >= _NAMED_CHARS and _random(value)


def _credentials(value: str) -> bool:
    """Of a header: a scheme was named before it, so less is asked of it than of a bare value."""
    return any(c.isdigit() for c in value) and _entropy(value) >= _ENTROPY - 0.5


def _password(value: str) -> bool:
    """In a URL; a variable of a shell or a template is none."""
    return value[0] not in "$%*" and not value.startswith("[redacted:")


def _whole_key(block: str) -> bool:
    body = block.partition("-----")[2].partition("-----")[2].partition("-----")[0]
    return sum(c.isalnum() or c in "+/" for c in body) >= _KEY_CHARS


def _run(prefix: str, alphabet: str, least: int, *, most: int | None = None) -> re.Pattern[str]:
    """`prefix` and then at least `least` of `alphabet`, as a word of its own: `task-…` is no `sk-…`."""
    rest = f"[{alphabet}]{{{least},{'' if most is None else most}}}+"
    return re.compile(rf"(?<![{alphabet}]){prefix}{rest}(?![{alphabet}])")


_WORD = "A-Za-z0-9_"
_DASHED = "A-Za-z0-9_-"
_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "credential"),
    *("api_key", "apikey", "api-key", "access_key", "access-key", "private_key", "auth_key"),
)
_SEPARATOR = r"""[A-Za-z0-9_-]{0,30}\\?["']?\s{0,3}(?:=>|:=|==?|:)\s{0,3}\\?["'`]?"""
_SHAPES = (
    _Shape(
        "private-key",
        ("-----BEGIN ",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:\\[nr]|\s){0,4}(?:Proc-Type|DEK-Info|Version|Comment): [^\n]{0,200}){0,4}"
            r"""(?:\\[nr]|[\s"',+/=A-Za-z0-9])*+(?:-----END [A-Z0-9 ]{0,40}-----)?"""
        ),
        _whole_key,
    ),
    _Shape("aws", ("AKIA", "ASIA"), _run("A[KS]IA", "A-Z0-9", 16, most=16)),
    _Shape("github", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _run("gh[pousr]_", _WORD, 36)),
    _Shape("github", ("github_pat_",), _run("github_pat_", _WORD, 22)),
    _Shape("gitlab", ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"), _run("gl[a-z]{2,4}-", _DASHED, 20)),
    _Shape("slack", ("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-"), _run("xox.-", _DASHED, 10)),
    _Shape("slack", ("xapp-",), _run("xapp-", _DASHED, 20)),
    _Shape(
        "slack", ("hooks.slack.com/services/",), re.compile(r"hooks\.slack\.com/services/(?P<secret>[\w/]{20,100})")
    ),
    _Shape("stripe", ("sk_live_", "sk_test_", "rk_live_", "rk_test_"), _run("[sr]k_(?:live|test)_", _WORD, 10)),
    _Shape("stripe", ("whsec_",), _run("whsec_", "A-Za-z0-9_+/=", 24)),
    _Shape("api-key", ("sk-",), _run("sk-", _DASHED, 20), _random),
    _Shape("google", ("AIza",), _run("AIza", _DASHED, 35, most=35)),
    _Shape("google", ("ya29.",), re.compile(r"(?<![\w.-])ya29\.[\w-]{20,}+")),
    _Shape("npm", ("npm_",), _run("npm_", _WORD, 36, most=36)),
    _Shape("pypi", ("pypi-AgE",), _run("pypi-AgE", _DASHED, 50)),
    _Shape("hugging-face", ("hf_",), _run("hf_", _WORD, 30), _random),
    _Shape("jwt", ("eyJ",), re.compile(r"(?<![\w.-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}+")),
    _Shape(
        "password", ("://",), re.compile(r"""://[^\s/:@"'<>]{0,100}:(?P<secret>[^\s/@"'<>{}]{1,200})@"""), _password
    ),
    _Shape(
        "authorization",
        ("uthorization", "UTHORIZATION"),
        re.compile(
            r"""(?i)uthorization\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?:bearer|basic|token|apikey)\s{1,3}"""
            r"(?P<secret>[A-Za-z0-9._~+/=-]{8,4000}+)"
        ),
        _credentials,
    ),
    *(
        _Shape(
            name.replace("_", "-") if name != "apikey" else "api-key",
            (name, name.capitalize(), name.upper()),
            re.compile(rf"""(?i){name}{_SEPARATOR}(?P<secret>[^\s"'`,;(){{}}\[\]<>\\]{{8,500}}+)(?=["'`\s,;\\]|$)"""),
            _named_value,
        )
        for name in _NAMES
    ),
)
_BY_LITERAL = tuple((literal, shape) for shape in _SHAPES for literal in shape.literals)

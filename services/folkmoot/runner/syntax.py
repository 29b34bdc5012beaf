"""What of a Go, JavaScript or TypeScript file means something, as a list of tokens, for the key of safe duplicate
merging. Pure.

The lexers are tree-sitter's. A token's text stays as it is, and so do whole strings, templates, regular expressions and
JSX. Between two tokens only this is kept: whether a line ends there (a semicolon may be inserted), and whether two that
might grow together stand apart. What is dropped is blanks and comments of plain prose. A file with any other doubt
about it (an error, a comment that may be an order to a tool, an unusual blank) has no list, and counts by bytes.

Two texts with one list mean the same to a compiler; a program that reads its own source or line numbers may still tell
them apart.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import msgspec
import tree_sitter_go
import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Tree

LARGEST_BYTES = 128 * 1024
PARSE_S = 0.5
"""Of processor time, so that a busy machine gives no other keys; a thousand lines take a hundredth of it."""
_PIECE = 4096
"""Bytes; between two pieces other threads go on."""


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    language: Callable[[], object]
    whole: frozenset[str]
    """Nodes that are one token with all that is in them."""
    blank: re.Pattern[str]
    line_ends: frozenset[str]
    refused: re.Pattern[str]
    """In a file: there is more to its comments than we know."""


_GO = Grammar(
    language=tree_sitter_go.language,
    whole=frozenset({"interpreted_string_literal", "raw_string_literal"}),
    blank=re.compile(r"[ \t\r\n]*"),
    line_ends=frozenset("\n"),
    # cgo's preamble is a comment in C; an example's last comment is what it has to print.
    refused=re.compile(r'"C"|`C`|(?i:output):'),
)


def _script(language: Callable[[], object]) -> Grammar:
    return Grammar(
        language=language,
        whole=frozenset(
            {"string", "template_string", "template_literal_type", "regex"}
            | {"jsx_element", "jsx_self_closing_element", "jsx_fragment"}
        ),
        blank=re.compile(r"[ \t\r\n\v\f]*"),
        line_ends=frozenset("\n\r"),
        # In scripts, but not in modules, these begin a comment.
        refused=re.compile("<!--|-->"),
    )


_JAVASCRIPT = _script(tree_sitter_javascript.language)
_TYPESCRIPT = _script(tree_sitter_typescript.language_typescript)
GRAMMARS: Mapping[bytes, Grammar] = {
    b"go": _GO,
    **dict.fromkeys((b"js", b"mjs", b"cjs", b"jsx"), _JAVASCRIPT),
    **dict.fromkeys((b"ts", b"mts", b"cts"), _TYPESCRIPT),
    b"tsx": _script(tree_sitter_typescript.language_tsx),
}
"""By suffix."""


class Unclear(ValueError):
    """It cannot be said what of the text means something."""


def tokens(path: bytes, source: bytes, clock: Callable[[], float] = time.thread_time) -> list[bytes]:
    """Raises Unclear; also for a path of no language that is known here."""
    grammar = GRAMMARS.get(path.rpartition(b".")[2])
    if grammar is None or len(source) > LARGEST_BYTES:
        raise Unclear("no grammar, or too large")
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unclear("not UTF-8") from error
    if "\0" in text or grammar.refused.search(text):
        raise Unclear("more than its tokens")
    tree = _tree(grammar, source, clock() + PARSE_S, clock)
    return list(_stream(grammar, source, tree))


@cache
def _language(grammar: Callable[[], object]) -> Language:
    return Language(grammar())


def _tree(grammar: Grammar, source: bytes, until: float, clock: Callable[[], float]) -> Tree:
    def read(at: int, _point: object) -> bytes:
        return source[at : at + _PIECE]

    def enough(_at: int, has_error: bool) -> bool:
        return has_error or clock() > until

    try:
        tree = Parser(_language(grammar.language)).parse(read, progress_callback=enough)
    except ValueError as error:
        raise Unclear("it took too long, or has an error") from error
    if tree.root_node.has_error:
        raise Unclear("it has an error")
    return tree


_OPENERS = frozenset((b";", b"{", b"(", b"[", b","))
"""Behind these, the end of a line inserts nothing."""


def _stream(grammar: Grammar, source: bytes, tree: Tree) -> Iterator[bytes]:
    """For each token how it stands to the one before it, its kind, its text."""
    end, last = 0, b""
    gap = ""
    for node in _leaves(tree, grammar.whole):
        gap += _blank(grammar, source[end : node.start_byte])
        end = node.end_byte
        text = source[node.start_byte : end]
        if node.type == "comment" and _is_prose(text.decode("utf-8")):
            # To a compiler a blank, or the end of a line if there is one in it.
            gap += "\n" if any(c in grammar.line_ends for c in text.decode("utf-8")) else " "
            continue
        yield _between(last, gap, text, grammar.line_ends)
        yield node.type.encode()
        yield text
        gap, last = "", text
    _blank(grammar, source[end:])


def _leaves(tree: Tree, whole: frozenset[str]) -> Iterator[Node]:
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        inner = node.type not in whole and cursor.goto_first_child()
        if not inner:
            yield node
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return


def _blank(grammar: Grammar, between: bytes) -> str:
    """What stands between two leaves; raises Unclear where that is not blank."""
    text = between.decode("utf-8", "replace")
    if not grammar.blank.fullmatch(text):
        raise Unclear("something between tokens")
    return text


_WORD = re.compile(rb"[\w.$#@\\\x80-\xff]")
_OPERATOR = re.compile(rb"[-+*/%&|^<>=!~?:.#@]")


def _between(last: bytes, gap: str, text: bytes, line_ends: frozenset[str]) -> bytes:
    if any(c in line_ends for c in gap):
        return b"" if last in _OPENERS else b"\n"
    pair = last[-1:], text[:1]
    grow = any(all(kind.match(c) for c in pair) for kind in (_WORD, _OPERATOR))
    return b"+" if grow and not gap else b""


# --- comments ----------------------------------------------------------------------------------------------------

_PROSE = re.compile(
    r"""//(?:[ \t][\w \t.,;'"()?!/-]*)?\r?   # a line, with a blank first
      | /\*\*?(?:[\s][\w \t\r\n.,;'"()?!*-]*)?\*/""",
    re.VERBOSE,
)
_BEGINS = re.compile(r"//(?:\s|$)|/\*\*?(?:\s|/)")
_ORDERS = re.compile(
    r"[@#]|\+build|ignore|disable|enable|lint|hint|global|export|istanbul|\bc8\b|\bv8\b|webpack|vite|jest|prettier|biome"
    r"|deno|flow|sonar|noinspection|pragma|cover|stryker|generate|embed|strict|sourcemap",
    re.IGNORECASE,
)


def _is_prose(comment: str) -> bool:
    """Whether it tells people something and nobody else. What is neither prose nor an order stays, as a token.

    Raises Unclear where it may be an order to a tool: these go by lines, of which we keep little.
    """
    if not _BEGINS.match(comment) or _ORDERS.search(comment):
        raise Unclear("a comment that may be an order")
    return _PROSE.fullmatch(comment) is not None

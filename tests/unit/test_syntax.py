"""Which changes of Go, JavaScript and TypeScript may count as one, and which never may."""

import re
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from folkmoot.runner import syntax
from folkmoot.runner.fingerprint import Change, fingerprint


def same(path: str, one: str, two: str) -> bool:
    keys = [
        fingerprint([Change(path=path.encode(), operation="M", mode="100644", content=text.encode())])
        for text in (one, two)
    ]
    return keys[0] == keys[1]


JS = """'use strict'
import { a } from './a.js'

// Adds one to it.
export function f(x) {
    if (x === 'a b') { return [1, 2] }
    /* Otherwise. */
    return a(x) + 1
}
"""
GO = """package a

import "fmt"

// F greets.
func F(n int) string {
\tif n > 1 {
\t\treturn fmt.Sprint(n, "x") // twice
\t}
\treturn ""
}
"""


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("a.js", JS, JS.replace("// Adds one to it.\n", "")),
        ("a.js", JS, JS.replace("Adds one to it", "It grows")),
        ("a.js", JS, JS.replace("/* Otherwise. */", "/**\n     * Or else: no.\n     */".replace(":", ","))),
        ("a.js", JS, JS.replace("\n\n", "\n\n\n")),
        ("a.js", JS, JS.replace("    ", "\t")),
        ("a.js", JS, JS.replace("[1, 2]", "[\n 1,2]")),
        ("a.js", JS, JS.replace("a(x) + 1", "a( x )+1")),
        ("a.js", JS, JS.replace("\n", "\r\n")),
        ("a.js", JS, JS.rstrip("\n")),
        ("a.mjs", JS, JS.replace("{ return", "{\n        return")),
        ("a.ts", "let a: number = 1; // one\n", "let a:number=1;\n\n"),
        ("a.tsx", "let a = <b c='1'> x </b> // one\n", "let a  =  <b c='1'> x </b>\n"),
        ("a.go", GO, GO.replace("// F greets.\n", "")),
        ("a.go", GO, GO.replace(" // twice", "")),
        ("a.go", GO, GO.replace("\t", "  ")),
        ("a.go", GO, GO.replace("\n\n", "\n\n\n")),
        ("a.go", GO, GO.replace('(n, "x")', '( n,\n"x" )')),
        ("a.go", GO, GO.replace("n > 1", "n>1 /* more */")),
    ],
)
def test_merges_what_means_nothing(path: str, one: str, two: str) -> None:
    """Comments of plain prose, blank lines, blanks between tokens, line ends where nothing is inserted."""
    assert same(path, one, two)


NEVER = [
    # strings, templates, regular expressions, JSX
    ("a.js", "x = 'a b'", "x = 'a  b'"),
    ("a.js", "x = 'a'", 'x = "a"'),
    ("a.js", "x = '// a'", "x = '// b'"),
    ("a.js", "x = `a ${b}`", "x = `a  ${b}`"),
    ("a.js", "x = `a ${b /* c */}`", "x = `a ${b}`"),
    ("a.js", "x = `\n// a\n`", "x = `\n// b\n`"),
    ("a.js", "x = /a b/.test(y)", "x = /a  b/.test(y)"),
    ("a.js", "x = /[// a]/", "x = /[// b]/"),
    ("a.jsx", "x = <a> // b </a>", "x = <a> // c </a>"),
    ("a.jsx", "x = <a>b c</a>", "x = <a>b  c</a>"),
    ("a.jsx", "x = <a>\nb</a>", "x = <a>b</a>"),
    ("a.tsx", "x = <a b='c d'/>", "x = <a b='c  d'/>"),
    ("a.ts", "type A = `a ${B}`", "type A = `a  ${B}`"),
    # operators, literals, names
    ("a.js", "x = a + +b", "x = a ++b"),
    ("a.js", "x = a - b", "x = a + b"),
    ("a.js", "x = a == b", "x = a === b"),
    ("a.js", "x = a ?. b", "x = a ? .b : c"),
    ("a.js", "x = 1", "x = 1.0"),
    ("a.js", "x = 10", "x = 1_0"),
    ("a.js", "x = 1 .a", "x = 1.a"),
    ("a.js", "x = a => b", "x = a = > b"),
    ("a.js", "typeof x", "typeofx"),
    ("a.ts", "let a: number", "let a: string"),
    ("a.ts", "let a = b as C", "let a = b"),
    # where a semicolon may be inserted
    ("a.js", "function f() { return\n1 }", "function f() { return 1 }"),
    ("a.js", "function f() { return /*\n*/ 1 }", "function f() { return /* */ 1 }"),
    ("a.js", "function f() { return // a\n1 }", "function f() { return 1 }"),
    ("a.js", "a = b\n++c", "a = b ++\nc"),
    ("a.js", "a\n(b)", "a;(b)"),
    ("a.js", "a\n(b)", "a(b)"),
    ("a.js", "a = b\n/c/d", "a = b /c/d"),
    ("a.js", "class A { get\nx() {} }", "class A { get x() {} }"),
    ("a.js", "class A { static\nx = 1 }", "class A { static x = 1 }"),
    ("a.js", "for (;;) { continue\na }", "for (;;) { continue a }"),
    ("a.js", "async\nfunction f() {}", "async function f() {}"),
    ("a.js", "a;", "a"),
    ("a.ts", "type\nA = 1", "type A = 1"),
    ("a.ts", "let a = b\n!c", "let a = b!\nc"),
    ("a.ts", "declare\nvar a", "declare var a"),
    # orders: to the engine, to a tool
    ("a.js", "'use strict'\na", "a"),
    ("a.js", "f()\n'use strict'", "'use strict'\nf()"),
    ("a.js", "#!/usr/bin/env node\na", "#!/usr/bin/env bun\na"),
    ("a.ts", "// @ts-ignore\na", "a"),
    ("a.ts", "// @ts-ignore\nf(a, b)", "// @ts-ignore\nf(a,\nb)"),
    ("a.ts", "// @ts-expect-error\na", "// @ts-nocheck\na"),
    ("a.ts", '/// <reference path="a" />\na', "a"),
    ("a.js", "/* @jsx h */\na", "a"),
    ("a.js", "/**\n * @jest-environment jsdom\n */\na", "a"),
    ("a.js", "/* istanbul ignore next */\na", "a"),
    ("a.js", "// eslint-disable-next-line\na", "a"),
    ("a.js", "import(/* webpackChunkName: 'a' */ 'b')", "import('b')"),
    ("a.js", "a\n//# sourceMappingURL=b", "a"),
    ("a.js", "x = /*#__PURE__*/ f()", "x = f()"),
    # what engines read differently
    ("a.js", "a <!-- b", "a <!-- c"),
    ("a.js", "a\n--> b", "a\n--> c"),
    ("a.js", "a\u00a0+ b", "a + b"),
    ("a.js", "// a\u2028b()", "// a\u2028c()"),
    ("a.js", "a ) // b", "a ) // c"),
    ("a.js", "\ufeffa", "a"),
    # Go
    ("a.go", "package a\n\nvar x = `a b`", "package a\n\nvar x = `a  b`"),
    ("a.go", "package a\n\nvar x = `\n// a\n`", "package a\n\nvar x = `\n// b\n`"),
    ("a.go", 'package a\n\nvar x = "// a"', 'package a\n\nvar x = "// b"'),
    ("a.go", "package a\n\nvar x = 'a'", "package a\n\nvar x = 'b'"),
    ("a.go", "package a\n\nvar x = a & ^b", "package a\n\nvar x = a &^ b"),
    ("a.go", "package a\n\nvar x = a < -b", "package a\n\nvar x = a <-b"),
    ("a.go", "package a\n\nfunc f() {\nreturn\ng()\n}", "package a\n\nfunc f() {\nreturn g()\n}"),
    ("a.go", "package a\n\nfunc f() {\nreturn /*\n*/ g()\n}", "package a\n\nfunc f() {\nreturn /* */ g()\n}"),
    ("a.go", "//go:build linux\n\npackage a", "package a"),
    ("a.go", "//go:build linux\n\npackage a", "//go:build darwin\n\npackage a"),
    ("a.go", "// +build linux\n\npackage a", "// +build linux\npackage a"),
    ("a.go", "package a\n\n//go:embed x\nvar x string", "package a\n\n//go:embed y\nvar x string"),
    ("a.go", "package a\n\n//go:noinline\nfunc f() {}", "package a\n\nfunc f() {}"),
    ("a.go", "package a\n\n//export f\nfunc f() {}", "package a\n\nfunc f() {}"),
    ("a.go", 'package a\n\n// int x;\nimport "C"', 'package a\n\n// int y;\nimport "C"'),
    ("a.go", "package a\n\n/*line a.go:1*/ var x = 1", "package a\n\nvar x = 1"),
    ("a_test.go", GO + "// Output:\n// a\n", GO + "// Output:\n// b\n"),
    ("a_test.go", GO + "// Unordered output:\n// a\n", GO + "// Unordered output:\n// b\n"),
    ("a.go", "package a\nvar x = \f1", "package a\nvar x = 1"),
]


@pytest.mark.parametrize(("path", "one", "two"), NEVER)
def test_never_merges_what_may_mean_something(path: str, one: str, two: str) -> None:
    """Strings, operators, places where a semicolon is inserted, orders in comments; and what cannot be read."""
    assert not same(path, one + "\n", two + "\n")


def test_path_and_language_count() -> None:
    """What is nothing in one language may be much in another; what is a link is no source."""
    assert not same("a.rs", "// a\n", "// b\n")
    assert not same("a.json", "{}\n", "{ }\n")
    rows = [Change(path=b"a.js", operation="A", mode=m, content=c) for m in ("100644", "120000") for c in (b"a", b"a ")]
    assert len({fingerprint([row]) for row in rows}) == 3


# --- by an independent reading ------------------------------------------------------------------------------------

_LEXED = re.compile(
    r"""(?P<blank>[ \t]+|//[^\n]*|/\*[^\n]*?\*/) | (?P<line>\n|/\*.*?\*/)
      | (?P<token>\w+|'[^'\n]*'|`[^`]*`|\+\+|--|=>|===|==|=|&&|<-|<|[-+(){}\[\];,.?:>])""",
    re.VERBOSE | re.DOTALL,
)


def read(text: str) -> list[str]:
    """Tokens, and the ends of lines that may mean something, by a lexer of one expression."""
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _LEXED.match(text, at)
        assert match, text[at:]
        at = match.end()
        if match["token"]:
            found.append(match["token"])
        elif match["line"] and found and found[-1] not in {"\n", ";", "{", "(", "[", ","}:
            found.append("\n")
    return found[:-1] if found[-1:] == ["\n"] else found


STATEMENTS = {
    "a.js": ["a = b + + c ;", "a = b ++ ;", "a = ( b ) => c ;", "if ( a ) { b ( ) }", "let a = 'b' ;", "a . b [ 1 ] ;",
             "function f ( ) { return a ; }", "a = `b` , c ;", "var a = b ? c : d ;", "return"],
    "a.ts": ["let a : b = 1 ;", "a = b - - c ;", "type A = { a : b ; c : d } ;", "a = b < c ;", "let a : B < C > ;"],
    "a.go": ["func f ( ) { a = b }", "var a = b", "func f ( ) int { return 1 }", "func f ( ) { a <- b ; a ++ }",
             "var a = [ ] int { 1 , 2 }", "var a = b < c", "var a = - - b"],
}  # fmt: skip
GAPS = ["", " ", "  ", "\n", " // so it is\n", " /* so */ ", "/*\n*/", " // another\n\n"]
QUIET = [" ", "  ", " /* so */ ", " /* or so */  "]
PATHS = st.sampled_from(sorted(STATEMENTS))


def texts(path: str, gaps: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """One to three statements, and the same with up to two gaps and perhaps a token changed."""
    words = st.lists(st.sampled_from(STATEMENTS[path]), min_size=1, max_size=3).map(lambda drawn: _words(path, drawn))
    return st.builds(lambda w, chance: _two(w, gaps, chance), words, st.randoms(use_true_random=False))


def _words(path: str, statements: Sequence[str]) -> list[str]:
    words = [word for statement in statements for word in [*statement.split(" "), "\n"]]
    return ["package", "a", "\n", *words] if path.endswith(".go") else words


def _two(words: list[str], gaps: Sequence[str], chance: Random) -> list[str]:
    # A blank keeps two words apart that the gap does not.
    one = [[word, chance.choice(gaps) + (" " if word.isalnum() else "")] for word in words]
    two = [list(pair) for pair in one]
    for _ in range(chance.randint(0, 2)):
        chance.choice(two)[1] = chance.choice([*gaps, " "])
    if chance.random() < 0.3:
        chance.choice(two)[0] = chance.choice(words)
    return ["".join(part for pair in pairs for part in pair) for pairs in (one, two)]


@given(PATHS.flatmap(lambda path: st.tuples(st.just(path), texts(path, GAPS))))
def test_equal_lists_are_equal_readings(drawn: tuple[str, list[str]]) -> None:
    """Whatever stands between the tokens: what has one list here has one there."""
    path, (one, two) = drawn
    lists = [_tokens(path, text) for text in (one, two)]
    assume(lists[0] is not None)
    if lists[0] == lists[1]:
        assert read(one) == read(two)


@settings(max_examples=50)
@given(PATHS.flatmap(lambda path: st.tuples(st.just(path), texts(path, QUIET))))
def test_blanks_and_prose_are_nothing(drawn: tuple[str, list[str]]) -> None:
    """Equal readings that differ in these only have one list, or none."""
    path, (one, two) = drawn
    lists = [_tokens(path, text) for text in (one, two)]
    assume(lists[0] is not None and read(one) == read(two))
    assert lists[0] == lists[1]


def _tokens(path: str, text: str) -> list[bytes] | None:
    try:
        return syntax.tokens(path.encode(), text.encode())
    except syntax.Unclear:
        return None


@given(PATHS, st.binary(max_size=200))
def test_any_bytes_have_a_key(path: str, content: bytes) -> None:
    """Nothing that an agent writes into a source file makes the fingerprint fail."""
    assert len(fingerprint([Change(path=path.encode(), operation="M", mode="100644", content=content)])) == 64


@pytest.mark.parametrize(
    ("path", "piece"),
    [("a.js", "("), ("a.js", "["), ("a.js", "a<b>"), ("a.ts", "a<"), ("a.ts", "(a,b)=>"), ("a.ts", "<a>("),
     ("a.tsx", "<a>"), ("a.go", "package a;x{"), ("a.js", "`${"), ("a.js", "async("), ("a.js", "if(a)"),
     ("a.js", "/*")],
)  # fmt: skip
def test_hostile_source_comes_to_an_end(path: str, piece: str) -> None:
    """Nested as deep as the largest file can be: no crash, no recursion, bounded time."""
    content = (piece * syntax.LARGEST_BYTES)[: syntax.LARGEST_BYTES]
    assert len(fingerprint([Change(path=path.encode(), operation="M", mode="100644", content=content.encode())])) == 64


def test_time_is_bounded() -> None:
    """A parser that takes too long is ended, and the file counts by bytes."""
    times = iter(range(10_000))
    with pytest.raises(syntax.Unclear, match="too long"):
        syntax.tokens(b"a.js", b"a(b);\n" * 20_000, lambda: next(times))


def test_a_large_file_counts_by_bytes() -> None:
    """Nobody edits such a file for its style."""
    with pytest.raises(syntax.Unclear, match="large"):
        syntax.tokens(b"a.js", b";" * (syntax.LARGEST_BYTES + 1))

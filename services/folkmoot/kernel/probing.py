"""Probe inputs: calls that tests show, with other arguments, to find where candidates differ and no test looks.

Pure: texts of Python test files in, expressions and the file that runs them out. Arguments are changed one step at a
time (a number by one, a text by a character, a list by an element), for what people forget lies next to what they
tried. The same texts always give the same calls.
"""

import ast
import builtins
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

MAX_CALLS = 80
MAX_SHOWN = 40
"""Of those, at most so many as they stand in tests."""
MAX_CHARS = 160
"""Of one call: more says little to a reader."""
MAX_FILE_BYTES = 64 * 1024
"""A longer test file is not read."""
ALL_S = 40.0
"""That all calls of a candidate may take."""
MAX_NODES = 60
"""Of one call's syntax tree."""
PATH = "tests/test_moot_probe.py"
_LARGE = 10**6
_FOREIGN = sys.stdlib_module_names | {"pytest", "hypothesis"}
_NAMES = frozenset(dir(builtins)) - {"open", "input", "eval", "exec", "compile", "exit", "quit", "breakpoint", "print"}
_ALLOWED = (ast.Call, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.keyword)
_SIGNS = (ast.UnaryOp, ast.USub)


class Probes(msgspec.Struct, frozen=True, kw_only=True):
    imports: tuple[str, ...] = ()
    """Statements, sorted."""
    calls: tuple[str, ...] = ()
    """Expressions: those that tests show, then changed ones."""


def probes(texts: Iterable[str]) -> Probes:
    """Of test files of all authors, in any order; empty where they show no call with plain arguments."""
    imports, shown = set[str](), dict[str, ast.Call]()
    for text in texts:
        said, calls = _read(text)
        if calls:
            imports |= said
            shown |= {ast.unparse(c): c for c in calls}
    kept = {text: shown[text] for text in _mixed(shown)[:MAX_SHOWN]}
    others = {c for call in kept.values() for c in _changed(call, _constants(kept.values())) if len(c) <= MAX_CHARS}
    more = _mixed(others - kept.keys())[: MAX_CALLS - len(kept)]
    return Probes(imports=tuple(sorted(imports)), calls=(*kept, *more)) if kept else Probes()


def _mixed(texts: Iterable[str]) -> list[str]:
    """In an order that is arbitrary, and always the same."""
    return sorted(texts, key=lambda t: hashlib.sha256(t.encode("utf-8", "replace")).digest())


# --- what tests show ---------------------------------------------------------------------------------------------


def _read(text: str) -> tuple[set[str], list[ast.Call]]:
    """Import statements of the file, and its calls of what is imported from the product. Nothing of what does not
    parse."""
    if len(text) > MAX_FILE_BYTES:
        return set(), []
    try:
        tree = ast.parse(text)
        imports = {ast.unparse(n): n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom) and _plain(n)}
        own = {a.asname or a.name for n in imports.values() for a in n.names if _of_product(n)}
        known = {a.asname or a.name for n in imports.values() for a in n.names} | _NAMES
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _shows(n, own, known)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), []
    return set(imports), calls


def _plain(node: ast.Import | ast.ImportFrom) -> bool:
    return not (isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__")) and all(
        a.name != "*" and ("." not in a.name or a.asname) for a in node.names
    )


def _of_product(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] not in _FOREIGN


def _shows(call: ast.Call, own: set[str], known: set[str]) -> bool:
    """A call of the product's with arguments that need nothing from around it."""
    nodes = list(ast.walk(call))
    return (
        isinstance(call.func, ast.Name)
        and call.func.id in own
        and len(nodes) <= MAX_NODES
        and bool(call.args or call.keywords)
        and all(isinstance(n, _ALLOWED + _SIGNS) for n in nodes)
        and all(n.id in known for n in nodes if isinstance(n, ast.Name))
        and len(ast.unparse(call)) <= MAX_CHARS
    )


# --- other arguments ---------------------------------------------------------------------------------------------


def _constants(calls: Iterable[ast.Call]) -> dict[type, list[object]]:
    """By type, each once, in a fixed order."""
    seen = {repr(n.value): n.value for c in calls for n in ast.walk(c) if isinstance(n, ast.Constant)}
    found: dict[type, list[object]] = {}
    for text in _mixed(seen):
        found.setdefault(type(seen[text]), []).append(seen[text])
    return found


def _changed(call: ast.Call, seen: Mapping[type, Sequence[object]]) -> Iterator[str]:
    """Texts of the call with one change; the call itself is as before when all are taken."""
    for node in list(ast.walk(call)):
        old = {name: getattr(node, name) for name in node._fields}
        for new in list(_others(node, seen)):
            _put(node, {name: getattr(new, name, None) for name in old})
            text = ast.unparse(call)
            _put(node, old)
            yield text


def _put(node: ast.AST, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        setattr(node, name, value)


def _others(node: ast.AST, seen: Mapping[type, Sequence[object]]) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant):
        values = dict.fromkeys([*_near(node.value), *seen.get(type(node.value), ())[:6]])
        yield from (ast.Constant(value=v) for v in values if v != node.value and not _negative(v))  # type: ignore[arg-type]
    elif isinstance(node, ast.List):
        yield from (ast.List(elts=e, ctx=ast.Load()) for e in _sequences(node.elts))
    elif isinstance(node, ast.Tuple) and len(node.elts) > 2:
        yield ast.Tuple(elts=node.elts[:-1], ctx=ast.Load())
    elif isinstance(node, ast.Dict):
        for i in range(len(node.keys)):
            yield ast.Dict(keys=node.keys[:i] + node.keys[i + 1 :], values=node.values[:i] + node.values[i + 1 :])
    elif isinstance(node, ast.Call) and node.keywords:
        yield ast.Call(func=node.func, args=node.args, keywords=node.keywords[:-1])


def _negative(value: object) -> bool:
    """No constant of the language: its sign is an operator."""
    return isinstance(value, int | float) and value < 0


def _sequences(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    if items:
        yield from ([], items[1:], items[:-1], items[::-1], [*items, items[0]], [items[-1], *items])


def _near(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float) and abs(value) <= _LARGE:
        yield from (0, 1, value + 1, value - 1, value * 2, value * 10)
    elif isinstance(value, str):
        yield from _texts(value)


def _texts(text: str) -> Iterator[str]:
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    yield from ("", text[1:], text[:-1], f" {text}", f"{text} ", text.swapcase(), text + text, text[::-1])
    yield from (head + tail[1:], head + tail[:1] + tail, f"{head} {tail}")
    for mark in sorted({c for c in text if not c.isalnum()})[:4]:
        yield from (text.replace(mark, ""), text.replace(mark, mark * 2), text + mark, mark + text)
    for digit in sorted({c for c in text if c.isdigit()})[:2]:
        yield from (text.replace(digit, "0"), text.replace(digit, digit + "0"), "-" + text)


# --- how they are run --------------------------------------------------------------------------------------------

_FILE = '''"""Written by the platform: what calls give that tests do not make. Each result is a test's name."""

import re
import signal
import time

import pytest

CALLS = {calls!r}
IMPORTS = {imports!r}
CALL_S, ALL_S, SHOWN = 2.0, {all_s}, 100


class _Long(BaseException):
    pass


def _stop(*_):
    raise _Long


def _space():
    space = {{}}
    for line in IMPORTS:
        try:
            exec(line, space)
        except Exception:
            pass
    return space


def _given(call):
    try:
        signal.setitimer(signal.ITIMER_REAL, CALL_S)
        text = re.sub(r" at 0x\\w+", "", repr(eval(call, _space())))
    except _Long:
        return "takes too long"
    except BaseException as error:
        return "raises " + type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    rest = text[SHOWN:].encode("utf-8", "replace")
    return text[:SHOWN] + (f"... and {{len(rest)}} bytes, sum {{sum(rest)}}" if rest else "")


def _safe(call):
    try:
        return _given(call)
    except _Long:  # rang when all was over
        return "takes too long"


def _names():
    before, began = signal.signal(signal.SIGALRM, _stop), time.monotonic()
    try:
        return [f"{{i:03d}} {{c}} -> {{_safe(c)}}" for i, c in enumerate(CALLS) if time.monotonic() - began < ALL_S]
    finally:
        signal.signal(signal.SIGALRM, before)


NAMES = _names()


@pytest.mark.parametrize("name", NAMES, ids=NAMES)
def test_gives(name):
    pass
'''


def file_of(found: Probes, all_s: float = ALL_S) -> str:
    """A file of pytest's that runs the calls: what call 7 gives is the test `test_gives[007 call -> value]`. After
    `all_s` seconds no further call is made."""
    return _FILE.format(calls=list(found.calls), imports=list(found.imports), all_s=all_s)


def call_of(test: str) -> str:
    """Of a test's id: number and text of the call; empty where it is none."""
    number, there, _ = _parts(test)
    return number if there else ""


def given(test: str) -> str:
    """What the call gave."""
    return _parts(test)[2].removesuffix("]")


def _parts(test: str) -> tuple[str, str, str]:
    return test.partition("test_gives[")[2].rpartition(" -> ")

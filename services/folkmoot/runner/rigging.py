"""What in a file that steers a run of tests says that none shall run, or that none shall fail. Pure.

Such a file of a candidate never takes part in an examination (`policy.STEERING`). Written so, it has no other use, and
tells of the one who wrote it. What honest ones hold (markers, paths, fixtures, tests left out by name) is none of this.
"""

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence

IDLE = "lets no test run"
REWRITES = "lets failed tests pass"

_IDLE = re.compile(
    r"(?<![\w-])(--(?:co|collect-?only|setup-?(?:plan|only)|fixtures(?:-per-test)?|funcargs|markers|version|help)"
    r"|-p ?no:(?:python|main|runner|terminal))(?![\w-])"
)
"""Options of pytest by which it ends before a test, or cannot report one."""
_SECTIONS = {b"ini": ("pytest",), b"cfg": ("tool:pytest",), b"toml": ("pytest",)}
_EMPTIED = re.compile(r"\b(items \. clear|items \[ : \] = \[ \]|del items \[ : \])")
_OUTCOME = re.compile(r"\. (outcome)(?: ,[^=]*)? =(?!=)|\bsetattr \([^,]*, '' , ''")


def configured(path: bytes, content: bytes) -> Iterator[tuple[str, str]]:
    """What the options of a configuration of pytest come to, and the option."""
    text = " ".join(_options(path.rpartition(b".")[2], content.decode("utf-8", "replace")))
    yield from ((IDLE, re.sub(r"\s", " ", match[1])) for match in _IDLE.finditer(text))


def _options(suffix: bytes, text: str) -> Iterator[str]:
    """Of `addopts`, without line breaks; nothing of what cannot be read, for pytest cannot either."""
    for name in _SECTIONS.get(suffix, ()):
        said = _toml(text, name) if suffix == b"toml" else _ini(text, name)
        yield " ".join([said] if isinstance(said, str) else [str(s) for s in said]).replace("\n", " ")


def _ini(text: str, section: str) -> str:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return ""
    return parser.get(section, "addopts", fallback=None) or ""


def _toml(text: str, section: str) -> str | Sequence[object]:
    try:
        table = tomllib.loads(text).get(section)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    said = table.get("addopts") if isinstance(table, dict) else None
    return said if isinstance(said, str | list) else ""


def coded(lines: Iterable[tuple[int, str, tuple[str, ...]]]) -> Iterator[tuple[str, str, int]]:
    """Of a `conftest.py`, by number, code and strings of its logical lines: what it does, the word, and the number."""
    for number, code, strings in lines:
        if match := _EMPTIED.search(code):
            yield IDLE, match[1].replace(" ", ""), number
        said = [text.strip("bruBRU\"'") for text in strings]
        if "passed" in said and (match := _OUTCOME.search(code)) and (match[1] or "outcome" in said):
            yield REWRITES, "outcome", number

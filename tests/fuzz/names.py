"""Names, paths and links as somebody chooses them who wants to get somewhere else; and what file systems make of them.

What file systems do is written down here a second time, by another method than the border's, to hold the border to it.
"""

import unicodedata
from collections.abc import Callable

from hypothesis import strategies as st

_GIT = [".git", ".gitmodules", ".gitattributes", ".gitignore", "git~1", "gitmod~1", "gi7eba~1", "GIT~2", ".git~1"]
_INVISIBLE = list("\u200b\u200c\u200d\u200e\u202a\u2060\u2063\ufeff\u00ad\u034f\u180e\ufe0f\u115f\U000e0061")
_WIDE = str.maketrans({c: chr(ord(c) + 0xFEE0) for c in "git"} | {".": "．"})
_ENDINGS = [
    "",
    ".",
    " ",
    "...",
    ". .",
    "::$INDEX_ALLOCATION",
    ":x",
    "::$DATA",
    "\\",
    "\\config",
    "~1",
    "\t",
    "\x00",
    "\n",
]


_CASES: list[Callable[[str], str]] = [str.lower, str.upper, str.title, str.swapcase, lambda s: s.translate(_WIDE)]


def _dressed(name: str, case: Callable[[str], str], mark: str, at: int, ending: str) -> str:
    """A name that some file system takes for `name`, or nearly."""
    name = case(name)
    at %= len(name) + 1
    return name[:at] + mark + name[at:] + ending


DRESSED = st.builds(
    _dressed,
    st.sampled_from(_GIT),
    st.sampled_from(_CASES),
    st.sampled_from(["", "", *_INVISIBLE]),
    st.integers(0, 12),
    st.sampled_from(_ENDINGS),
).map(lambda s: s.encode("utf-8", "surrogatepass"))
PLAIN = st.sampled_from(
    [b"a", b"app.py", b"src", b"README.md", b"caf\xe9", "é".encode(), "e\u0301".encode(), b"A", b"-x"]
)
ODD = st.one_of(
    st.sampled_from([b"", b".", b"..", b"...", b"~", b"CON", b"aux.txt", b"a:b", b"\xff\xfe", b"x" * 255]),
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda s: s.encode("utf-8", "surrogatepass")),
)
NAMES = st.one_of(PLAIN, PLAIN, DRESSED, ODD)
PATHS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=5).map(b"/".join),
    st.integers(1, 3_000).map(lambda n: b"/".join([b"d"] * n)),
)
TARGETS = st.one_of(
    PATHS,
    PATHS.map(lambda p: b"/" + p),
    st.builds(lambda up, path: b"../" * up + path, st.integers(0, 6), PATHS),
    st.builds(lambda a, up, b: a + b"/" + b"../" * up + b, PATHS, st.integers(0, 6), PATHS),
    st.sampled_from([b"", b"/", b"/proc/self/root", b"..\\..\\x", b"a\0b", b"./../x"]),
)
MODES = st.one_of(
    st.sampled_from(["100644", "100755", "120000"]),
    st.sampled_from(["100644", "160000", "040000", "100666", "000000", "140000", "100600", "777777", "1"]),
    st.text("01234567", min_size=1, max_size=7),
)


def taken_for_git(name: bytes) -> bool:
    """By a file system that knows no case, drops what is invisible, or cuts dots, blanks and streams off (NTFS, HFS+,
    APFS), each rule applied by itself and all of them together."""
    text = name.decode("utf-8", "surrogateescape")
    return any(_bare(part) == ".git" for part in text.replace("\\", "/").split("/"))


def _bare(text: str) -> str:
    seen = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in {"Cf", "Mn"})
    return seen.lower().partition(":")[0].rstrip(" .")


def leads_out(path: bytes, target: bytes) -> bool:
    """Walks the link by its words, as a kernel would on plain folders."""
    if target.startswith(b"/") or not target:
        return True
    at = path.split(b"/")[:-1]
    for part in target.split(b"/"):
        if part == b"..":
            if not at:
                return True
            at.pop()
        elif part not in {b"", b"."}:
            at.append(part)
    return any(taken_for_git(part) for part in at)

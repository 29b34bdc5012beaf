"""The tree policy: which modes, names and links may come in. Pure: bytes in, verdicts in words out.

Git's strict reader goes by what git itself would trip over; this by what any file system, terminal or person would.
"""

import re
import unicodedata

from folkmoot.runner.border.entries import EXECUTABLE, FILE, LINK, SUBMODULE, Entry, new_file, shown

_IGNORABLE = dict.fromkeys(
    [
        0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010),
        *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
        *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000),
    ]
)  # fmt: skip
"""Unicode's Default_Ignorable_Code_Point: ext4 and f2fs drop them where they fold case, HFS+ some of them."""
_SHORT_GIT = re.compile(r"gi[0-9a-z]*~[0-9]+")
"""What NTFS makes of `.git` and `.gitmodules` (GIT~1, GITMOD~1, GI7EBA~1)."""
_MAX_PATH = 4_096


def forbidden(entry: Entry) -> str:
    """Why this entry may not come in; empty when it may. The target of a link is `link_escapes`' affair."""
    if entry.deleted:
        return ""
    mode = _forbidden_mode(entry.new_mode)
    return f"{shown(entry.path)[:200]}: {mode}" if mode else _forbidden_name(entry)


def unfit(path: bytes) -> str:
    """Why no file may be added under this name; empty when it may."""
    return forbidden(new_file(path))


def link_escapes(path: bytes, target: bytes) -> bool:
    """Whether the link leads out of the repository or into `.git`.

    `..` is allowed in front only: behind another component it may go through a second link, where it means something
    else than it says.
    """
    parts = [p for p in target.split(b"/") if p not in {b"", b"."}]
    up = next((i for i, p in enumerate(parts) if p != b".."), len(parts))
    depth = path.count(b"/")
    if not target or target.startswith(b"/") or b"\0" in target or b"\\" in target or len(target) > _MAX_PATH:
        return True
    return up > depth or b".." in parts[up:] or any(_is_git(p) for p in parts)


def _forbidden_mode(mode: str) -> str:
    if mode == SUBMODULE:
        return "is a submodule link; a candidate brings files only"
    if mode not in {FILE, EXECUTABLE, LINK}:
        return f"has the mode {mode}; only files and links may come in"
    return ""


def _forbidden_name(entry: Entry) -> str:
    parts = entry.path.split(b"/")
    if any(_is_git(p) for p in parts):
        return f"{shown(entry.path)[:200]}: a part of the path is taken for `.git` by some file system"
    if any(p in {b"", b".", b".."} for p in parts):
        return f"{shown(entry.path)[:200]}: is no plain relative path"
    if _is_gitmodules(parts[-1]):
        return f"{shown(entry.path)[:200]}: a candidate may not bring submodules"
    if entry.added and _has_control(entry.path):
        return f"{shown(entry.path)[:200]}: the name holds control characters"
    if len(entry.path) > _MAX_PATH:
        return f"{shown(entry.path[:80])}…: the path is longer than {_MAX_PATH} bytes"
    return ""


def _folded(name: bytes) -> str:
    """As the least strict file system sees it: no case, no ignorable characters, no trailing dots, blanks, streams."""
    text = unicodedata.normalize("NFKC", name.decode("utf-8", "surrogateescape").translate(_IGNORABLE))
    return text.casefold().split(":", 1)[0].rstrip(". ")


def _is_git(name: bytes) -> bool:
    return any(_folded(part) == ".git" or _is_short(part) for part in name.split(b"\\"))


def _is_gitmodules(name: bytes) -> bool:
    return any(_folded(part) == ".gitmodules" for part in name.split(b"\\"))


def _is_short(name: bytes) -> bool:
    return _SHORT_GIT.fullmatch(_folded(name)) is not None


def _has_control(path: bytes) -> bool:
    return any(unicodedata.category(c) == "Cc" for c in path.decode("utf-8", "surrogateescape"))

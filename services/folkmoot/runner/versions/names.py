"""What a repository holds by what was seen of it from inside, look by look. Pure.

A file that has not changed is known by its inode, whatever its name is now: so a folder that was renamed brings its
content along, and only what is new is told.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from folkmoot.runner.border.entries import EXECUTABLE, FILE, LINK, Entry
from folkmoot.runner.border.tree import forbidden
from folkmoot.runner.versions import seen, shadow
from folkmoot.runner.versions.seen import Seen

MODES = {"f": FILE, "x": EXECUTABLE, "l": LINK}
KINDS = {mode: kind for kind, mode in MODES.items()}
UNKNOWN = "?"
"""In place of an object: its content is not known."""
LEFT = ""
"""In place of an object: git would not take it."""
RULES = b".gitignore"
_RULES_BYTES = 64 * 1024
RULES_FILES = 200


class Held(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    """As of `seen.Entry`."""
    inode: int
    object: str
    """Of its content, as git names it; UNKNOWN, LEFT."""


Names = Mapping[bytes, Held]


class Draft(msgspec.Struct, kw_only=True):
    """What was seen, before anybody knows what of it git would take."""

    names: dict[bytes, Held]
    contents: dict[str, bytes]
    """By object, what came of it."""
    rules: dict[bytes, bytes]
    """Files that say what git leaves, by name."""


def object_id(content: bytes, *, sha256: bool) -> str:
    made = hashlib.sha256 if sha256 else hashlib.sha1
    return made(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def hidden(path: bytes) -> bool:
    """It is not looked at, whoever put it there."""
    *folders, _ = parts = path.decode("utf-8", "surrogateescape").split("/")
    odd = any(part == ".git" or part.endswith(shadow.ENDINGS) or part.startswith(shadow.BEGINNINGS) for part in parts)
    return odd or any(folder in shadow.FOLDERS for folder in folders)


def fit(path: bytes, kind: str) -> bool:
    """Whether git and the border take a file of this name. Odd characters are no obstacle."""
    if kind == "l" and path.rpartition(b"/")[2] in (RULES, b".gitattributes"):
        return False
    mode = MODES[kind]
    entry = Entry(path=path, old_mode=mode, new_mode=mode, old_object="", new_object="", operation="M")
    return not (forbidden(entry) or hidden(path) or b"\0" in path)


def first(there: Names, saw: Seen) -> dict[bytes, Held]:
    """Right after the check-out: files are as git said in `there`, whatever rules it wrote them by. What is not looked
    at is in no `Names`, and so never changes."""
    found = {e.path: e for e in saw.entries}
    return {
        path: msgspec.structs.replace(held, inode=found[path].inode) if path in found else held
        for path, held in there.items()
        if fit(path, held.kind)
    }


def drafted(before: Names, rules: Mapping[bytes, bytes], saw: Seen, name: Callable[[bytes], str]) -> Draft:
    """`name` is the object of a content."""
    names = {} if saw.whole else dict(before)
    moved = {h.inode: h.object for h in before.values()} if saw.whole else {}
    draft = Draft(names=names, contents={}, rules={})
    for entry in saw.entries:
        known = entry.path in before and entry.kind != "l"
        if known or fit(entry.path, entry.kind):
            names[entry.path] = _held(entry, before.get(entry.path), moved, draft, name)
    draft.rules = _rules(names, rules, draft.contents, before)
    return draft


def _held(
    entry: seen.Entry, was: Held | None, moved: Mapping[int, str], draft: Draft, name: Callable[[bytes], str]
) -> Held:
    if entry.content is not None:
        known = name(entry.content)
        draft.contents[known] = entry.content
    elif entry.changed:
        known = UNKNOWN
    elif was is not None and was.inode == entry.inode:
        known = was.object
    else:
        known = moved.get(entry.inode, UNKNOWN)
    return Held(entry.kind, entry.inode, known)


def _rules(
    names: Names, rules: Mapping[bytes, bytes], contents: Mapping[str, bytes], before: Names
) -> dict[bytes, bytes]:
    known = ((before[path].object, body) for path, body in rules.items() if path in before)
    by_object = {name: body for name, body in known if name not in (LEFT, UNKNOWN)} | dict(contents)
    found: dict[bytes, bytes] = {}
    for path in names:
        if is_rules(path) and len(found) < RULES_FILES:
            body = by_object.get(names[path].object, rules.get(path, b""))
            found[path] = body if len(body) <= _RULES_BYTES else b""
    return found


def is_rules(path: bytes) -> bool:
    return path.rpartition(b"/")[2] == RULES


def open_to_doubt(draft: Draft, before: Names, rules: Mapping[bytes, bytes]) -> list[bytes]:
    """Names of which the rules decide: what git has it keeps, and what it left it leaves while the rules are the
    same."""
    changed = draft.rules != rules
    return [path for path in draft.names if not _kept(before.get(path)) and (changed or path not in before)]


def _kept(held: Held | None) -> bool:
    return held is not None and held.object != LEFT


def decided(draft: Draft, before: Names, doubted: Iterable[bytes], left: frozenset[bytes]) -> None:
    """Of `doubted` names git leaves those in `left`, and of all others what it left before."""
    open_ = frozenset(doubted)
    for path, held in draft.names.items():
        if path in left or (path not in open_ and not _kept(before.get(path))):
            draft.names[path] = msgspec.structs.replace(held, object=LEFT)
        elif held.object == LEFT:
            draft.names[path] = msgspec.structs.replace(held, object=UNKNOWN)


def wanted(draft: Draft) -> tuple[bytes, ...]:
    """Names whose content has to be asked for."""
    return tuple(path for path, held in draft.names.items() if held.object == UNKNOWN)


def completed(draft: Draft, before: Names, saw: Seen | None, name: Callable[[bytes], str]) -> None:
    """With what came of `wanted`. What did not, as a file that is too large, is as it was, or not there."""
    came = {e.path: e for e in saw.entries if e.content is not None} if saw is not None else {}
    for path in wanted(draft):
        held, entry, was = draft.names[path], came.get(path), before.get(path)
        if entry is not None and entry.content is not None:
            known = name(entry.content)
            draft.contents[known] = entry.content
            draft.names[path] = Held(entry.kind, entry.inode, known)
        else:
            draft.names[path] = msgspec.structs.replace(held, object=was.object if was is not None else LEFT)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    gone: tuple[bytes, ...]
    there: tuple[bytes, ...]
    """New, or different."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.there)


def difference(before: Names, after: Names) -> Difference:
    """Of what git takes, sorted."""
    gone = (p for p, held in before.items() if _kept(held) and not _kept(after.get(p)))
    there = (
        p
        for p, held in after.items()
        if _kept(held) and ((was := before.get(p)) is None or (was.kind, was.object) != (held.kind, held.object))
    )
    return Difference(gone=tuple(sorted(gone)), there=tuple(sorted(there)))

"""What git says of a change, one entry for each path, and names as people may see them. Pure."""

import msgspec

FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
"""Modes."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `git diff-tree -r --raw`."""

    path: bytes
    old_mode: str
    new_mode: str
    old_object: str
    new_object: str
    operation: str

    @property
    def added(self) -> bool:
        return self.operation == "A"

    @property
    def deleted(self) -> bool:
        return self.operation == "D"


def raw_entries(raw: bytes) -> list[Entry]:
    """Reads `git diff-tree -r --raw -z --no-renames`."""
    fields = raw.split(b"\0")[:-1]
    entries = []
    for head, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old, new, operation = head.decode("ascii").removeprefix(":").split(" ")
        entries.append(
            Entry(
                path=path,
                old_mode=old_mode,
                new_mode=new_mode,
                old_object=old,
                new_object=new,
                operation=operation[:1],
            )
        )
    return entries


def shown(path: bytes) -> str:
    """For people, and for JSON: what is not UTF-8 or not printable is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def new_file(path: bytes) -> Entry:
    return Entry(path=path, old_mode="0", new_mode=FILE, old_object="", new_object="", operation="A")


def is_link(mode: str) -> bool:
    return mode == LINK

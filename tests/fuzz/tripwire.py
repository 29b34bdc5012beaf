"""What must be the same before and after: files of the host around the store, the store itself, our processes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from folkmoot.runner import refs


class State(msgspec.Struct, frozen=True):
    around: frozenset[tuple[str, int, int, int]]
    """Of everything that is not the store: path, mode, size, time of the last change in ns."""
    refs: dict[str, str]
    objects: frozenset[str]
    quarantined: tuple[str, ...]


def look(top: Path, store: Path, quarantine: Path) -> State:
    """`store` is a bare repository below `top`."""
    return State(
        around=frozenset(_around(top, store, quarantine)),
        refs=refs.below(store, "refs/"),
        objects=frozenset(str(p.relative_to(store)) for p in (store / "objects").rglob("*") if p.is_file()),
        quarantined=tuple(p.name for p in quarantine.iterdir()) if quarantine.is_dir() else (),
    )


def _around(top: Path, *but: Path) -> Iterator[tuple[str, int, int, int]]:
    for path in top.rglob("*"):
        if not any(path.is_relative_to(place) for place in but):
            found = path.lstat()
            # A folder's own time also changes when a draft of ours comes and goes.
            changed = 0 if path.is_dir() else found.st_mtime_ns
            yield str(path), found.st_mode, found.st_size if changed else 0, changed


def children() -> list[str]:
    """Names of our process's children, zombies too."""
    ids = [i for task in Path("/proc/self/task").iterdir() for i in (task / "children").read_text().split()]
    return [name for i in ids if (name := _name(i))]


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""

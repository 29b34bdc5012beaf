"""File operations as fixed commands in the sandbox, so that whatever a link points to, it points to inside.

But a plain file, in plain folders, is read from outside: no link is followed on the way, and no process is needed.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from folkmoot.kernel.errors import InvalidInput, NotFound, ResourceExhausted
from folkmoot.runner.checkout import Output, Shell
from folkmoot.runner.command import REPO
from folkmoot.runtime.workspace.port import Entry

_MISSING, _OUTSIDE, _FULL = 44, 45, 48
_PATH_BYTES = 4_000

# Built-in commands where they will do: every program that starts costs a millisecond or two. `x` keeps a name's own
# trailing newlines from being cut off by $( ).
_INSIDE = """folder=${1%/*}
if cd -P -- "${folder:-/workspace}" 2>/dev/null && [ ! -L "$1" ]; then real=${PWD%/}/x
else real=$(realpath -m -- "$1" && printf x) || exit 45
fi
[ "$1" = /workspace ] || case "$real" in /workspace/*|"/workspace
x") ;; *) exit 45 ;; esac
"""
_READ = (
    _INSIDE
    + """[ -e "$1" ] || exit 44
[ -f "$1" ] || exit 46
exec head -c "$2" -- "$1"
"""
)
_WRITE = (
    _INSIDE
    + """[ ! -e "$1" ] || [ -f "$1" ] || exit 46
[ -d "$2" ] || mkdir -p -- "$2" || exit 46
case "$3" in append) cat >>"$1" ;; *) cat >"$1" ;; esac || { [ -w "$1" ] && exit 48; exit 46; }
"""
)
_LIST = (
    _INSIDE
    + """[ -e "$1" ] || exit 44
[ -d "$1" ] || exit 46
exec find "$1" -mindepth 1 -maxdepth "$2" -name .git -prune -o -mindepth 1 -printf '%y %s %p\\0'
"""
)
_KINDS = {b"f": "file", b"d": "dir", b"l": "link"}


def inside(path: bytes, field: str = "path") -> bytes:
    """`path` as an absolute one of the sandbox. Raises InvalidInput for one that names something else."""
    if b"\0" in path:
        raise InvalidInput(field, "holds a NUL byte")
    if len(path) > _PATH_BYTES:
        raise InvalidInput(field, f"is longer than {_PATH_BYTES} bytes")
    if path.startswith(b"/"):
        raise InvalidInput(field, "is absolute; paths are relative to the repository's root")
    plain = os.path.normpath(path or b".")
    if plain == b".." or plain.startswith(b"../"):
        raise InvalidInput(field, "leaves the repository")
    return REPO.encode() + (b"" if plain == b"." else b"/" + plain)


def plain(root: Path, path: bytes, limit: int) -> bytes | None:
    """A file below `root`, read from outside. None for whatever is no regular file behind folders, or larger than
    `limit` bytes: `read` says what is wrong with it."""
    *folders, name = os.path.relpath(inside(path), REPO.encode()).split(b"/")
    try:
        with _opened(root, folders, name) as handle:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
                return None
            with os.fdopen(os.dup(handle), "rb") as file:
                body = file.read(limit + 1)
    except OSError:
        return None
    return body if len(body) <= limit else None


_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_PATH | os.O_DIRECTORY | _NO_LINK


@contextlib.contextmanager
def _opened(root: Path, folders: Sequence[bytes], name: bytes) -> Iterator[int]:
    """Part by part: nobody can put a link in between. Neither a pipe nor a lease makes it wait."""
    with contextlib.ExitStack() as stack:
        at = os.open(root, _FOLDER)
        stack.callback(os.close, at)
        for folder in folders:
            at = os.open(folder, _FOLDER, dir_fd=at)
            stack.callback(os.close, at)
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=at)
        stack.callback(os.close, handle)
        yield handle


async def read(shell: Shell, path: bytes, limit: int) -> bytes:
    """Raises NotFound, or InvalidInput when it is no regular file or larger than `limit` bytes."""
    done = await shell(_script(_READ, inside(path), str(limit + 1)), b"", limit + 1)
    _check(done, path)
    if len(done.stdout) > limit or done.ended.truncated:
        raise InvalidInput("path", f"{_shown(path)} is larger than {limit} bytes")
    return done.stdout


async def write(shell: Shell, path: bytes, content: bytes, *, append: bool) -> None:
    """Raises InvalidInput, ResourceExhausted."""
    target = inside(path)
    if target == REPO.encode():
        raise InvalidInput("path", "is the repository itself")
    folder = target.rpartition(b"/")[0]
    done = await shell(_script(_WRITE, target, folder, "append" if append else "replace"), content, 4096)
    _check(done, path)


async def listing(shell: Shell, path: bytes, depth: int, limit: int) -> list[Entry]:
    """Raises NotFound, InvalidInput, ResourceExhausted."""
    done = await shell(_script(_LIST, inside(path), str(max(1, depth))), b"", (limit + 1) * 512 + 65_536)
    _check(done, path)
    rows = done.stdout.split(b"\0")[:-1]
    if len(rows) > limit or done.ended.truncated:
        raise ResourceExhausted(f"{_shown(path)} holds more than {limit} entries: list a part of it")
    return sorted((_entry(row) for row in rows), key=lambda e: os.fsencode(e.path))


def _entry(row: bytes) -> Entry:
    kind, size, path = row.split(b" ", 2)
    name = _KINDS.get(kind, "other")
    relative = path.removeprefix(REPO.encode() + b"/")
    return Entry(path=os.fsdecode(relative), kind=name, size=int(size) if name == "file" else 0)


def _script(text: str, *args: str | bytes) -> Sequence[str | bytes]:
    return ["sh", "-c", text, "files", *args]


def _check(done: Output, path: bytes) -> None:
    if done.code == 0:
        return
    if done.ended.end.limit:
        raise ResourceExhausted(f"{_shown(path)}: the {done.ended.end.limit} limit was hit")
    if done.code == _MISSING:
        raise NotFound(f"{_shown(path)} does not exist")
    if done.code == _OUTSIDE:
        raise InvalidInput("path", f"{_shown(path)} leaves the repository through a link")
    if done.code == _FULL:
        raise ResourceExhausted(f"{_shown(path)}: no room, or the file would be too large")
    raise InvalidInput("path", f"{_shown(path)} cannot be used so: {done.complaint}")


def _shown(path: bytes) -> str:
    return ascii(path[:200])[1:]

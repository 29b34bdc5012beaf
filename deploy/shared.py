"""What makers of images and of the test bed share: programs that must succeed, the cache, keys of content, a lock."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from folkmoot.runtime.settings import inherited

CACHE = "FOLKMOOT_TESTBED"
"""The variable that names the cache."""


class Failed(Exception):
    """One sentence: what did not work, and what would help."""


def cache() -> Path:
    """Where everything lies that is made once and kept; outside the repository."""
    named = inherited(CACHE).get(CACHE)
    return Path(named).resolve() if named else Path.home() / ".cache/folkmoot-testbed"


def run(*argv: object, cwd: Path | None = None, extra: Mapping[str, str] | None = None) -> str:
    """Standard output of a program, with variables besides our own. Raises Failed with all it said."""
    words = [str(word) for word in argv]
    environment = {**os.environ, **(extra or {})}  # noqa: TID251 -- a child gets what we have
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    except FileNotFoundError as error:
        raise Failed(f"{error.filename} is missing") from error
    if done.returncode:
        raise Failed(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def needs(programs: Iterable[str], purpose: str) -> None:
    """Raises Failed naming every one that is not on PATH."""
    if missing := [name for name in programs if not shutil.which(name)]:
        raise Failed(f"{', '.join(missing)} not found on PATH: needed to {purpose}")


def key(*parts: str | bytes) -> str:
    """16 hexadecimal digits that change when one of the parts does."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:16]


def tree_key(folder: Path, *more: str) -> str:
    """`key` of all files below `folder`, with their names, and of `more`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return key(*more, *(part for p in files for part in (str(p.relative_to(folder)), p.read_bytes())))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One holder at a time on this machine; the others wait. The kernel lets go of it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

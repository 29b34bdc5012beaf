"""Sandboxes that outlived their runner: a bwrap that is killed while it sets up leaves a half-made child, for ever."""

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path


def mark(folder: Path) -> str:
    """Stands in the arguments of every sandbox over what lies in `folder`, and tells nothing of its path."""
    return f"moot-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:20]}"


def end(folder: Path) -> int:
    """Kill the sandboxes of `folder`; says how many. Whoever asks has the folder for himself and has started none yet,
    so each of them is a dead runner's."""
    wanted = os.fsencode(mark(folder))
    found = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _is_marked(entry, wanted)]
    for entry in found:
        with suppress(ProcessLookupError):
            os.kill(int(entry.name), signal.SIGKILL)
    return len(found)


def _is_marked(entry: Path, wanted: bytes) -> bool:
    try:
        argv = (entry / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return Path(os.fsdecode(argv[0])).name == "bwrap" and wanted in argv

"""Sandboxes that outlived their runner: a bwrap that is killed while it sets up leaves a half-made child, for ever."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def end(folder: Path) -> int:
    """Kill sandboxes over what lies in `folder`; says how many. Whoever asks has the folder for himself and has started
    none yet, so each of them is a dead runner's."""
    found = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _is_sandbox(entry, folder)]
    for entry in found:
        with suppress(ProcessLookupError):
            os.kill(int(entry.name), signal.SIGKILL)
    return len(found)


def _is_sandbox(entry: Path, folder: Path) -> bool:
    try:
        argv = (entry / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    inside = os.fsencode(folder) + b"/"
    return Path(os.fsdecode(argv[0])).name == "bwrap" and any(part.startswith(inside) for part in argv)

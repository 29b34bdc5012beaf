"""What the runner and `pod/run.py` say to each other. Pure: bytes in, bytes out."""

import errno
import os
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import msgspec

from folkmoot.kernel.errors import FolkmootError, InvalidInput
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.runner.command import REPO, Command, Ended
from folkmoot.runner.kubernetes.pod import look, reach
from folkmoot.runner.local import seccomp
from folkmoot.runner.versions import shadow
from folkmoot.runner.versions.seen import Ask
from folkmoot.runtime.workspace.port import WorkspaceLost

PASSED, BEGUN, STDOUT, STDERR, REFUSED, SEEN, LAST = b"G", b"B", b"O", b"E", b"R", b"V", b"X"
_LETTERS = frozenset({PASSED, BEGUN, STDOUT, STDERR, REFUSED, SEEN, LAST})
_HEAD = struct.Struct(">cI")
_FRAME_BYTES = 1 << 20
"""More is in no frame of ours."""
_LOOK_FILES, _LOOK_S = 50_000, 1.0
"""What a look into a repository may take."""
_SIGNALS = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 24, 25, 31})
"""As everywhere: 128+n says signal n."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one command and all its descendants together."""

    processes: int
    memory_bytes: int
    """Resident."""
    disk_bytes: int
    """Of `charged`."""
    charged: tuple[str, ...]
    tmp_bytes: int
    """Of `tmp`."""
    tmp: tuple[str, ...]
    open_files: int
    file_bytes: int


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """What the watcher adds to the exit status."""

    limit: str
    truncated: bool
    signal: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why the command could not be begun."""

    errno: int
    text: str


def order(command: Command, limits: Limits, environment: Mapping[str, str], ask: Ask | None = None) -> bytes:
    """All that the watcher reads before it begins, the command's standard input last. `ask`: what it is to look for in
    the repository when the command is over."""
    body = ascii(
        {
            "argv": [os.fsdecode(part) for part in command.argv],
            "cwd": os.fsdecode(command.cwd),
            "environment": {**environment, **command.environment},
            "stdin": len(command.stdin),
            "timeout_s": command.timeout_s,
            "output_limit": command.output_limit,
            "limits": {
                "processes": limits.processes,
                "memory_bytes": limits.memory_bytes,
                "disk_bytes": limits.disk_bytes,
                "tmp_bytes": limits.tmp_bytes,
            },
            "look": None if ask is None else look_order(ask),
            "charged": limits.charged,
            "tmp": limits.tmp,
            "filters": _filters(),
            "rlimits": {
                "RLIMIT_NOFILE": limits.open_files,
                "RLIMIT_FSIZE": limits.file_bytes,
                "RLIMIT_CORE": 0,
                "RLIMIT_MEMLOCK": 64 * 1024,
            },
        }
    )
    return _long(body) + command.stdin


def gate(asked: Mapping[str, object], *, patience_s: float, pause_s: float) -> bytes:
    """An order before the first one: look by `pod/reach.py` what can be reached, until that is nothing or patience is
    over."""
    told = {"program": _source(reach), "asked": asked, "patience_s": patience_s, "pause_s": pause_s}
    return _long(ascii({"gate": told}))


def _long(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode("ascii")


def look_order(ask: Ask) -> dict[str, object]:
    """For `pod/look.py`, with its program."""
    return {
        "program": _source(look),
        "root": REPO,
        **msgspec.structs.asdict(ask),
        "files": _LOOK_FILES,
        "seconds": _LOOK_S,
        "folders": shadow.FOLDERS,
        "endings": shadow.ENDINGS,
        "beginnings": shadow.BEGINNINGS,
    }


@cache
def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text("utf-8")


@cache
def _filters() -> dict[str, bytes]:
    """By what the pod's machine calls itself: nodes may be of another kind than the runner."""
    return {machine: seccomp.program(machine) for machine in seccomp.MACHINES}


class Frames:
    """Puts together what came in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def fed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Letter and body of each frame that is complete now. Raises WorkspaceLost for what is none."""
        self._held += data
        whole: list[tuple[bytes, bytes]] = []
        at = 0
        while len(self._held) - at >= _HEAD.size:
            letter, size = _HEAD.unpack_from(self._held, at)
            if letter not in _LETTERS or size > _FRAME_BYTES:
                raise WorkspaceLost("the watcher of a command is no watcher of ours: does the image hold python3?")
            if len(self._held) - at - _HEAD.size < size:
                break
            whole.append((letter, bytes(self._held[at + _HEAD.size : at + _HEAD.size + size])))
            at += _HEAD.size + size
        del self._held[:at]
        return whole


def judged(code: int, last: Farewell, seconds: float) -> Ended:
    """The exit status as the cluster says it; the watcher's last word only says which limit or signal stands behind a
    status that is a failure anyway."""
    if last.limit and code != 0:
        return Ended(end=CommandEnd(exit_code=None, limit=last.limit, duration_s=seconds), truncated=last.truncated)
    if code - 128 in _SIGNALS:
        return Ended(end=CommandEnd(exit_code=None, signal=code - 128, duration_s=seconds), truncated=last.truncated)
    return Ended(end=CommandEnd(exit_code=code, duration_s=seconds), truncated=last.truncated)


def refusal(refused: Refused, command: Command) -> FolkmootError | None:
    """None where a shell would go on with 126 or 127."""
    if refused.errno == errno.E2BIG:
        return InvalidInput("argv", "is longer than this machine takes, by itself or with the environment")
    if refused.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return None
    return WorkspaceLost(f"{os.fsdecode(command.argv[0])[:200]!r} could not be begun: {refused.text}")


class Status(msgspec.Struct, frozen=True):
    """What comes on the error channel of an exec: a `Status` of the API."""

    status: str = ""
    reason: str = ""
    message: str = ""
    details: "Details | None" = None


class Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class Details(msgspec.Struct, frozen=True):
    causes: tuple[Cause, ...] = ()


_UNREACHED = ("dial tcp", "error dialing backend", "unable to upgrade connection")


def unreached(body: bytes) -> str:
    """What the API server says of a node that took no connection for an exec, or whose kubelet, just started, does not
    know the pod yet: then nothing of it has happened there. Empty for all else."""
    try:
        said = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        return ""
    refused = said.status == "Failure" and any(words in said.message for words in _UNREACHED)
    return said.message[:500] if refused else ""


def exit_code(body: bytes) -> int:
    """Of the error channel. Raises WorkspaceLost when the cluster could not run it to an end."""
    try:
        said = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError as error:
        raise WorkspaceLost("the cluster did not say how the command ended") from error
    if said.status == "Success":
        return 0
    for cause in said.details.causes if said.details else ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message)
    raise WorkspaceLost(f"the cluster could not run the command: {said.message[:500] or said.reason}")

"""Where set-ups are run: a port, with one implementation for each kind of place; and the words for those that fail."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from folkmoot.kernel.errors import FailedPrecondition
from folkmoot.runner.command import Ended
from folkmoot.runner.environment import scripts
from folkmoot.runner.environment.hosts import Host
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runtime.redact import redacted
from folkmoot.runtime.settings import RunnerSettings

KEPT_BYTES = 64 * 1024
"""Of what a set-up says, the last."""
FINISH_S = 300.0
"""For putting in order what it left."""
_TOLD_CHARS = 300
"""Of whole lines: the last one says what is wrong, and whoever is told cuts what is long at its end."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an environment that is whole."""

    venv: bool
    """It has a Python environment."""
    bytes: int
    """On the runner's disk."""
    seconds: float
    """That its set-up took."""
    digest: str = ""
    """SHA-256 of it, where it is kept as one file."""
    unpacked_bytes: int = 0
    """On disk, where it is used."""
    path: str = ""
    """PATH there without it, where that is not this machine's."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a set-up."""

    wanted: Wanted
    contents: tuple[bytes, ...]
    """Of the files that it is given, in their order."""
    allowed: frozenset[Host]
    private: frozenset[str]
    """Names among them that may lead to addresses of this network."""


class Ground(Protocol):
    """A kind of place that set-ups are run in."""

    result: str
    """What is kept, by its name in an environment's folder."""

    async def platform(self, wanted: Wanted) -> str | None:
        """All that a set-up sees there besides what was `wanted`, as one word; None where nothing has to be made.

        Raises FailedPrecondition("environment") for what cannot be had there, Unavailable.
        """
        ...

    async def make(self, draft: Path, errand: Errand) -> Made:
        """Fill `draft`, an empty folder of ours, up to `result`; what it has beside that is gone.

        Raises FailedPrecondition("environment") with the last lines of what the set-up said, WorkspaceLost,
        Unavailable.
        """
        ...


class Said:
    """A sink for the last of what is said."""

    def __init__(self) -> None:
        self._held = bytearray()

    async def keep(self, _: str, piece: bytes) -> None:
        self._held.extend(piece)
        del self._held[:-KEPT_BYTES]

    @property
    def last(self) -> bytes:
        return bytes(self._held)


def limits_of(settings: RunnerSettings) -> dict[str, str]:
    """What each limit is, and which setting says so; a place may have others."""
    return {
        "time": f"{settings.setup_s:g} s (FOLKMOOT_RUNNER_SETUP_S)",
        "disk": f"{settings.setup_disk_bytes} bytes (FOLKMOOT_RUNNER_SETUP_DISK_BYTES)",
        "memory": f"{settings.memory_bytes} bytes (FOLKMOOT_RUNNER_MEMORY_BYTES)",
        "processes": f"{settings.processes} (FOLKMOOT_RUNNER_PROCESSES)",
    }


def failed(limits: Mapping[str, str], ended: Ended, said: bytes, refused: Sequence[str]) -> FailedPrecondition:
    """`refused` are the connections that it was not allowed."""
    end = ended.end
    if end.signal == signal.SIGXFSZ:
        end = msgspec.structs.replace(end, limit="disk")
    if end.limit:
        how = f"was ended by its {end.limit} limit: {limits.get(end.limit, '')}"
    else:
        how = f"failed with {f'exit code {end.exit_code}' if end.signal is None else f'signal {end.signal}'}"
    denied = f"; refused: {'; '.join(refused)[:400]}" if refused else ""
    told = last(said) or "nothing"
    return FailedPrecondition("environment", f"the set-up {how} after {end.duration_s:.1f} s{denied}; it said: {told}")


def unfinished(ended: Ended, said: bytes) -> FailedPrecondition | None:
    """What is wrong with what a set-up left, where that has words of its own."""
    if ended.end.exit_code == scripts.COPY:
        return FailedPrecondition(
            "environment",
            f"the set-up installs the repository itself as a copy ({last(said)}), and tests would run that and "
            "no candidate: install its dependencies only, or install it editable (`pip install -e .`)",
        )
    if ended.end.exit_code == scripts.MODULES:
        return FailedPrecondition("environment", f"the set-up's node_modules cannot be kept: {last(said)}")
    return None


def last(said: bytes) -> str:
    """The last lines, for people and models: without secrets and control characters."""
    text = "".join(c for c in said.decode("utf-8", "replace") if c.isprintable() or c == "\n")
    tail = redacted(text.strip())[-_TOLD_CHARS:]
    _, begun, rest = tail.partition("\n")
    return rest if begun and len(tail) == _TOLD_CHARS else tail

"""Programs that outlive the command that started them, each known by a file with its pid and the time of its birth."""

import contextlib
import operator
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import tenacity

from deploy.shared import Failed

_LINES, _LETTERS = 10, 300
"""Of a log, and of each of its lines, in an error."""


class Processes:
    """Those of one bed."""

    def __init__(self, state: Path) -> None:
        self._pids = state / "pids"
        self._logs = state / "logs"

    def names(self) -> list[str]:
        """Of all that were started and still run."""
        return sorted(p.name for p in self._pids.glob("*") if self.pid(p.name))

    def pid(self, name: str) -> int | None:
        """Of the process that was started by that name, while it runs."""
        try:
            pid, born = (self._pids / name).read_text("utf-8").split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _born(int(pid)) == born else None

    def child(self, name: str) -> int | None:
        """Of the one child of that process: `unshare` and `nsenter` do nothing but wait for theirs."""
        pid = self.pid(name)
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split() if pid else []
        except OSError:
            return None
        return int(children[0]) if children else None

    def start(self, name: str, *argv: object) -> None:
        """Unless it runs. Its output goes to a log of that name."""
        if self.pid(name):
            return
        for folder in (self._pids, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        (self._pids / name).write_text(f"{process.pid} {_born(process.pid)}", "utf-8")
        process.returncode = 0  # it is nobody's to wait for

    def forget(self, name: str) -> None:
        (self._pids / name).unlink(missing_ok=True)

    def said(self, name: str) -> str:
        """The end of its log."""
        log = self._logs / f"{name}.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
        return "\n".join(line[:_LETTERS] for line in lines[-_LINES:])

    def until(self, what: str, ready: Callable[[], object], *, needs: Iterable[str], for_s: float = 240.0) -> None:
        """Wait for `ready`. Raises Failed, with a log, when a needed process has ended, or when time is up."""
        names = list(needs)

        def step() -> bool:
            if ended := [name for name in names if not self.pid(name)]:
                raise Failed(f"{ended[0]} ended before {what}; it said:\n{self.said(ended[0])}")
            return bool(ready())

        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_result(operator.not_),
            wait=tenacity.wait_fixed(0.1),
            stop=tenacity.stop_after_delay(for_s),
            retry_error_callback=lambda _: False,
        )
        if not waiting(step):
            logs = "\n".join(f"{name}:\n{self.said(name)}" for name in names)
            raise Failed(f"{what}: not within {for_s:.0f} s\n{logs}")


def _born(pid: int) -> str | None:
    """The start time in ticks; None for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def _ended(descriptor: int, sign: signal.Signals, within_s: float) -> bool:
    signal.pidfd_send_signal(descriptor, sign)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def send(pid: int, sign: signal.Signals) -> None:
    """That signal, and return once the process has ended; 20 s are enough. Raises Failed."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if not _ended(descriptor, sign, 20.0):
                raise Failed(f"process {pid} does not end by {sign.name}")
        finally:
            os.close(descriptor)

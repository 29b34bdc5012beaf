"""Ctrl-C while `moot solve` starts a platform of its own, or `moot up` one that is to stay."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.fixtures.platform import BIN, Moot
from tests.fixtures.small import SMALL
from tests.repositories import Repo

NOWHERE = "http://127.0.0.1:9/v1"
END_S = 8.0
"""It is within 3 s where nobody else works; who waited for the processes to end in peace needed more than ten."""


def of(data: Path) -> list[str]:
    """Pids of processes that know that data folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(data).encode() in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["solve", "x", "--repo", "repo", "--model-url", NOWHERE, "--model", "m"], "the log is up"),
        (["up"], "orchestrator is up"),
    ],
)
def test_ctrl_c_while_the_platform_starts_leaves_nothing_running(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    """Exit code 5 and one word; the log ends in peace, all else at once, and Ray's files are gone too."""
    Repo(tmp_path / "repo").commit(SMALL)
    command = Moot(tmp_path / "data")
    argv = [str(BIN / "moot"), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=command.env, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        assert any(said.strip() == line for said in process.stderr)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        took = time.monotonic() - began
    assert (process.returncode, out, err.strip().splitlines()[-1]) == (5, "", "moot: interrupted")
    assert took < END_S
    assert of(command.data) == []
    assert not any(Path(note.read_text()).exists() for note in command.data.glob("ray/session"))
    assert not (command.data / "platform.json").exists()

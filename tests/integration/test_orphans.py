"""What a killed runner left running is ended by the next."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from folkmoot.runner import orphans


@contextmanager
def _sandbox(over: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Looks from outside like a bwrap over that folder."""
    script = "import signal; print(1, flush=True); signal.pause()"
    argv = ["bwrap", "-c", script, "--bind", str(over / "repo"), "/workspace"]
    with subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_only_sandboxes_over_the_own_folder_are_ended(tmp_path: Path) -> None:
    """Another runner's go on, also where its folder's name begins like ours."""
    mine, other = tmp_path / "data", tmp_path / "data-2"
    with _sandbox(mine / "ws-1") as dead, _sandbox(other / "ws-1") as alive:
        assert orphans.end(mine) == 1
        assert dead.wait(10) == -9
        assert alive.poll() is None
        assert orphans.end(mine) == 0

"""The floor: the processes that the platform starts (git, sandbox, tests), run bare by blocking calls.

The sandbox is the runner's own argv with its mounts, so that both sides pay for the same namespaces.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from folkmoot.runner.checkout import BASE
from folkmoot.runner.command import REPO, Command
from folkmoot.runner.local import sandbox, seccomp
from folkmoot.runner.local.launcher import HOME
from folkmoot.runner.local.sandbox import Limits, Mount, Profile
from folkmoot.runner.local.toolchain import Toolchains, environment
from folkmoot.runtime.settings import inherited
from tests.bench.stage import CHECK, TEST

_GIT = inherited("PATH") | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
_WHO = {f"GIT_{r}_{p}": v for r in ("AUTHOR", "COMMITTER") for p, v in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))}
GIT = _GIT | _WHO
_LIMITS = Limits(processes=512, open_files=4_096, file_bytes=2**29, memory_bytes=2**32, disk_bytes=2**31)


def git(folder: Path, *args: str, stdin: bytes = b"") -> bytes:
    argv = ["git", f"--git-dir={folder}", *args]
    return subprocess.run(argv, env=_GIT | _WHO, cwd="/", input=stdin, capture_output=True, check=True).stdout


class Bare:
    """One repository, its mirror, and sandboxes over folders made for it."""

    def __init__(self, folder: Path, repository: Path, toolchains: Toolchains) -> None:
        self._folder = folder
        self._repository = repository
        self._toolchains = toolchains
        self._mirror = folder / "base.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(self._mirror)], env=_GIT, check=True)
        self._base = git(self._mirror, "rev-parse", "HEAD").decode().strip()

    # --- one workspace ------------------------------------------------------------------------------------------

    def clone(self) -> Path:
        """A shared clone, as `git clone` makes it."""
        place = self._folder / uuid4().hex
        argv = ["git", "clone", "-q", "--shared", str(self._mirror), str(place / "repo")]
        subprocess.run(argv, env=_GIT, check=True)
        (place / "home").mkdir()
        return place

    def run(self, place: Path, argv: Sequence[str], stdin: bytes = b"", *, may_fail: bool = False) -> bytes:
        """One command in one sandbox."""
        status, their_status = os.pipe()
        filter_ = os.memfd_create("seccomp")
        os.write(filter_, seccomp.program(platform.machine()))
        os.lseek(filter_, 0, os.SEEK_SET)
        theirs = (their_status, filter_)
        try:
            command = Command(argv=tuple(argv), environment=_WHO)
            full = sandbox.arguments(self._profile(place), command, status=their_status, filter_=filter_)
            done = subprocess.run(
                full, env={}, cwd="/", input=stdin, capture_output=True, check=not may_fail, pass_fds=theirs
            )
            return done.stdout
        finally:
            for descriptor in (status, *theirs):
                os.close(descriptor)

    def remove(self, place: Path) -> None:
        shutil.rmtree(place)

    def _profile(self, place: Path) -> Profile:
        return Profile(
            bwrap=self._toolchains.bwrap,
            mounts=(
                *self._toolchains.mounts,
                Mount(kind="ro", source=str(self._mirror), target=BASE),
                Mount(kind="rw", source=str(place / "home"), target=HOME),
                Mount(kind="rw", source=str(place / "repo"), target=REPO),
            ),
            environment=environment(self._toolchains),
            limits=_LIMITS,
            charged=place,
        )

    # --- one deliberation ---------------------------------------------------------------------------------------

    def deliberation(self, agents: int) -> None:
        """What a deliberation starts, in its order, side by side where the platform is: agents and base's own runs."""
        self._prepared()
        with ThreadPoolExecutor(agents + 3) as threads:
            runs = [threads.submit(self._examined, self._base, line) for line in (TEST, TEST, CHECK)]
            commits = list(threads.map(self._agent, range(agents)))
            for run in runs:
                run.result()
        git(self._mirror, "update-ref", f"refs/heads/moot/{uuid4().hex}", commits[0])

    def _prepared(self) -> None:
        """Of a base that is known already only this is asked."""
        subprocess.run(["git", "ls-remote", str(self._repository)], env=_GIT, capture_output=True, check=True)

    def _agent(self, number: int) -> str:
        place = self.furnished()
        self.run(place, ["git", "reset", "-q", "--hard"])
        self.run(place, ["cat", "greeting.txt"])
        self.run(place, ["sh", "-c", "cat >greeting.txt"], f"the moot greets, {number} {uuid4().hex}\n".encode())
        self.run(place, ["sh", "-c", "git add --all && git commit -q -m greet"])
        bundle = self.run(place, ["git", "bundle", "create", "-q", "-", "HEAD", f"^{self._base}"])
        self.remove(place)
        commit = self._admitted(bundle)
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda line: self._examined(commit, line), (TEST, CHECK)))
        return commit

    def furnished(self, commit: str = "") -> Path:
        """As the runner does it: a `.git` by hand, nothing checked out; at base, unless told."""
        place = self._folder / uuid4().hex
        for part in ("home", "repo/.git/objects/info", "repo/.git/refs/heads"):
            (place / part).mkdir(parents=True)
        inside = place / "repo/.git"
        (inside / "objects/info/alternates").write_text(f"{BASE}/objects\n", "utf-8")
        (inside / "refs/heads/work").write_text(f"{commit or self._base}\n", "utf-8")
        (inside / "HEAD").write_text("ref: refs/heads/work\n", "utf-8")
        return place

    def _admitted(self, bundle: bytes) -> str:
        """What git reads of a candidate at the border, in quarantine's stead in the mirror itself."""
        header, _, pack = bundle.partition(b"\n\n")
        tip = header.rpartition(b"\n")[2].split(b" ")[0].decode()
        git(self._mirror, "index-pack", "--strict", "--stdin", "--fix-thin", stdin=pack)
        for form in ("--raw", "-p"):
            git(self._mirror, "diff-tree", "-r", form, self._base, tip)
        git(self._mirror, "cat-file", "--batch", stdin=f"{tip}:greeting.txt\n".encode())
        git(self._mirror, "update-ref", f"refs/moot/{tip}", tip)
        span = f"{tip}\n^{self._base}\n".encode()
        git(self._mirror, "pack-objects", "-q", "--stdout", "--revs", "--thin", stdin=span)
        return tip

    def _examined(self, commit: str, line: str) -> None:
        """Check-out and command in one sandbox."""
        place = self.furnished(commit)
        self.run(place, ["sh", "-c", f"git reset -q --hard && {line}"], may_fail=True)
        self.remove(place)

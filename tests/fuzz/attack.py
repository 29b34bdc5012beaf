"""The attacks, one function for each layer of the border: an input in, an AssertionError or a stray exception out where
the border does not hold.

`header` and `entry` are pure functions over bytes. `Stand.admit` is the whole import through the real git, and through
a mirror like any other.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal
from folkmoot.runner.border import bundle as bundles
from folkmoot.runner.border.entries import new_file, raw_entries, shown
from folkmoot.runner.border.quarantine import header_of
from folkmoot.runner.border.tree import forbidden, link_escapes
from folkmoot.runner.border.verdict import TurnedBack
from folkmoot.runner.git import Git
from folkmoot.runtime.settings import RunnerSettings
from tests.fuzz import tripwire
from tests.fuzz.names import leads_out, taken_for_git
from tests.repositories import AGENT, TASK, Repo, mirrors

SIZE = 2_000_000
MODES = {"100644", "100755", "120000"}
_TOML = "[limits]\nfiles = 20\ndiff_lines = 2000\n"


def header(content: bytes) -> bool:
    """Whether it was let on; what was let on says the same when it is written and read again."""
    try:
        found = header_of(content, size=SIZE, prerequisites=2)
    except TurnedBack:
        return False
    assert content.endswith(found.pack)
    assert 1 <= len(found.prerequisites) <= 2
    for oid in (found.tip, *found.prerequisites):
        assert len(oid) in {40, 64}
        assert set(oid) <= set("0123456789abcdef")
    again = bundles.parsed(bundles.written(found.ref, found.tip, found.prerequisites[0], found.pack))
    assert (again.tip, again.ref, again.pack) == (found.tip, found.ref, found.pack)
    return True


def entry(path: bytes, mode: str, target: bytes) -> bool:
    """Whether a new entry may come in; what may is no way out and no repository, by another reading of the rules."""
    new = msgspec.structs.replace(new_file(path), new_mode=mode)
    assert shown(path).isprintable()
    if forbidden(new) or (mode == "120000" and link_escapes(path, target)):
        return False
    check_fit(path, mode, target)
    return True


def check_fit(path: bytes, mode: str, target: bytes) -> None:
    """What came in."""
    assert mode in MODES, mode
    parts = path.split(b"/")
    assert not set(parts) & {b"", b".", b".."}, path
    assert not any(taken_for_git(part) for part in parts), path
    assert not any(byte < 32 or byte == 127 for byte in path), path
    assert mode != "120000" or not leads_out(path, target), (path, target)


class Stand:
    """A prepared repository with things around it that hostile paths lead to."""

    def __init__(self, top: Path, run: asyncio.Runner) -> None:
        self._top = top
        self._run = run
        self._round = 0
        (top / "secret").mkdir()
        (top / "secret/key").write_text("nobody's\n")
        self.origin = Repo(top / "origin")
        self.origin.commit({"app.py": "x = 1\n", "src/a.py": "a = 1\n" * 50, ".moot.toml": _TOML}, "first")
        self.folder = top / "mirrors"
        self._mirrors, _ = mirrors(self.folder, RunnerSettings(bundle_bytes=SIZE, file_bytes=200_000, commits=5))
        self.base: PreparedBase = run.run(self._mirrors.prepare(str(self.origin.folder), "HEAD"))
        self._store = self.folder / self.base.repository_id / "candidates.git"
        self._before = self._look()

    @property
    def rows(self) -> tuple[tuple[str, bytes, bytes], ...]:
        """Of base's root."""
        return tuple((mode, name, bytes.fromhex(oid)) for mode, name, oid in self.origin.rows(self.base.commit))

    def seeds(self) -> list[bytes]:
        """Sound bundles of several kinds."""
        repo, base = self.origin, self.base.commit
        one = repo.bundle(repo.commit({"app.py": "x = 2\n"}), base)
        delta = repo.bundle(repo.commit({"src/a.py": "a = 1\n" * 49 + "b = 2\n"}), base)
        several = repo.bundle(repo.commit({f"new/{n}.txt": f"{n}\n" for n in range(5)}), base)
        repo.git("reset", "-q", "--hard", base)
        self._before = self._look()
        return [one, delta, several]

    def admit(self, content: bytes) -> Admission | Refusal:
        """Nothing but its own ref and objects is new in the store after an admission, nothing at all after a
        refusal."""
        self._round += 1
        verdict = self._run.run(self._admit(content))
        after, before = self._look(), self._before
        assert after.around == before.around
        assert after.quarantined == ()
        assert tripwire.children() == []
        fresh = {name: oid for name, oid in after.refs.items() if before.refs.get(name) != oid}
        if isinstance(verdict, Admission):
            assert fresh == {f"refs/moot/{TASK}/{AGENT}/{self._round}": verdict.commit}
            self._run.run(self._check(verdict))
        else:
            assert verdict.reason
            assert verdict.reason.isprintable()
            assert (fresh, after.objects) == ({}, before.objects)
        assert before.refs.keys() <= after.refs.keys()
        self._before = after
        return verdict

    async def _admit(self, content: bytes) -> Admission | Refusal:
        return await self._mirrors.admit(
            task_id=TASK, agent_id=AGENT, round_=self._round, base=self.base, bundle=content, message="Mend it"
        )

    async def _check(self, admission: Admission) -> None:
        """All that is new in the commit, as git lists it."""
        git = Git(self._store)
        raw = await git.out("diff-tree", "-r", "--raw", "-z", "--no-renames", self.base.commit, admission.commit)
        for found in raw_entries(raw):
            if not found.deleted:
                check_fit(found.path, found.new_mode, await git.out("cat-file", "blob", found.new_object))

    def _look(self) -> tripwire.State:
        return tripwire.look(self._top, self._store, self.folder / "quarantine")


@contextlib.contextmanager
def stand(top: Path) -> Iterator[Stand]:
    """On an empty folder."""
    with asyncio.Runner() as run:
        yield Stand(top, run)

"""The shadow repository of a workspace that is seen from inside only: it lies with the runner, and never has files.

What agents made comes into it as the contents of files and their names, by git's own `fast-import`: no rule, filter or
configuration of theirs is read but what git is to leave, and that by a git that sees nothing but these rules.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import ResourceExhausted, Unavailable
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import refs, store
from folkmoot.runner.basetree import blobs
from folkmoot.runner.git import Git, GitFailed, Memory, last_line
from folkmoot.runner.versions import names, shadow
from folkmoot.runner.versions.names import Difference, Draft, Held

_STEPS = "refs/heads/steps"
_WHO = "Folkmoot <moot@localhost>"
_STATE = "state"
_TREE_BYTES = 64 * 1024**2
_ODD = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
_RULES_S = 5.0
"""Patterns of an agent's may take their time."""
_PLAIN = b"./"
"""In front of a name: one that begins with a colon would be read as something else."""
_NOT_ONE = 1
"""Exit status of `git check-ignore` where nothing is ignored."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen last, as far as it is kept; in a file, since hundreds of workspaces are idle most of the time."""

    since: int
    digest: bytes
    steps: int
    """Commits since the beginning."""
    taken: int
    """Bytes of content that came in all."""
    names: dict[bytes, Held]
    rules: dict[bytes, bytes]


class Ledger:
    def __init__(self, place: Path, commit: CommitId) -> None:
        """`place` is a folder of ours, with a history that begins at `commit`."""
        self.git = Git(place / "steps.git")
        self.commit = commit
        self._place = place
        self._sha256 = len(commit) == 64

    def make(self, lender: Path) -> None:
        """Anew. `lender` is a bare repository that has the commit."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        folder, object_format = self.git.folder, "sha256" if self._sha256 else "sha1"
        store.make_bare(folder, borrows=str((lender / "objects").absolute()), object_format=object_format)
        store.share_shallow(lender, folder)
        (folder / "info/exclude").write_text(shadow.EXCLUDED, "utf-8")
        (folder / _STEPS).write_text(f"{self.commit}\n", "ascii")
        (folder / "HEAD").write_text(f"ref: {_STEPS}\n", "ascii")

    # --- what was seen

    def load(self) -> State | None:
        """None where there is none that can be read."""
        try:
            return msgspec.msgpack.decode((self._place / _STATE).read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, state: State) -> None:
        draft = self._place / f".{_STATE}"
        draft.write_bytes(msgspec.msgpack.encode(state))
        draft.replace(self._place / _STATE)

    def object_of(self, content: bytes) -> str:
        return names.object_id(content, sha256=self._sha256)

    async def tree(self) -> tuple[dict[bytes, Held], dict[bytes, bytes]]:
        """Files of the commit, and those that say what git leaves. Raises GitFailed."""
        rows = (await self.git.out("ls-tree", "-r", "-z", self.commit, limit=_TREE_BYTES)).split(b"\0")[:-1]
        found: dict[bytes, Held] = {}
        for row in rows:
            head, _, path = row.partition(b"\t")
            mode, _, object_id = head.decode("ascii").split(" ")
            if mode in names.KINDS:
                found[path] = Held(names.KINDS[mode], 0, object_id)
        ruling = [path for path in found if names.is_rules(path)][: names.RULES_FILES]
        bodies = await blobs(self.git, [found[path].object for path in ruling])
        return found, dict(zip(ruling, bodies, strict=True))

    async def left(self, paths: Sequence[bytes], rules: Mapping[bytes, bytes]) -> frozenset[bytes]:
        """Those that git would leave. Raises GitFailed."""
        if not paths:
            return frozenset()
        with tempfile.TemporaryDirectory(prefix="rules-", dir=self._place) as folder:
            _lay(Path(folder), rules)
            done = await self.git.run(
                *(f"--work-tree={folder}", "check-ignore", "--no-index", "-z", "--stdin"),
                stdin=b"".join(_PLAIN + path + b"\0" for path in paths),
                timeout_s=_RULES_S,
                memory=Memory(),
            )
        if done.code not in (0, _NOT_ONE):
            raise GitFailed("check-ignore", last_line(done.stderr) or f"exit {done.code}")
        return frozenset(path.removeprefix(_PLAIN) for path in done.stdout.split(b"\0")[:-1])

    # --- steps

    async def add(self, what: str, changes: Difference, draft: Draft) -> None:
        """A commit. Raises GitFailed."""
        stream = b"".join(_stream(what, changes, draft.names, draft.contents))
        await self.git.out("fast-import", "--quiet", stdin=stream)

    async def exported(self, limit: int) -> bytes:
        """A bundle of all steps, empty where there are none. Raises ResourceExhausted for more than `limit` bytes,
        GitFailed."""
        if refs.value(self.git.folder, _STEPS) == self.commit:
            return b""
        done = await self.git.run("bundle", "create", "-q", "-", "HEAD", f"^{self.commit}", limit=limit)
        if done.truncated:
            raise ResourceExhausted(f"the versions are larger than {limit} bytes")
        if done.code != 0:
            raise Unavailable(f"git cannot pack the versions: {last_line(done.stderr)}")
        return done.stdout


def _lay(folder: Path, rules: Mapping[bytes, bytes]) -> None:
    """`folder` is empty, and nobody else's: no link is in it, and no name leads out of it. What cannot lie there, as a
    name that is too long, says nothing."""
    root = os.fsencode(folder)
    for path, body in sorted(rules.items()):
        place = os.path.join(root, path)  # noqa: PTH118 -- of bytes
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            with open(place, "xb") as file:  # noqa: PTH123
                file.write(body)
        except OSError as error:
            if error.errno not in _ODD:
                raise


def _stream(
    what: str, changes: Difference, after: Mapping[bytes, Held], bodies: Mapping[str, bytes]
) -> Iterator[bytes]:
    """As `git fast-import` reads it: lengths in front of what others wrote, and names in quotes."""
    yield f"commit {_STEPS}\ncommitter {_WHO} {int(time.time())} +0000\n".encode()
    yield _counted(what.encode("utf-8", "replace"))
    yield f"from {_STEPS}^0\n".encode()
    for path in changes.gone:
        yield b"D " + _quoted(path) + b"\n"
    for path in changes.there:
        held = after[path]
        body = bodies.get(held.object)
        source = b"inline" if body is not None else held.object.encode()
        yield b"M %s %s %s\n" % (names.MODES[held.kind].encode(), source, _quoted(path))
        if body is not None:
            yield _counted(body)
    yield b"\n"


def _counted(body: bytes) -> bytes:
    return b"data %d\n" % len(body) + body + b"\n"


def _quoted(path: bytes) -> bytes:
    plain = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + plain + b'"'

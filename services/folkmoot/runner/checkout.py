"""What a workspace's repository holds, and the fixed commands that make it so; all git here runs inside the sandbox.

A fresh `.git` is written by hand before anybody else can reach the folder: a few small files, its objects borrowed from
the mirror's read-only `base.git`.
"""

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, Unavailable
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import policy
from folkmoot.runner.sandbox import Ended

BASE = "/base.git"
"""Where the mirror's objects are inside."""
LISTING_BYTES = 256 * 1024**2

RESTORE, EXACT = 1, 2
"""Numbers of `Overlay` in the API."""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    base: CommitId
    commit: CommitId
    origin: CommitId | None = None
    """What the mirror has, where base is a decided commit on top of it; None: base."""
    overlay: int = 0
    protected: tuple[str, ...] = ()

    @property
    def below(self) -> CommitId:
        """What is there before a bundle brings the rest."""
        return self.origin or self.base


class Output(msgspec.Struct, frozen=True, kw_only=True):
    ended: Ended
    stdout: bytes
    stderr: bytes

    @property
    def code(self) -> int | None:
        return self.ended.end.exit_code

    @property
    def complaint(self) -> str:
        """The last line it said, or which limit ended it."""
        end = self.ended.end
        lines = self.stderr.decode("utf-8", "replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "")
        return said[:300] or (f"the {end.limit} limit" if end.limit else f"exit {end.exit_code}, signal {end.signal}")


Shell = Callable[[Sequence[str | bytes], bytes, int], Awaitable[Output]]
"""Runs argv in the sandbox with a standard input and a cap on its output in bytes."""


_AS_COMMITTED = "* !working-tree-encoding !ident !filter\n"
"""Where candidates are examined, no `.gitattributes` of theirs writes base's tests in another way than they are."""


def skeleton(repo: Path, objects: Path, tree: Tree) -> None:
    """`.git` of a repository on branch `work`, nothing checked out: at base, if that is there without a bundle.

    Only for a folder nobody else can reach.
    """
    git = repo / ".git"
    for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (git / part).mkdir(parents=True)
    sha256 = len(tree.base) == 64
    extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    if tree.overlay:
        (git / "info/attributes").write_text(_AS_COMMITTED, "utf-8")
    core = f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tfilemode = true\n\tbare = false\n"
    (git / "config").write_text(f"{core}[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n{extension}", "utf-8")
    (git / "objects/info/alternates").write_text(f"{BASE}/objects\n", "utf-8")
    if (objects / "shallow").is_file():
        shutil.copyfile(objects / "shallow", git / "shallow")
    (git / "refs/heads/work").write_text(f"{tree.below}\n", "utf-8")
    (git / "HEAD").write_text("ref: refs/heads/work\n", "utf-8")


_FILL = """set -e
if [ "$2" = bundle ]; then
  cat >/tmp/.bundle
  git bundle unbundle /tmp/.bundle >/dev/null
  rm /tmp/.bundle
  git update-ref refs/heads/work "$1"
fi
git reset -q --hard
go=$(git ls-files -- go.mod '*/go.mod')
if [ -n "$go" ]; then echo 1; else echo 0; fi
if [ -n "$3" ]; then
  git ls-tree -r -z --name-only --full-tree "$3"
  printf '\\000'
  git ls-tree -r -z --name-only --full-tree "$1"
fi
"""
"""After whether there is a Go module, names that end in NUL: base's, an empty one, the commit's."""


async def fill(shell: Shell, tree: Tree, bundle: bytes) -> bool:
    """Check `tree` out; `bundle` brings its commit where that is not base. Says whether Go is spoken there.

    Raises Unavailable when git fails.
    """
    over = tree.base if tree.overlay and tree.commit != tree.base else ""
    argv = ["sh", "-c", _FILL, "fill", tree.commit, "bundle" if bundle else "", over]
    done = await shell(argv, bundle, LISTING_BYTES)
    if done.code != 0 or done.ended.truncated:
        raise Unavailable(f"check-out of {tree.commit}: {done.complaint}")
    go, _, names = done.stdout.partition(b"\n")
    if over:
        entries = names.split(b"\0")
        border = entries.index(b"")
        await _overlay(shell, tree, entries[:border], entries[border + 1 : -1])
    return int(go) > 0


_OVERLAY = """set -e
cat >/tmp/.names
head -c "$2" /tmp/.names | xargs -0 -r rm -f --
tail -c "+$(($2 + 1))" /tmp/.names >/tmp/.kept
if [ -s /tmp/.kept ]; then
  git --literal-pathspecs checkout -q -f "$1" --pathspec-from-file=/tmp/.kept --pathspec-file-nul
fi
"""


async def _overlay(shell: Shell, tree: Tree, base: Sequence[bytes], mine: Sequence[bytes]) -> None:
    """Base's protected files are put back. What the candidate added of that kind goes in an exact overlay, and in
    either what would steer the run."""
    protected = policy.matcher(tree.protected)
    exact = tree.overlay == EXACT
    added = set(mine) - set(base)
    gone = _ending([p for p in added if policy.steers(p) or (exact and policy.matches(protected, p))])
    kept = _ending([p for p in base if policy.matches(protected, p)])
    if not gone + kept:
        return
    done = await shell(["sh", "-c", _OVERLAY, "overlay", tree.base, str(len(gone))], gone + kept, 4096)
    if done.code != 0:
        raise Unavailable(f"base's protected files: {done.complaint}")


def _ending(names: Sequence[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in sorted(names))


_IMPORT = """cat >/tmp/.bundle
git bundle unbundle /tmp/.bundle >/dev/null || exit 41
rm /tmp/.bundle
git cat-file -e "$1^{commit}" || exit 41
git -c core.hooksPath=/dev/null checkout -q -f -B work "$1"
"""


async def take_in(shell: Shell, bundle: bytes, commit: CommitId) -> None:
    """Raises InvalidInput when the bundle or the commit in it cannot be used."""
    done = await shell(["sh", "-c", _IMPORT, "import", commit], bundle, 4096)
    if done.code != 0:
        raise InvalidInput("bundle", done.complaint)


_EXPORT = """head=$(git rev-parse -q --verify 'HEAD^{commit}') || exit 42
[ "$head" != "$1" ] || exit 42
[ -n "$(git rev-list -n 1 HEAD "^$1")" ] || exit 42
exec git -c core.hooksPath=/dev/null bundle create -q - HEAD "^$1"
"""
_NOTHING = 42


async def bundled(shell: Shell, base: CommitId, limit: int) -> bytes:
    """Bundle of base..HEAD. Raises FailedPrecondition `no_commit`, `bundle_size` or `repository`."""
    done = await shell(["sh", "-c", _EXPORT, "export", base], b"", limit)
    if done.code == _NOTHING:
        raise FailedPrecondition("no_commit", "nothing was committed on top of base")
    if done.ended.truncated:
        raise FailedPrecondition("bundle_size", f"the commits since base are larger than {limit} bytes")
    if done.code != 0:
        raise FailedPrecondition("repository", f"git cannot pack the commits: {done.complaint}")
    return done.stdout

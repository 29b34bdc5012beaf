"""What a workspace's repository holds, and the fixed commands that make it so; all git here runs inside the sandbox.

A fresh `.git` is written by hand before anybody else can reach the folder: a few small files, its objects borrowed from
the mirror's read-only `base.git`.
"""

import functools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, Unavailable
from folkmoot.kernel.evidence import ArtifactRef, PackedFile
from folkmoot.kernel.ids import CommitId
from folkmoot.runner import policy, testfiles
from folkmoot.runner.border.entries import raw_entries
from folkmoot.runner.border.tree import unfit
from folkmoot.runner.command import REPO, Command, Ended
from folkmoot.runtime.workspace.port import Chunk, WorkspaceLost

BASE = "/base.git"
"""Where the mirror's objects are inside."""

RESTORE, EXACT = 1, 2
"""Numbers of `Overlay` in the API."""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    base: CommitId
    commit: CommitId
    origin: CommitId | None = None
    """What the mirror has, where base is a decided commit on top of it; None: base."""
    overlay: int = 0
    protected: tuple[str, ...] = ()
    exhibit: ArtifactRef | None = None
    """JSON of `PackedFile`s, laid over what the overlay left."""

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


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """All that a check-out needs besides the mirror's objects."""

    bundle: bytes = b""
    """Brings the commit where that is not there already."""
    gone: tuple[bytes, ...] = ()
    """Paths that are removed after the check-out."""
    kept: tuple[bytes, ...] = ()
    """Paths that are as base has them."""
    files: tuple[PackedFile, ...] = ()
    """Laid over, in the end."""


_matcher = functools.lru_cache(maxsize=64)(policy.matcher)


def overlaid(tree: Tree, changes: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """What is removed and what is put back, of `git diff-tree --raw -z` between base and commit.

    Base's protected files are put back. What the candidate added of that kind goes in an exact overlay, and in either
    what would steer the run.
    """
    if not tree.overlay:
        return (), ()
    protected, exact = _matcher(tree.protected), tree.overlay == EXACT
    entries = raw_entries(changes)
    added = [e.path for e in entries if e.added]
    gone = [p for p in added if policy.steers(p) or (exact and policy.matches(protected, p))]
    kept = [e.path for e in entries if not e.added and policy.matches(protected, e.path)]
    return tuple(sorted(gone)), tuple(sorted(kept))


def skeleton(repo: Path, objects: Path, tree: Tree, stock: Stock, *, borrows: str = f"{BASE}/objects") -> None:
    """`.git` of a repository on branch `work`, nothing checked out: at base, if that is there without a bundle. What
    the check-out needs lies beside it. Its objects are those of `borrows`; empty: its own.

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
    if borrows:
        (git / "objects/info/alternates").write_text(f"{borrows}\n", "utf-8")
    if (objects / "shallow").is_file():
        shutil.copyfile(objects / "shallow", git / "shallow")
    (git / "refs/heads/work").write_text(f"{tree.below}\n", "utf-8")
    (git / "HEAD").write_text("ref: refs/heads/work\n", "utf-8")
    if stock != Stock():
        _lay_in(git / _STOCK, stock)


_STOCK = "moot"
"""Folder in `.git`, gone after the check-out."""


def _lay_in(place: Path, stock: Stock) -> None:
    """Under names of our own: those of the files are hostile."""
    place.mkdir()
    named = {"bundle": stock.bundle, "gone": _ending(stock.gone), "kept": _ending(stock.kept)}
    for name, body in named.items():
        if body:
            (place / name).write_bytes(body)
    for number, file in enumerate(stock.files):
        (place / str(number)).write_bytes(file.content)
        (place / str(number)).chmod(0o755 if file.executable else 0o644)


_FILL = """set -e
commit=$1 base=$2 wishes=$3 in=.git/moot
shift 3
there() { [ -e "$1" ] || [ -L "$1" ]; }
blocked() { echo "$1" >&2; exit 43; }
{
  if [ -e $in/bundle ]; then
    git bundle unbundle $in/bundle >/dev/null
    git update-ref refs/heads/work "$commit"
  fi
  git reset -q --hard
  go=$(git ls-files -- go.mod '*/go.mod')
  if [ -e $in/gone ]; then xargs -0 rm -f -- <$in/gone; fi
  if [ -e $in/kept ]; then
    git --literal-pathspecs checkout -q -f "$base" --pathspec-from-file=$in/kept --pathspec-file-nul
  fi
  number=0
  while [ "$number" -lt "$wishes" ]; do
    path=${1#?} folder=.
    case "$path" in */*) folder=${path%/*} above=$folder ;; *) above= ;; esac
    while [ -n "$above" ]; do
      if there "$above"; then [ -d "$above" ] && [ ! -L "$above" ] || blocked "$above is no folder"; fi
      case "$above" in */*) above=${above%/*} ;; *) above= ;; esac
    done
    if there "$path"; then
      case "$1" in ="$path") blocked "$path is there already" ;; esac
      rm -rf -- "$path" || exit 43
    fi
    [ -d "$folder" ] || mkdir -p -- "$folder" || exit 43
    mv -- "$in/$number" "$path" || exit 43
    number=$((number + 1))
    shift
  done
  if [ -d $in ]; then rm -rf $in; fi
} </dev/null
if [ -n "$go" ]; then echo 1; else echo 0; fi
if [ $# -gt 0 ]; then exec "$@"; fi
"""
"""Everything before any foreign code runs: what it says and how it fails is ours, up to the end of the one line that it
writes. A file that is laid over goes through no link; it replaces what is there where its path comes behind `+`, and
not where it comes behind `=`."""
_BLOCKED = 43
_SAID = len(b"0\n")


def _filling(tree: Tree, stock: Stock) -> list[str | bytes]:
    """argv that checks `tree` out, from what `skeleton` laid there, and then becomes the argv behind it."""
    return ["sh", "-c", _FILL, "fill", tree.commit, tree.base, str(len(stock.files)), *_wishes(stock.files)]


def behind(tree: Tree, stock: Stock, command: Command) -> Command:
    """`command` behind the check-out, heard by `filled`. Raises InvalidInput for one that begins elsewhere than at the
    root, and for an exhibit with names that cannot be."""
    if command.cwd not in (REPO, REPO.encode()):
        raise InvalidInput("cwd", "the first command makes the check-out, and runs at the repository's root")
    return msgspec.structs.replace(
        command,
        argv=(*_filling(tree, stock), *command.argv),
        output_limit=command.output_limit + _SAID,
    )


async def fill(shell: Shell, tree: Tree, stock: Stock) -> bool:
    """Check `tree` out. Says whether Go is spoken there.

    Raises FailedPrecondition("exhibit") when a file cannot lie where it should, Unavailable when git fails.
    """
    done = await shell(_filling(tree, stock), b"", 4096)
    if done.code != 0 or done.ended.truncated:
        raise _failed(done)
    return int(done.stdout) > 0


async def filled(parts: AsyncIterator[Chunk | Ended]) -> list[Chunk]:
    """Hears what `behind` made until the check-out is over. Answers what of the rest has come with
    that. Raises what `fill` does, WorkspaceLost."""
    out = err = b""
    async for part in parts:
        if isinstance(part, Ended):
            raise _failed(Output(ended=part, stdout=out, stderr=err))
        if part.stream == "stdout":
            out += part.data
        else:
            err += part.data
        _, ended, rest = out.partition(b"\n")
        if ended:
            return [Chunk(stream=name, data=data) for name, data in (("stdout", rest), ("stderr", err)) if data]
    raise WorkspaceLost("the command vanished")


def _failed(done: Output) -> FailedPrecondition | Unavailable:
    if done.code == _BLOCKED:
        return FailedPrecondition("exhibit", done.complaint)
    return Unavailable(f"check-out: {done.complaint}")


def _wishes(files: Sequence[PackedFile]) -> Iterator[bytes]:
    """Only what is a test by its path may take the place of another file. Raises InvalidInput("exhibit")."""
    for file in files:
        path = file.path.encode("utf-8", "surrogateescape")
        if reason := unfit(path):
            raise InvalidInput("exhibit", reason)
        yield (b"+" if testfiles.of_tests(file.path) else b"=") + path


def _ending(names: Sequence[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in names)


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

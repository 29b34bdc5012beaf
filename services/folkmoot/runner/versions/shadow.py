"""The shadow repository of a workspace: where it is, what is in it at first, and the commands over it.

It lies outside the repository that the agent sees, and the agent's own commands have it nowhere in their file system.
Commands over it see the repository read-only and no home folder, so that no configuration of the agent's is read.
"""

import shutil
from pathlib import Path

from folkmoot.kernel.ids import CommitId
from folkmoot.runner.checkout import BASE
from folkmoot.runner.command import REPO, Command

FOLDER = "versions"
"""Of a workspace's folder."""
INSIDE = "/versions"
MOST = 2_000
"""Steps of one workspace."""
_TIMEOUT_S = 60.0
_CONFIG = """[core]
	repositoryformatversion = {version}
	filemode = true
	bare = false
	hooksPath = /dev/null
	fsmonitor = false
	looseCompression = 1
[user]
	name = Folkmoot
	email = moot@localhost
[commit]
	gpgSign = false
[gc]
	auto = 0
[maintenance]
	auto = false
"""
_ATTRIBUTES = "* -text !eol !working-tree-encoding !ident !filter !diff\n"
"""Files as they are, whatever the repository's own attributes say."""
FOLDERS = (
    "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "node_modules", ".venv", "venv",
)  # fmt: skip
ENDINGS = (".pyc",)
BEGINNINGS = (".moot-",)
EXCLUDED = "".join(
    f"{pattern}\n"
    for pattern in (*(f"{n}/" for n in FOLDERS), *(f"*{n}" for n in ENDINGS), *(f"{n}*" for n in BEGINNINGS))
)
"""What tools write, besides what the repository ignores."""
_ENVIRONMENT = {
    "GIT_DIR": INSIDE,
    "GIT_WORK_TREE": REPO,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}
_BEGIN = """set -e
if [ "$1" = bundled ]; then
  cat >/tmp/.bundle
  git bundle unbundle /tmp/.bundle >/dev/null
  rm /tmp/.bundle
fi
cp .git/index /versions/index
"""
"""With the index of the check-out, as `knows`."""
_STEP = """for lock in index HEAD refs/heads/steps; do
  if [ -e "/versions/$lock.lock" ]; then rm -f "/versions/$lock.lock"; fi
done
git add -A --ignore-errors . >/dev/null 2>&1
git commit -q --no-verify --cleanup=verbatim -m "$1" >/dev/null 2>&1 || exit 0
"""
"""One at a time: a lock that is there is a dead one's, of a runner that was killed in the middle."""
_EXPORT = """[ "$(git rev-parse -q --verify HEAD)" != "$1" ] || exit 42
exec git bundle create -q - HEAD "^$1"
"""
NOTHING = 42


def skeleton(place: Path, objects: Path, commit: CommitId) -> None:
    """Writes the repository, whose history begins at `commit`. Only for a folder nobody else can reach."""
    for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (place / part).mkdir(parents=True)
    sha256 = len(commit) == 64
    extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    (place / "config").write_text(_CONFIG.format(version=int(sha256)) + extension, "utf-8")
    (place / "info/attributes").write_text(_ATTRIBUTES, "utf-8")
    (place / "info/exclude").write_text(EXCLUDED, "utf-8")
    (place / "objects/info/alternates").write_text(f"{BASE}/objects\n", "utf-8")
    if (objects / "shallow").is_file():
        shutil.copyfile(objects / "shallow", place / "shallow")
    (place / "refs/heads/steps").write_text(f"{commit}\n", "utf-8")
    (place / "HEAD").write_text("ref: refs/heads/steps\n", "utf-8")


def knows(place: Path, index: bytes) -> None:
    """`index` is the check-out's, from before the agent's first command: no file has to be read that has not
    changed."""
    (place / "index").write_bytes(index)


def begin(bundle: bytes) -> Command:
    """`bundle` brings the commit where the mirror's objects do not have it."""
    return _command(_BEGIN, "bundled" if bundle else "there", stdin=bundle)


def step(what: str) -> Command:
    """A commit of what is there now, if that is anything new."""
    return _command(_STEP, what)


def export(commit: CommitId, limit: int) -> Command:
    """A bundle of all steps since `commit`, of at most `limit` bytes; exit `NOTHING` where there are none."""
    return _command(_EXPORT, commit, limit=limit)


def _command(script: str, *args: str, stdin: bytes = b"", limit: int = 4096) -> Command:
    argv = ("sh", "-c", script, "versions", *args)
    return Command(argv=argv, environment=_ENVIRONMENT, stdin=stdin, timeout_s=_TIMEOUT_S, output_limit=limit)

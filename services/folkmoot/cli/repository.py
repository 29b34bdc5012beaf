"""The repository that a person points at, on the host.

Git runs here only as far as it must, with hooks and fsmonitor off: the folder may be a stranger's.
"""

import os
import re
import subprocess
from pathlib import Path

from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.text import is_text
from folkmoot.kernel.errors import InvalidInput, Misconfigured

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:")
_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "maintenance.auto=false")
_TIMEOUT_S = 60.0
_MOST_BASES = 20
"""Commits that a bundle may build on: what a story's tasks end with may have been merged."""


def is_url(repo: str) -> bool:
    """Not a path of this machine."""
    return _URL.match(repo) is not None


def located(repo: str) -> str:
    """A URL as it is; a path as the absolute top of its repository. Raises InvalidInput."""
    if is_url(repo):
        return repo
    start = Path(repo).expanduser().absolute()
    if not is_text(str(start)):
        raise InvalidInput("--repo", f"{os.fsencode(start)!r} is not UTF-8: rename the folder, or link to it")
    if not start.is_dir():
        raise InvalidInput("--repo", f"{start} is no folder")
    for folder in (start, *start.parents):
        if (folder / ".git").exists() or _is_bare(folder):
            return str(folder)
    raise InvalidInput("--repo", f"{start} is in no git repository; name one with --repo, or run `git init` and commit")


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def require_commit(repo: str, base: str) -> None:
    """A look before anything is started. What only the runner can tell is left to it: a URL's refs, a commit that its
    mirror has kept, a folder that git does not trust here.

    Raises InvalidInput: `--repo` when that is no repository after all, `--base` when it names none of its commits.
    """
    if is_url(repo) or _FULL_ID.fullmatch(base):
        return
    if base.startswith("-") or not base.isprintable():
        raise InvalidInput("--base", f"{base[:200]!r} is no name of a commit")
    found = _git(repo, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{base or 'HEAD'}^{{commit}}")
    if b"not a git repository" in found.stderr:
        raise InvalidInput("--repo", f"{repo} is not a git repository: its `.git` leads nowhere")
    if found.returncode == 1:
        raise InvalidInput("--base", _no_commit(repo, base))


def _no_commit(repo: str, base: str) -> str:
    if _git(repo, "for-each-ref", "--count=1").stdout:
        return f"{(base or 'HEAD')[:200]!r} names no commit of {repo}"
    return f"{repo} has no commit yet: `git commit` what agents are to start from"


def uncommitted(repo: str) -> int:
    """How many tracked files have changes that nobody will see; 0 also when looking would run the folder's programs."""
    if is_url(repo) or not (Path(repo) / ".git").is_dir():
        return 0
    # `git status` runs the clean filters that the folder's own configuration names.
    filters = _git(repo, "config", "--includes", "--show-scope", "--get-regexp", r"^filter\.")
    if any(found.startswith((b"local", b"worktree")) for found in filters.stdout.splitlines()):
        return 0
    status = _git(repo, "--no-optional-locks", "status", "--porcelain", "-uno", "--ignore-submodules=all")
    return len(status.stdout.splitlines()) if status.returncode == 0 else 0


def take(bundle: bytes, branch: str, commit: str) -> bool:
    """Make `commit` of `bundle` the branch `branch` of the repository that one stands in; False when it was so already.

    Touches neither work tree nor index. Raises Stopped when there is no repository, no base, or another such branch.
    """
    if not _git(".", "rev-parse", "--git-dir").returncode == 0:
        raise Stopped(
            Code.USAGE, "this folder is in no git repository", "change to the repository that the task is about"
        )
    ref = f"refs/heads/{branch}"
    present = _line(_git(".", "rev-parse", "--verify", "--quiet", ref))
    if present == commit:
        return False
    if present:
        raise Stopped(
            Code.USAGE,
            f"branch {branch} is at {present[:12]} here, not at the winner {commit[:12]}",
            f"`git branch -m {branch} another-name` keeps yours, then try again",
        )
    _unpack(bundle, commit)
    _checked("update-ref", ref, commit, "0" * len(commit))
    return True


def _unpack(content: bytes, commit: str) -> None:
    """Objects only, after git's own strict check of them; no ref moves."""
    from folkmoot.runner.border.bundle import BadBundle, parsed

    try:
        bundle = parsed(content, most=_MOST_BASES)
    except BadBundle as error:
        raise Stopped(Code.OURS, f"the platform's bundle {error}") from error
    if bundle.tip != commit:
        raise Stopped(Code.OURS, f"the platform's bundle holds {bundle.tip[:12]}, not the winner {commit[:12]}")
    for base in bundle.prerequisites:
        if _git(".", "cat-file", "-e", f"{base}^{{commit}}").returncode != 0:
            raise Stopped(
                Code.USAGE,
                f"this repository has no commit {base[:12]}, on which the change is based",
                "change to the repository that the task is about, or `git fetch` first",
            )
    _checked("index-pack", "--strict", "--stdin", "--fix-thin", stdin=bundle.pack)
    for base in bundle.prerequisites:
        if _git(".", "merge-base", "--is-ancestor", base, commit).returncode != 0:
            raise Stopped(Code.OURS, f"commit {commit[:12]} is not a change of {base[:12]}")


def _checked(*args: str, stdin: bytes = b"") -> None:
    done = _git(".", *args, stdin=stdin)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit {done.returncode}"]
        raise Stopped(Code.OURS, f"git {args[0]}: {said[-1].removeprefix('fatal: ')}")


def _line(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _git(folder: str, *args: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Raises Misconfigured when git is missing or hangs."""
    try:
        return subprocess.run(
            ["git", *_QUIET, "-C", folder, *args], input=stdin, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise Misconfigured("git is not installed; get it from your system's packages") from error
    except subprocess.TimeoutExpired as error:
        raise Misconfigured(f"git {args[0]} did not end within {_TIMEOUT_S:g} s") from error

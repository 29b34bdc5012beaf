"""What is kept of versions: for each work of an agent a bundle as it came out of its workspace, beside the mirror of
its base. It is unpacked when somebody asks, into a bare repository of its own: most are never asked for.

That goes through the border's quarantine, as with candidates. Nothing is ever made of a history but lists, diffs and
single files, so the tree policy is asked for a file that is taken out, not before.
"""

import asyncio
import logging
import shutil
import time
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import InvalidInput, NotFound, Unavailable
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId, token
from folkmoot.runner import refs, store
from folkmoot.runner.border import quarantine
from folkmoot.runner.border.bundle import Bundle
from folkmoot.runner.border.entries import EXECUTABLE, FILE, shown
from folkmoot.runner.border.tree import unfit
from folkmoot.runner.border.verdict import TurnedBack
from folkmoot.runner.git import Git, GitFailed
from folkmoot.runner.versions.history import FORMAT, Version, versions
from folkmoot.runner.versions.shadow import MOST
from folkmoot.runtime.settings import RunnerSettings

log = logging.getLogger(__name__)

_LENDER = "candidates.git"
_BUNDLE = ".bundle"
_SHA256 = 64
"""Characters of a commit's name."""
_BEGAN, _TIP = "refs/versions/began", "refs/versions/tip"
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_LISTING_BYTES = 32 * 1024**2
DIFF_BYTES = 8 * 1024**2


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Of one agent in one workspace."""

    task_id: TaskId
    agent_id: AgentId
    attempt: int
    repository_id: RepositoryId
    commit: CommitId
    """Where it began."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    content: bytes
    executable: bool


class Archive:
    def __init__(self, mirrors: Path, *, bundle_bytes: int, keep_s: float) -> None:
        """`mirrors` is the folder with a folder for each repository."""
        self._mirrors = mirrors
        self._bundle_bytes = bundle_bytes
        self._keep_s = keep_s
        self._unpacking = asyncio.Lock()

    @classmethod
    def of(cls, mirrors: Path, settings: RunnerSettings) -> "Archive":
        return cls(mirrors, bundle_bytes=settings.bundle_bytes, keep_s=settings.versions_s)

    def take(self, work: Work, content: bytes) -> None:
        """All versions of one work, with those that are here already. Raises InvalidInput("bundle") for what is no
        history of it, NotFound, OSError."""
        home = self._mirrors / token(work.repository_id, "repository_id")
        if not (home / _LENDER).is_dir():
            raise NotFound(f"no repository {work.repository_id} was prepared here")
        try:
            bundle = self._header(content)
        except TurnedBack as verdict:
            raise InvalidInput("bundle", str(verdict)) from verdict
        if bundle.prerequisites != (work.commit,):
            raise InvalidInput("bundle", f"it builds on {bundle.prerequisites}, not on {work.commit}")
        place = self._place(home, work)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}")
        draft.write_bytes(content)
        draft.replace(place)

    async def listed(self, task_id: TaskId, agent_id: str = "") -> list[Version]:
        """By agent, attempt and number. Raises GitFailed."""
        found: list[Version] = []
        for agent, attempt, git in await self._works(task_id):
            if agent_id in {"", agent}:
                found += await self._history(agent, attempt, git)
        return found

    async def diff(self, task_id: TaskId, version: tuple[str, int, int], against: int, path: bytes) -> bytes:
        """Agent, attempt and number; from `against`, another number of the same work. At most DIFF_BYTES.

        Raises NotFound, GitFailed.
        """
        agent, attempt, number = version
        git = await self._git(task_id, agent, attempt)
        commits = await self._commits(agent, attempt, git)
        pair = [_at(commits, against), _at(commits, number)]
        only = ["--", path.decode("utf-8", "surrogateescape")] if path else []
        args = ("diff-tree", "-p", "-r", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv", *pair, *only)
        done = await git.run(*args, env=_LITERAL, limit=DIFF_BYTES)
        if done.code != 0 and not done.truncated:
            raise GitFailed("diff-tree", done.stderr.strip()[:300])
        return done.stdout

    async def file(self, task_id: TaskId, version: tuple[str, int, int], path: bytes) -> File:
        """One file as it was. Raises NotFound, InvalidInput("path") for what may not be taken out, GitFailed."""
        agent, attempt, number = version
        if reason := unfit(path):
            raise InvalidInput("path", reason)
        git = await self._git(task_id, agent, attempt)
        commit = _at(await self._commits(agent, attempt, git), number)
        name = path.decode("utf-8", "surrogateescape")
        row = await git.out("ls-tree", "-z", "--full-tree", commit, "--", name, env=_LITERAL)
        head, _, _ = row.partition(b"\t")
        if not head:
            raise NotFound(f"{shown(path)[:200]} is not in {agent}@{attempt}.{number}")
        mode, _, object_id = head.decode("ascii").split(" ")
        if mode not in {FILE, EXECUTABLE}:
            raise InvalidInput("path", f"{shown(path)[:200]} is no file in {agent}@{attempt}.{number}")
        body = await git.out("cat-file", "blob", object_id, limit=self._bundle_bytes)
        return File(content=body, executable=mode == EXECUTABLE)

    def sweep(self, *, now: float | None = None) -> int:
        """Remove what is older than is kept; says how many. `now` is seconds since 1970."""
        last = (time.time() if now is None else now) - self._keep_s
        old = [p for p in self._mirrors.glob("*/versions/*/*") if _changed(p) < last]
        for place in old:
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()
            if not any(place.parent.iterdir()):
                place.parent.rmdir()
        return len(old)

    def _header(self, content: bytes) -> Bundle:
        """Raises TurnedBack."""
        return quarantine.header_of(content, size=self._bundle_bytes, prerequisites=1)

    def _place(self, home: Path, work: Work) -> Path:
        task, agent = token(work.task_id, "task_id"), token(work.agent_id, "agent_id")
        return home / "versions" / task / f"{agent}@{work.attempt}{_BUNDLE}"

    async def _works(self, task_id: TaskId) -> list[tuple[str, int, Git]]:
        """Of one task, in order."""
        folders = list(self._mirrors.glob(f"*/versions/{token(task_id, 'task_id')}"))
        async with self._unpacking:
            for came in (path for folder in folders for path in folder.glob(f"[!.]*@*{_BUNDLE}")):
                await self._unpack(came)
        found = []
        for place in (path for folder in folders for path in folder.glob("[!.]*@*.git")):
            agent, _, attempt = place.stem.rpartition("@")
            found.append((agent, int(attempt), Git(place)))
        return sorted(found, key=lambda row: row[:2])

    async def _unpack(self, came: Path) -> None:
        """What cannot be read as a history is removed: nobody can be shown it."""
        git, lender, which = Git(came.with_suffix(".git")), came.parents[2] / _LENDER, came.stat().st_ino
        try:
            bundle = self._header(came.read_bytes())
            await self._check(bundle, lender)
        except TurnedBack as verdict:
            log.warning("no versions of %s: %s", came.stem, verdict, extra={"action": "version"})
        else:
            await _kept(git, bundle, lender)
        if came.stat().st_ino == which:  # else a newer one has come meanwhile
            came.unlink()

    async def _check(self, bundle: Bundle, lender: Path) -> None:
        """In quarantine: sound objects, a history on the commit that the agent began with, and not endless."""
        folder, [began] = self._mirrors / "quarantine", bundle.prerequisites
        async with quarantine.opened(folder, lender, sha256=len(began) == _SHA256) as (git, objects):
            await quarantine.unpacked(git, objects, bundle)
            await quarantine.check_descent(git, objects, [began], bundle.tip, MOST)

    async def _git(self, task_id: TaskId, agent_id: str, attempt: int) -> Git:
        for agent, number, git in await self._works(task_id):
            if (agent, number) == (agent_id, attempt):
                return git
        raise NotFound(f"no versions of {agent_id}@{attempt} are kept for {task_id}")

    async def _commits(self, agent: str, attempt: int, git: Git) -> list[str]:
        """From where it began."""
        began = refs.value(git.folder, _BEGAN)
        return [str(began), *(v.commit for v in await self._history(agent, attempt, git))]

    async def _history(self, agent: str, attempt: int, git: Git) -> list[Version]:
        began, tip = refs.value(git.folder, _BEGAN), refs.value(git.folder, _TIP)
        if began is None or tip is None:
            return []
        args = ("log", "-z", "--raw", "--reverse", "--first-parent", "--no-renames", "--no-abbrev", FORMAT)
        try:
            output = await git.out(*args, f"{began}..{tip}", limit=_LISTING_BYTES)
            return versions(agent, attempt, output)
        except ValueError as error:
            raise Unavailable(f"{git.folder.name}: git says something else than a history") from error


async def _kept(git: Git, bundle: Bundle, lender: Path) -> None:
    """In a repository that borrows from `lender`, with what it had."""
    [began] = bundle.prerequisites
    object_format = "sha256" if len(began) == _SHA256 else "sha1"
    store.make_bare(git.folder, borrows=f"../../../../{_LENDER}/objects", object_format=object_format)
    store.share_shallow(lender, git.folder)
    await git.out("index-pack", "--stdin", "--fix-thin", stdin=bundle.pack)
    await git.out("update-ref", _BEGAN, began)
    await git.out("update-ref", _TIP, bundle.tip)


def _at(commits: list[str], number: int) -> str:
    if not 0 <= number < len(commits):
        raise NotFound(f"there are versions 0 to {len(commits) - 1}, and no {number}")
    return commits[number]


def _changed(place: Path) -> float:
    """Seconds since 1970 of the last version that came."""
    return (place / "objects/pack" if place.is_dir() else place).stat().st_mtime

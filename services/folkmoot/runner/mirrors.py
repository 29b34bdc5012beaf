"""Mirrors: what the platform keeps of each repository, and the way in, through the border, and out of it.

The log is the truth about a deliberation; the mirror is the truth about its objects. A branch `moot/<task>` exists only
for a commit that came through the border.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId, commit_id, token
from folkmoot.runner import merges, packing, refs, store
from folkmoot.runner.basetree import BaseTree, blobs, read_tree
from folkmoot.runner.border.admission import Border, Candidate, candidate_ref
from folkmoot.runner.border.bundle import written
from folkmoot.runner.border.verdict import Limits
from folkmoot.runner.commits import packed
from folkmoot.runner.environment.wanted import Wanted
from folkmoot.runner.git import Git, GitFailed
from folkmoot.runner.look import look
from folkmoot.runner.origin import Origin, explained, origin_of
from folkmoot.runner.outline import Outline, outline_of
from folkmoot.runner.packing import Packer
from folkmoot.runner.recent import Recent, Span
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.settings import RunnerSettings

_MIRRORED = ("refs/heads/", "refs/tags/", "refs/remotes/")
_HEAD = "refs/folkmoot/head"
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BASES = "refs/folkmoot/base/"
"""Of what was prepared, by commit; in `base.git`."""
_RECENT_BYTES = 16 * 1024**2
_TREES = 256
"""Bases whose configuration is remembered; a few kilobytes each."""


class Mirrors:
    """All repositories of one runner, in one folder. Several processes may share the folder."""

    def __init__(self, folder: Path, artifacts: Artifacts, settings: RunnerSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._recent = Recent[Span](_RECENT_BYTES)
        limits = Limits(bundle_bytes=settings.bundle_bytes, file_bytes=settings.file_bytes, commits=settings.commits)
        self._border = Border(folder / "quarantine", limits, keep=artifacts.put, look=look)
        self._locks: dict[str, asyncio.Lock] = {}
        self._trees: dict[tuple[RepositoryId, CommitId], BaseTree] = {}
        self._packer = Packer(lambda folder: self._alone(RepositoryId(folder.parent.name)), every=settings.pack_every)

    @property
    def folder(self) -> Path:
        return self._folder

    def sweep(self) -> int:
        """At start: remove what processes that died left in quarantine; says how many."""
        return store.sweep(self._folder / "quarantine")

    async def keep_packed(self) -> None:
        """For ever: pack mirrors as they wear, first those that a predecessor left so."""
        for folder in self._folder.glob("*/*.git"):
            self._packer.look(folder)
        await self._packer.keep()

    async def prepare(self, repository: str, base_ref: str, merge: Sequence[str] = ()) -> PreparedBase:
        """Bring the repository's refs into its mirror, resolve `base_ref`, join `merge`, read base's configuration.

        Raises InvalidInput naming `repository`, `base_ref`, `merge` or `.moot.toml: <key>`; FailedPrecondition("merge")
        for a merge that is too much.
        """
        origin = origin_of(repository)
        git, named = await self._named(origin, base_ref)
        candidates = self._candidates(origin.id)
        store.share_shallow(git.folder, candidates.folder)
        begin = await merges.joined(candidates, named, merge)
        # A merge without a conflict is known whole, with the suite that any of its sides may have brought.
        whole = begin.start if begin.start and not begin.conflicts else begin.commit
        tree = await self._tree(origin.id, candidates if begin.origin else git, whole)
        return PreparedBase(
            repository_id=origin.id,
            commit=begin.commit,
            suite=tree.suite,
            protected=tree.protected,
            max_files=tree.config.limits.files + begin.files,
            max_diff_lines=tree.config.limits.diff_lines + begin.lines,
            notices=tree.notices,
            origin=begin.origin,
            start=begin.start,
            conflicts=begin.conflicts,
            conflict=begin.conflict,
        )

    async def outline(self, repository: str, base_ref: str) -> Outline:
        """What `base_ref` looks like to somebody who plans. Raises InvalidInput naming `repository` or `base_ref`."""
        git, named = await self._named(origin_of(repository), base_ref)
        return await outline_of(git, named)

    async def admit(
        self,
        *,
        task_id: TaskId,
        agent_id: AgentId,
        round_: int,
        base: PreparedBase,
        bundle: bytes | None,
        message: str,
    ) -> Admission | Refusal:
        """Take a candidate in, as one commit of the platform's on base; the same call again gives the same answer.

        Without a `bundle` the merge that base starts with is the candidate. Raises NotFound for an unknown repository
        or base, InvalidInput("bundle") when there is neither, AlreadyExists when this agent's round has another commit
        already, Unavailable when artifacts cannot be stored.
        """
        mirror = await self._holding(base)
        content = await self._own_merge(base) if bundle is None else bundle
        candidate = Candidate(task_id=task_id, agent_id=agent_id, round=round_, bundle=content, message=message)
        candidate_ref(candidate)
        home = self._candidates(base.repository_id)
        verdict = await self._border.admit(candidate, base, mirror, home)
        self._packer.look(home.folder)
        if isinstance(verdict, Refusal):
            return verdict
        self._recent.put((base.repository_id, base.commit, verdict.admission.commit), verdict.bundle)
        return verdict.admission

    async def publish(
        self, task_id: TaskId, repository_id: RepositoryId, commit: CommitId, *, inherited: bool = False
    ) -> str:
        """Make an admitted commit the branch `moot/<task_id>`; answers the branch's name. An `inherited` one may be any
        task's.

        Raises FailedPrecondition("published") when the branch is another commit, FailedPrecondition("admitted") when
        this task (or none) admitted such a commit, NotFound for an unknown repository.
        """
        branch = f"moot/{token(task_id, 'task_id')}"
        git = self._known(repository_id)
        admitted = "refs/moot/" if inherited else f"refs/moot/{task_id}/"
        if not refs.naming(git.folder, commit_id(commit, "commit"), admitted):
            raise FailedPrecondition("admitted", f"{commit} is no candidate of {task_id}")
        none = "0" * len(commit)
        done = await git.run("update-ref", f"refs/heads/{branch}", commit, none)
        if done.code != 0 and refs.value(git.folder, f"refs/heads/{branch}") != commit:
            raise FailedPrecondition("published", f"{branch} is another commit already")
        return branch

    def objects(self, repository_id: RepositoryId) -> Path:
        """`base.git`, to be bound read-only into workspaces: a bare repository with what the origin has and no more.

        Raises NotFound, InvalidInput.
        """
        return self._known(repository_id).folder.parent / "base.git"

    async def bundle_of(self, repository_id: RepositoryId, base: CommitId, commit: CommitId) -> bytes:
        """Git bundle of `base`..`commit`, for an admitted `commit` or the merge that a task starts with.

        Raises NotFound, InvalidInput.
        """
        git = self._known(repository_id)
        span = (repository_id, commit_id(base, "base"), commit_id(commit, "commit"))
        known = self._recent.get(span)
        if known is None:
            known = await self._bundle(git, base, commit)
            self._recent.put(span, known)
        return known

    async def environment(self, repository_id: RepositoryId, base: CommitId) -> Wanted:
        """What tasks on `base` need besides its files, by its own configuration. Raises NotFound, InvalidInput."""
        return (await self._tree(repository_id, self._known(repository_id), commit_id(base, "base"))).wanted

    async def contents(self, repository_id: RepositoryId, object_ids: Sequence[str]) -> list[bytes]:
        """Of small files. Raises NotFound, GitFailed."""
        return await blobs(self._known(repository_id), object_ids)

    async def _bundle(self, git: Git, base: CommitId, commit: CommitId) -> bytes:
        names = refs.naming(git.folder, commit, "refs/moot/", merges.STARTS)
        if not names:
            raise NotFound(f"{commit} is no candidate of {git.folder.parent.name}")
        try:
            pack = await packed(git, base, commit, limit=4 * self._settings.bundle_bytes)
        except GitFailed as error:
            raise InvalidInput("base", f"no bundle from {base} to {commit}: {error.complaint}") from error
        return written(names[0], commit, base, pack)

    async def _tree(self, repository_id: RepositoryId, git: Git, commit: CommitId) -> BaseTree:
        """What a commit says of itself never changes."""
        key = (repository_id, commit)
        tree = self._trees.pop(key, None) or await read_tree(git, commit)
        self._trees[key] = tree
        while len(self._trees) > _TREES:
            del self._trees[next(iter(self._trees))]
        return tree

    async def holding(self, base: PreparedBase, task_id: TaskId, commit: CommitId | None) -> Git:
        """Where `base` can be read, and `commit`, which this task admitted. Raises NotFound, InvalidInput."""
        await self._holding(base)
        git = self._known(base.repository_id)
        if commit is not None and not refs.naming(git.folder, commit_id(commit, "commit"), f"refs/moot/{task_id}/"):
            raise NotFound(f"{commit} is no candidate of {task_id}")
        return git

    async def changes(self, repository_id: RepositoryId, base: CommitId, commit: CommitId) -> bytes:
        """`git diff-tree --raw -z` of two commits that are here. Raises NotFound, InvalidInput, GitFailed."""
        git = self._known(repository_id)
        pair = commit_id(base, "base"), commit_id(commit, "commit")
        return await git.out("diff-tree", "-r", "--raw", "-z", "--no-renames", *pair)

    def _place(self, repository_id: RepositoryId) -> Path:
        return self._folder / token(repository_id, "repository_id")

    def _candidates(self, repository_id: RepositoryId) -> Git:
        return Git(self._place(repository_id) / "candidates.git")

    def _known(self, repository_id: RepositoryId) -> Git:
        git = self._candidates(repository_id)
        if not git.folder.is_dir():
            raise NotFound(f"no repository {repository_id} was prepared here")
        return git

    async def _holding(self, base: PreparedBase) -> Git:
        """The repository that has base: for a decided commit the candidates', else the mirror."""
        candidates = self._known(base.repository_id)
        commit = commit_id(base.commit, "base.commit")
        git = candidates if base.origin else Git(candidates.folder.parent / "base.git")
        there = refs.naming(git.folder, commit, merges.WINNERS) if base.origin else _is_base(git, commit)
        if not there:
            raise NotFound(f"{base.commit} was not prepared as a base of {base.repository_id}")
        return git

    async def _own_merge(self, base: PreparedBase) -> bytes:
        if base.start is None:
            raise InvalidInput("bundle", "is missing, and base starts with no merge")
        return await self.bundle_of(base.repository_id, base.commit, base.start)

    async def _named(self, origin: Origin, base_ref: str) -> tuple[Git, CommitId]:
        """The mirror, fetched, and the commit that `base_ref` names there."""
        async with self._alone(origin.id):
            git = await self._fetched(origin)
            commit = await self._resolved(git, origin, base_ref)
            if not _is_base(git, commit):
                await git.out("update-ref", f"{_BASES}{commit}", commit)
        return git, commit

    @contextlib.asynccontextmanager
    async def _alone(self, repository_id: RepositoryId) -> AsyncIterator[None]:
        """One fetch per repository at a time: among our tasks, then among processes."""
        lock = self._locks.setdefault(repository_id, asyncio.Lock())
        async with lock, store.exclusive(self._place(repository_id) / "lock"):
            yield

    async def _fetched(self, origin: Origin) -> Git:
        git = Git(self._place(origin.id) / "base.git")
        # Any repository of ours will do to ask from: the answer says which kind the mirror has to be.
        asking = self._folder / "asking.git"
        store.make_bare(asking)
        theirs = await self._origin_refs(Git(asking), origin)
        kind = "sha256" if any(len(o) == 64 for o in theirs.values()) else "sha1"
        store.make_bare(git.folder, object_format=kind)
        borrows = "../../base.git/objects"
        store.make_bare(self._candidates(origin.id).folder, borrows=borrows, object_format=kind)
        if _current(git) != theirs:
            packing.clear(git.folder)
            await self._fetch(git, origin, head="HEAD" in theirs)
            self._packer.look(git.folder)
        # Also when nothing was fetched: whoever did may have died before this.
        await _point_head(git, head="HEAD" in theirs)
        return git

    async def _origin_refs(self, git: Git, origin: Origin) -> dict[str, str]:
        """Name to object, of HEAD and of what is mirrored. Raises InvalidInput for an origin without commits."""
        listing = await self._ask(git, origin, "ls-remote", *origin.options, "--", origin.address)
        refs = {name: object_id for name, object_id in _refs(listing).items() if not name.endswith("^{}")}
        if not refs:
            raise InvalidInput("repository", "the repository is empty: it has no commit to start from")
        return {n: o for n, o in refs.items() if n == "HEAD" or n.startswith(_MIRRORED)}

    async def _fetch(self, git: Git, origin: Origin, *, head: bool) -> None:
        specs = [f"+{ref}*:{ref}*" for ref in _MIRRORED]
        if head:
            specs.append(f"+HEAD:{_HEAD}")
        await self._ask(
            git, origin, "fetch", *_QUIET, "--prune", "--update-shallow", *origin.options, "--", origin.address, *specs
        )

    async def _ask(self, git: Git, origin: Origin, *args: str) -> bytes:
        """One conversation with the origin; what it complains of is the caller's affair."""
        try:
            done = await git.run(
                *args, config=origin.config, env=origin.environment(), timeout_s=self._settings.fetch_timeout_s
            )
        except GitFailed as error:
            raise explained(error.complaint, origin) from error
        if done.code != 0 or done.truncated:
            raise explained(done.stderr, origin)
        return done.stdout

    async def _resolved(self, git: Git, origin: Origin, base_ref: str) -> CommitId:
        """A full object id, or a full ref name, that no branch shows is asked for by itself."""
        if base_ref.startswith("-") or "\0" in base_ref:
            raise InvalidInput("base_ref", "a ref does not start with '-'")
        direct = refs.value(git.folder, "HEAD") if base_ref == "HEAD" else base_ref
        if direct and _FULL_ID.fullmatch(direct) and _is_base(git, direct):
            return CommitId(direct)
        found = await _commit(git, base_ref)
        if found is None and (_FULL_ID.fullmatch(base_ref) or base_ref.startswith("refs/")):
            found = await self._asked_for(git, origin, base_ref)
        if found is None:
            raise InvalidInput("base_ref", f"{base_ref[:200]!r} names no commit of the repository")
        return found

    async def _asked_for(self, git: Git, origin: Origin, ref: str) -> CommitId | None:
        spec = f"+{ref}:refs/folkmoot/asked"
        try:
            await self._ask(git, origin, "fetch", *_QUIET, *origin.options, "--", origin.address, spec)
        except InvalidInput:
            return None
        return await _commit(git, "refs/folkmoot/asked")


_QUIET = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")


async def _point_head(git: Git, *, head: bool) -> None:
    """The mirror's HEAD is the origin's, or none."""
    wanted = refs.value(git.folder, _HEAD) if head else None
    if wanted and wanted != refs.value(git.folder, "HEAD"):
        await git.out("update-ref", "--no-deref", "HEAD", wanted)
    if not wanted:
        await git.out("update-ref", "-d", _HEAD)
        await git.out("symbolic-ref", "HEAD", "refs/heads/none")


def _refs(listing: bytes) -> dict[str, str]:
    """Name to object. A name may hold what Unicode, and so `str.splitlines`, takes for the end of a line."""
    lines = listing.decode("utf-8", "surrogateescape").split("\n")[:-1]
    return {name: object_id for object_id, _, name in (line.partition("\t") for line in lines)}


def _current(git: Git) -> dict[str, str]:
    """As `_origin_refs`, of the mirror."""
    mirrored = refs.below(git.folder, *_MIRRORED)
    head = refs.value(git.folder, _HEAD)
    return mirrored | ({"HEAD": head} if head else {})


def _is_base(git: Git, commit: str) -> bool:
    """Whether it was prepared, and so is known as a commit."""
    return refs.value(git.folder, f"{_BASES}{commit}") == commit


async def _commit(git: Git, ref: str) -> CommitId | None:
    done = await git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    found = done.stdout.decode("ascii", "replace").strip()
    return CommitId(found) if done.code == 0 and _FULL_ID.fullmatch(found) else None

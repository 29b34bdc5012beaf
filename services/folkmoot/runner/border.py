"""The border: what an agent handed in is hostile bytes until it has come through here.

The order is the point: size, our own reading of the header, git's strict reading in quarantine, descent, our own policy
over what changed; then the platform makes one commit of its own from the candidate's tree, so that nothing of the
agent's history (dates, names, intermediate states) gets in. In a task that begins with a merge, that commit has the
merge's parents.
"""

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from folkmoot.kernel.errors import AlreadyExists, InvalidInput
from folkmoot.kernel.evidence import Admission, PreparedBase, Refusal, Tampering
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, proposal_id, token
from folkmoot.runner import bundle as bundles
from folkmoot.runner import policy, store, suspicion
from folkmoot.runner.commits import packed, platform_commit
from folkmoot.runner.fingerprint import Change, fingerprint
from folkmoot.runner.git import Git, GitFailed, GitTooSlow, Memory
from folkmoot.runner.objects import Objects, reading
from folkmoot.runner.recent import Recent, Span
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.settings import RunnerSettings

DIFF_BYTES = 8 * 1024**2
"""The stored diff is cut behind this; the limit on lines is hit long before, unless base has raised it."""
MESSAGE_CHARS = 8_000
NAMES_BYTES = 24 * 1024
"""Of all changed paths together: an admission has to fit into an event."""
MERGE_PREREQUISITES = 64
"""Of the bundle of a merge: base, and wherever the other sides left the common history."""
TOLD = 20
"""Findings of one kind that are told one by one."""
_TEXT = ("-p", "-r", "--text", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv")
"""A patch that shows every file, also one that a NUL byte or `.gitattributes` would keep out of sight."""
_COMMIT_BYTES = 1024**2
"""Of a candidate's commit: we read it ourselves."""
_MEMORY = Memory()
_STRICT = "--strict=badFilemode=error,gitattributesSymlink=error,gitignoreSymlink=error"
"""What git only mentions by itself. An odd mode is not seen later: `diff-tree` shows the mode that it is taken for."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent handed in."""

    task_id: TaskId
    agent_id: AgentId
    round: int
    bundle: bytes
    message: str


class _TurnedBack(Exception):
    """The reason of a refusal."""


def _turn_back(reason: str) -> NoReturn:
    raise _TurnedBack(reason)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came through the checks."""

    tree: str
    entries: tuple[policy.Entry, ...]
    contents: dict[str, bytes]
    """New objects, by id."""
    patch: bytes
    """All of the change, cut behind `DIFF_BYTES`."""
    added: int
    removed: int


def candidate_ref(candidate: Candidate) -> str:
    """Raises InvalidInput for ids that cannot stand in a ref."""
    task, agent = token(candidate.task_id, "task_id"), token(candidate.agent_id, "agent_id")
    if candidate.round < 1:
        raise InvalidInput("round", "counts from 1")
    return f"refs/moot/{task}/{agent}/{candidate.round}"


class Border:
    def __init__(self, quarantine: Path, artifacts: Artifacts, recent: Recent[Span], settings: RunnerSettings) -> None:
        self._quarantine = quarantine
        self._artifacts = artifacts
        self._recent = recent
        self._settings = settings

    async def admit(self, candidate: Candidate, base: PreparedBase, mirror: Git, home: Git) -> Admission | Refusal:
        """`mirror` has base; `home` is where admitted commits live. Raises AlreadyExists, GitFailed, Unavailable."""
        with store.quarantine(self._quarantine) as place:
            git = Git(place / "q.git")
            kind = "sha256" if len(base.commit) == 64 else "sha1"
            store.make_bare(git.folder, borrows=str((mirror.folder / "objects").absolute()), object_format=kind)
            store.share_shallow(mirror.folder, git.folder)
            try:
                async with reading(git) as objects:
                    seen = await self._examined(git, objects, candidate, base)
                    return await self._admitted(git, objects, candidate, base, seen, home)
            except _TurnedBack as verdict:
                return _refusal(candidate, str(verdict))
            except GitTooSlow as error:
                return _refusal(candidate, f"git takes too long over it: {error}")

    async def _examined(self, git: Git, objects: Objects, candidate: Candidate, base: PreparedBase) -> _Seen:
        tip = await self._unpacked(git, objects, candidate.bundle, base)
        await self._check_descent(git, objects, base, tip)
        entries = await self._changed(git, base, tip)
        await self._check_sizes(objects, entries)
        new = sorted({e.new_object for e in entries if not e.deleted})
        contents = dict(zip(new, await objects.contents(new), strict=True))
        _check_links(entries, contents)
        patch, (added, removed) = await _compared(git, base, tip)
        if added + removed > base.max_diff_lines:
            _turn_back(f"the change adds and removes {added + removed} lines; at most {base.max_diff_lines}")
        return _Seen(
            tree=await _tree(objects, tip),
            entries=tuple(entries),
            contents=contents,
            patch=patch,
            added=added,
            removed=removed,
        )

    async def _unpacked(self, git: Git, objects: Objects, content: bytes, base: PreparedBase) -> str:
        """The bundle's tip, its objects read by git's strictest reader under limits of memory and time."""
        if len(content) > self._settings.bundle_bytes:
            _turn_back(f"the bundle has {len(content)} bytes; at most {self._settings.bundle_bytes}")
        try:
            bundle = bundles.parsed(content, most=MERGE_PREREQUISITES if base.start else 1)
        except bundles.BadBundle as error:
            _turn_back(f"the bundle {error}")
        await _check_prerequisites(git, base, bundle.prerequisites)
        await _index(git, bundle.pack)
        [about] = await objects.about([bundle.tip])
        if about.kind != "commit":
            _turn_back(f"the bundle's tip {bundle.tip} is no commit that it brings")
        if about.size > _COMMIT_BYTES:
            _turn_back(f"the commit {bundle.tip} has {about.size} bytes; at most {_COMMIT_BYTES}")
        return bundle.tip

    async def _check_descent(self, git: Git, objects: Objects, base: PreparedBase, tip: str) -> None:
        """Base is the boundary of what it brings exactly when one of its commits has base for a parent. Of a merge that
        the task began with, nothing is the candidate's."""
        most = self._settings.commits
        below = [base.commit, base.start] if base.start else [base.commit]
        if await _straight(objects, below, tip, most):
            return
        listed = await git.out("rev-list", "--boundary", f"--max-count={most + 1}", tip, *(f"^{b}" for b in below))
        lines = listed.decode("ascii").split()
        if sum(not line.startswith("-") for line in lines) > most:
            _turn_back(f"the candidate has more than {most} commits")
        if tip not in below and not any(f"-{b}" in lines for b in below):
            _turn_back("the candidate does not descend from base")

    async def _changed(self, git: Git, base: PreparedBase, tip: str) -> list[policy.Entry]:
        # A line has at most 4 KiB of path; more output than this means more files than are allowed.
        limit = (base.max_files + 2) * 8_192
        done = await git.run("diff-tree", "-r", "--raw", "-z", "--no-renames", base.commit, tip, limit=limit)
        if done.code != 0 and not done.truncated:
            _turn_back("the candidate's tree cannot be read")
        entries = [] if done.truncated else policy.raw_entries(done.stdout)
        if done.truncated or len(entries) > base.max_files:
            count = "too many" if done.truncated else str(len(entries))
            _turn_back(f"the change touches {count} files; at most {base.max_files}")
        # Of a merge, all may be there already: both sides made the same change, or the first one is the answer.
        if not entries and not base.start:
            _turn_back("the candidate changes nothing")
        if sum(len(policy.shown(e.path)) for e in entries) > NAMES_BYTES:
            _turn_back(f"the names of the changed files have more than {NAMES_BYTES} characters together")
        for entry in entries:
            if reason := policy.forbidden(entry):
                _turn_back(reason)
        return entries

    async def _check_sizes(self, objects: Objects, entries: list[policy.Entry]) -> None:
        most = min(self._settings.file_bytes, self._settings.bundle_bytes)
        new = [e for e in entries if not e.deleted]
        total = 0
        for entry, about in zip(new, await objects.about([e.new_object for e in new]), strict=True):
            if about.kind != "blob":
                _turn_back(f"{policy.shown(entry.path)}: its content is missing or no file")
            if about.size > most:
                _turn_back(f"{policy.shown(entry.path)}: has {about.size} bytes; at most {most}")
            total += about.size
        if total > 4 * most:
            _turn_back(f"the changed files have {total} bytes together; at most {4 * most}")

    async def _admitted(
        self, git: Git, objects: Objects, candidate: Candidate, base: PreparedBase, seen: _Seen, home: Git
    ) -> Admission:
        commit = await _committed(git, objects, candidate, base, seen.tree)
        ref = candidate_ref(candidate)
        pack = await packed(git, base.commit, commit, limit=4 * self._settings.bundle_bytes)
        bundle = bundles.written(ref, commit, base.commit, pack)
        told = await suspicion.told(git, objects, base, seen.entries, seen.contents)
        admission = Admission(
            proposal_id=proposal_id(candidate.agent_id, candidate.round),
            agent_id=candidate.agent_id,
            commit=commit,
            tree=seen.tree,
            diff=await self._artifacts.put(seen.patch),
            bundle=await self._artifacts.put(bundle),
            files=tuple(policy.shown(e.path) for e in seen.entries),
            lines_added=seen.added,
            lines_removed=seen.removed,
            tampered=await _tampered(git, objects, base, seen, told),
            flags=(*policy.flags(seen.entries), *suspicion.lesser(told)[:TOLD]),
            # Hostile source takes a second to read: others go on meanwhile.
            fingerprint=await asyncio.to_thread(fingerprint, [_change(e, seen.contents) for e in seen.entries]),
        )
        await _keep(home, pack, ref, commit)
        self._recent.put((base.repository_id, base.commit, commit), bundle)
        return admission


def _refusal(candidate: Candidate, reason: str) -> Refusal:
    return Refusal(
        proposal_id=proposal_id(candidate.agent_id, candidate.round), agent_id=candidate.agent_id, reason=reason
    )


async def _check_prerequisites(git: Git, base: PreparedBase, needed: Sequence[str]) -> None:
    """Base, and where the task begins with a merge also what the other sides of that build on."""
    if base.commit not in needed:
        _turn_back(f"the bundle builds on {needed[0]}, not on base {base.commit}")
    for other in needed:
        if other != base.commit and (await git.run("merge-base", "--is-ancestor", other, str(base.start))).code != 0:
            _turn_back(f"the bundle builds on {other}, which is no part of base's merge")


async def _index(git: Git, pack: bytes) -> None:
    """Strictly, within bounds: what comes out of it is sound git data, and no more than that."""
    args = ("index-pack", _STRICT, "--stdin", "--fix-thin", f"--max-input-size={len(pack)}")
    done = await git.run(*args, stdin=pack, memory=_MEMORY)
    if done.code != 0:
        _turn_back(f"git refuses the bundle: {_complaint(done.stderr) or f'exit {done.code}'}")


def _complaint(stderr: str) -> str:
    """The first line tells what is wrong, the last that something is."""
    lines = [line for line in stderr.splitlines() if line.startswith(("fatal:", "error:"))]
    return "".join(c for c in "; ".join(lines[:2]) if c.isprintable())[:300]


def _check_links(entries: list[policy.Entry], contents: dict[str, bytes]) -> None:
    for entry in entries:
        if policy.is_link(entry.new_mode) and policy.link_escapes(entry.path, contents[entry.new_object]):
            _turn_back(f"{policy.shown(entry.path)}: is a symbolic link that leads out of the repository")


async def _straight(objects: Objects, below: Sequence[str], tip: str, most: int) -> bool:
    """Whether a single line of at most `most` commits leads up from `below`: the usual case, for which no git is
    started."""
    for _ in range(most + 1):
        if tip in below:
            return True
        [about] = await objects.about([tip])
        parents = await _parents(objects, tip) if about.kind == "commit" and about.size <= _COMMIT_BYTES else []
        if len(parents) != 1:
            return False
        tip = parents[0]
    return False


async def _compared(git: Git, base: PreparedBase, tip: str) -> tuple[bytes, tuple[int, int]]:
    """The patch, and lines added and removed, of all files alike: whether git takes one for text is the candidate's to
    choose. A patch that is cut, perhaps by what is around the change, is counted without that."""
    done = await git.run("diff-tree", *_TEXT, "--full-index", base.commit, tip, limit=DIFF_BYTES)
    if done.code == 0 and not done.truncated:
        return done.stdout, policy.counted(done.stdout)
    return done.stdout, await _counted(git, base, tip)


async def _counted(git: Git, base: PreparedBase, tip: str) -> tuple[int, int]:
    limit = base.max_diff_lines * 2 * policy.LINE_BYTES + (base.max_files + 1) * 16_384
    done = await git.run("diff-tree", *_TEXT, "-U0", base.commit, tip, limit=limit)
    if done.truncated:
        _turn_back(f"the change adds and removes more than {base.max_diff_lines} lines")
    if done.code != 0:
        _turn_back("the change cannot be read line by line")
    return policy.counted(done.stdout)


async def _tree(objects: Objects, commit: str) -> str:
    """Its first line names it, as `index-pack --strict` has made sure."""
    [body] = await objects.contents([commit])
    return body.partition(b"\n")[0].removeprefix(b"tree ").decode("ascii")


def _committed_at(commit: bytes) -> int:
    """Seconds since 1970; 0 where base, which nobody checked, says nothing that can be read."""
    found = re.search(rb"^committer [^\n]*> (\d{1,19}) [-+]\d+$", commit.partition(b"\n\n")[0], re.MULTILINE)
    return int(found[1]) if found else 0


async def _committed(git: Git, objects: Objects, candidate: Candidate, base: PreparedBase, tree: str) -> CommitId:
    """One commit on base, or on all that the task's merge brings together; the same for the same tree and words."""
    parents = await _parents(objects, base.start) if base.start else [base.commit]
    after = max(map(_committed_at, await objects.contents(parents)))
    return platform_commit(git, tree, parents, commit_message(candidate), after=after)


async def _parents(objects: Objects, commit: str) -> list[CommitId]:
    [body] = await objects.contents([commit])
    lines = body.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
    return [CommitId(line.removeprefix("parent ")) for line in lines if line.startswith("parent ")]


_OURS = re.compile(r"(?mi)^(?=[^\S\n]*folkmoot[-_\w]*[^\S\n]*:)")


def commit_message(candidate: Candidate) -> str:
    """The author's words without control characters, and our trailers, which nobody else can set."""
    text = candidate.message[:MESSAGE_CHARS].replace("\r\n", "\n").replace("\t", "    ")
    text = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else "" for c in text)
    text = re.sub("[\u2028\u2029]", " ", text)
    text = _OURS.sub("> ", re.sub(r"\n{3,}", "\n\n", text)).strip() or f"Proposal of {candidate.agent_id}"
    return f"{text}\n\nFolkmoot-Task: {candidate.task_id}\nFolkmoot-Agent: {candidate.agent_id}\n"


async def _tampered(
    git: Git, objects: Objects, base: PreparedBase, seen: _Seen, told: suspicion.Told
) -> tuple[Tampering, ...]:
    """What a candidate did to the examination itself; new files of the protected kinds are left out of that anyway."""
    protected = policy.matcher(base.protected)
    hows = [
        await _interference(git, objects, protected, e, seen) or suspicion.grave(told.get(e.path, ()))
        for e in seen.entries
    ]
    found = [Tampering(path=policy.shown(e.path), how=how) for e, how in zip(seen.entries, hows, strict=True) if how]
    if len(found) > TOLD:
        rest = Tampering(path="…", how=f"{len(found) - TOLD} more protected files")
        found[TOLD:] = [rest]
    return tuple(found)


async def _interference(git: Git, objects: Objects, protected: policy.Spec, entry: policy.Entry, seen: _Seen) -> str:
    if not entry.added and policy.matches(protected, entry.path):
        lines = None if entry.operation in {"D", "T"} else await _lines(git, entry)
        return policy.tampering(entry, lines)
    if module := policy.shadowed(entry):
        return f"added, and would be imported instead of the module `{module}` that runs tests"
    if policy.is_project(entry.path):
        old = await objects.contents([entry.old_object] if entry.old_mode.startswith("100") else [])
        new = b"" if entry.deleted else seen.contents[entry.new_object]
        return policy.project_tampering(b"".join(old), new, entry.new_mode)
    return await suspicion.scripts(objects, entry, seen.contents)


async def _lines(git: Git, entry: policy.Entry) -> policy.LineChanges | None:
    """None when the file is not text."""
    if entry.old_object == entry.new_object:
        return policy.LineChanges()
    patch = await git.out(
        "diff", "-U0", "--no-color", "--no-ext-diff", "--no-textconv", entry.old_object, entry.new_object
    )
    return policy.line_changes(patch) if b"\n@@ " in patch else None


def _change(entry: policy.Entry, contents: dict[str, bytes]) -> Change:
    return Change(
        path=entry.path,
        operation=entry.operation,
        mode=entry.new_mode,
        content=b"" if entry.deleted else contents[entry.new_object],
    )


async def _keep(home: Git, pack: bytes, ref: str, commit: CommitId) -> None:
    """Objects first, then the ref, and only where there is none: of two writers one wins, and both learn which."""
    await home.out("index-pack", "--stdin", "--fix-thin", stdin=pack)
    done = await home.run("update-ref", "--no-deref", ref, commit, "0" * len(commit))
    if done.code == 0:
        return
    there = (await home.run("rev-parse", "--verify", "--quiet", ref)).stdout.decode().strip()
    if not there:
        raise GitFailed("update-ref", done.stderr.strip()[:300])
    if there != commit:
        raise AlreadyExists(f"{ref} is {there} already, and now {commit} was handed in for it")

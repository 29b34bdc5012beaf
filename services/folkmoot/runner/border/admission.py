"""Admission: a candidate comes in as one commit of the platform's own, or is refused and leaves nothing.

The order is the point: size, our own reading of the header, git's strict reading in quarantine, descent, our own policy
over what changed; then the platform makes one commit of its own from the candidate's tree, so that nothing of the
agent's history (dates, names, intermediate states) gets in. In a task that begins with a merge, that commit has the
merge's parents.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from folkmoot.kernel.errors import AlreadyExists, InvalidInput
from folkmoot.kernel.evidence import Admission, ArtifactRef, PreparedBase, Refusal, Tampering
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, proposal_id, token
from folkmoot.runner.border import bundle as bundles
from folkmoot.runner.border import quarantine
from folkmoot.runner.border.change import Seen, examined
from folkmoot.runner.border.entries import shown
from folkmoot.runner.border.message import commit_message
from folkmoot.runner.border.verdict import Limits, TurnedBack, turn_back
from folkmoot.runner.commits import packed, platform_commit
from folkmoot.runner.git import Git, GitFailed, GitTooSlow
from folkmoot.runner.objects import Objects

MERGE_PREREQUISITES = 64
"""Of the bundle of a merge: base, and wherever the other sides left the common history."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent handed in."""

    task_id: TaskId
    agent_id: AgentId
    round: int
    bundle: bytes
    message: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a change that came in."""

    tampered: tuple[Tampering, ...] = ()
    flags: tuple[str, ...] = ()
    fingerprint: str = ""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    admission: Admission
    bundle: bytes
    """Of the platform's commit, on base."""


Keep = Callable[[bytes], Awaitable[ArtifactRef]]
"""Keeps bytes for good. Raises Unavailable."""
Look = Callable[[Git, Objects, PreparedBase, Seen], Awaitable[Findings]]
"""Looks at what came through the checks, in quarantine."""


def candidate_ref(candidate: Candidate) -> str:
    """Raises InvalidInput for ids that cannot stand in a ref."""
    task, agent = token(candidate.task_id, "task_id"), token(candidate.agent_id, "agent_id")
    if candidate.round < 1:
        raise InvalidInput("round", "counts from 1")
    return f"refs/moot/{task}/{agent}/{candidate.round}"


class Border:
    def __init__(self, folder: Path, limits: Limits, *, keep: Keep, look: Look) -> None:
        """Quarantines are in `folder`."""
        self._folder = folder
        self._limits = limits
        self._keep = keep
        self._look = look

    async def admit(self, candidate: Candidate, base: PreparedBase, mirror: Git, home: Git) -> Admitted | Refusal:
        """`mirror` has base; `home` is where admitted commits live. Raises AlreadyExists, GitFailed, Unavailable."""
        sha256 = len(base.commit) == 64
        try:
            async with quarantine.opened(self._folder, mirror.folder, sha256=sha256) as (git, objects):
                tip = await self._unpacked(git, objects, candidate.bundle, base)
                # Of a merge that the task began with, nothing is the candidate's.
                below = [base.commit, base.start] if base.start else [base.commit]
                await quarantine.check_descent(git, objects, below, tip, self._limits.commits)
                seen = await examined(git, objects, base, tip, self._limits)
                return await self._admitted(git, objects, candidate, base, seen, home)
        except TurnedBack as verdict:
            return _refusal(candidate, str(verdict))
        except GitTooSlow as error:
            return _refusal(candidate, f"git takes too long over it: {error}")

    async def _unpacked(self, git: Git, objects: Objects, content: bytes, base: PreparedBase) -> str:
        """The bundle's tip, its objects read under limits of memory and time."""
        most = MERGE_PREREQUISITES if base.start else 1
        bundle = quarantine.header_of(content, size=self._limits.bundle_bytes, prerequisites=most)
        await _check_prerequisites(git, base, bundle.prerequisites)
        await quarantine.unpacked(git, objects, bundle)
        return bundle.tip

    async def _admitted(
        self, git: Git, objects: Objects, candidate: Candidate, base: PreparedBase, seen: Seen, home: Git
    ) -> Admitted:
        commit = await _committed(git, objects, candidate, base, seen.tree)
        ref = candidate_ref(candidate)
        pack = await packed(git, base.commit, commit, limit=4 * self._limits.bundle_bytes)
        bundle = bundles.written(ref, commit, base.commit, pack)
        found = await self._look(git, objects, base, seen)
        admission = Admission(
            proposal_id=proposal_id(candidate.agent_id, candidate.round),
            agent_id=candidate.agent_id,
            commit=commit,
            tree=seen.tree,
            diff=await self._keep(seen.patch),
            bundle=await self._keep(bundle),
            files=tuple(shown(e.path) for e in seen.entries),
            lines_added=seen.added,
            lines_removed=seen.removed,
            tampered=found.tampered,
            flags=found.flags,
            fingerprint=found.fingerprint,
        )
        await _settle(home, pack, ref, commit)
        return Admitted(admission=admission, bundle=bundle)


def _refusal(candidate: Candidate, reason: str) -> Refusal:
    return Refusal(
        proposal_id=proposal_id(candidate.agent_id, candidate.round), agent_id=candidate.agent_id, reason=reason
    )


async def _check_prerequisites(git: Git, base: PreparedBase, needed: Sequence[str]) -> None:
    """Base, and where the task begins with a merge also what the other sides of that build on."""
    if base.commit not in needed:
        turn_back(f"the bundle builds on {needed[0]}, not on base {base.commit}")
    for other in needed:
        if other != base.commit and (await git.run("merge-base", "--is-ancestor", other, str(base.start))).code != 0:
            turn_back(f"the bundle builds on {other}, which is no part of base's merge")


async def _committed(git: Git, objects: Objects, candidate: Candidate, base: PreparedBase, tree: str) -> CommitId:
    """One commit on base, or on all that the task's merge brings together; the same for the same tree and words."""
    of_merge = await quarantine.parents_of(objects, base.start) if base.start else []
    parents = [CommitId(parent) for parent in of_merge] or [base.commit]
    after = max(map(_committed_at, await objects.contents(parents)))
    text = commit_message(candidate.message, candidate.task_id, candidate.agent_id)
    return platform_commit(git, tree, parents, text, after=after)


def _committed_at(commit: bytes) -> int:
    """Seconds since 1970; 0 where base, which nobody checked, says nothing that can be read."""
    found = re.search(rb"^committer [^\n]*> (\d{1,19}) [-+]\d+$", commit.partition(b"\n\n")[0], re.MULTILINE)
    return int(found[1]) if found else 0


async def _settle(home: Git, pack: bytes, ref: str, commit: CommitId) -> None:
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

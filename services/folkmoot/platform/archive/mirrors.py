"""The runner's mirrors on this machine: branches of what is forgotten go, with the objects that only they held."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from folkmoot.kernel.ids import TaskId
from folkmoot.runner.git import Git
from folkmoot.runner.merges import STARTS, WINNERS

_YOUNG = "2.hours.ago"
"""Objects that came later may belong to a candidate that is just being taken in."""


async def forget(folder: Path, tasks: Sequence[TaskId]) -> int:
    """Delete branch and candidates of `tasks` in all mirrors of `folder`; says how many refs. Raises GitFailed."""
    gone = 0
    for place in sorted(folder.glob("*/candidates.git")):
        git = Git(place)
        # A merge may hold several of them; a ref is deleted once.
        refs = dict.fromkeys([ref async for ref in _refs(git, tasks)])
        if refs:
            await git.out("update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in refs).encode())
            await git.out("gc", "--quiet", f"--prune={_YOUNG}")
            gone += len(refs)
    return gone


async def _refs(git: Git, tasks: Sequence[TaskId]) -> AsyncIterator[str]:
    """Branches, candidates, and the merges that later tasks began with."""
    for task in tasks:
        for ref in await _listed(git, f"{WINNERS}{task}", f"refs/moot/{task}/"):
            yield ref
            if ref.startswith(WINNERS):
                for merge in await _listed(git, f"--contains={ref}", STARTS):
                    yield merge


async def _listed(git: Git, *which: str) -> list[str]:
    return (await git.line("for-each-ref", "--format=%(refname)", *which)).split()

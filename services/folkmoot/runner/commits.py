"""Commits that the platform makes, and what they bring: the same for the same tree, parents and text."""

from collections.abc import Sequence

from folkmoot.kernel.ids import CommitId
from folkmoot.runner.git import Git

_NAME, _MAIL = "Folkmoot", "moot@localhost"
_LATEST = 4_102_444_800
"""2100-01-01, seconds: an absurd date of a parent's gives no absurd date of ours."""


async def platform_commit(git: Git, tree: str, parents: Sequence[CommitId], text: str, *, after: int) -> CommitId:
    """A commit of ours, one second younger than `after` (seconds since 1970), the date of its youngest parent."""
    when = min(after + 1, _LATEST)
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _identity(when)}
    onto = [word for parent in parents for word in ("-p", parent)]
    return CommitId(await git.line("commit-tree", tree, *onto, "-F", "-", stdin=text.encode(), env=who))


async def packed(git: Git, base: CommitId, commit: CommitId, *, limit: int) -> bytes:
    """What `commit` has and `base` has not, as a thin pack. Raises GitFailed."""
    wanted = f"{commit}\n^{base}\n".encode("ascii")
    return await git.out(
        "pack-objects", "--quiet", "--stdout", "--revs", "--thin", "--delta-base-offset", stdin=wanted, limit=limit
    )


def _identity(when: int) -> tuple[tuple[str, str], ...]:
    return ("NAME", _NAME), ("EMAIL", _MAIL), ("DATE", f"@{when} +0000")

"""What git says of a shadow history. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

FORMAT = "--format=%x01%H%x00%ct%x00%s"
"""Of `git log -z --raw`, for `versions`."""
_LATEST = 4_102_444_800
"""2100-01-01, seconds."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    path: bytes
    operation: str
    """A, M, D or T, as git says it."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    agent_id: str
    attempt: int
    number: int
    """Counts from 1; 0 is what the agent began with."""
    commit: str
    made_at: datetime
    what: str
    """The step, in a few words."""
    changes: tuple[Change, ...]


def versions(agent_id: str, attempt: int, output: bytes) -> list[Version]:
    """Reads `git log -z --raw --reverse --no-renames` with `FORMAT`."""
    return [
        Version(
            agent_id=agent_id,
            attempt=attempt,
            number=number,
            commit=commit,
            made_at=datetime.fromtimestamp(min(when, _LATEST), UTC),
            what=what,
            changes=changes,
        )
        for number, (commit, when, what, changes) in enumerate(_commits(output), 1)
    ]


def below(path: bytes, wanted: bytes) -> bool:
    """Whether it is `wanted`, or lies in that folder."""
    wanted = wanted.rstrip(b"/")
    return wanted in {b"", b"."} or path == wanted or path.startswith(wanted + b"/")


_Row = tuple[str, int, str, tuple[Change, ...]]


def _commits(output: bytes) -> Iterator[_Row]:
    """A path is what comes behind its head, whatever it looks like."""
    fields = iter(output.split(b"\0"))
    commit, when, what = "", 0, ""
    changes: list[Change] = []
    for field in fields:
        head = field.lstrip(b"\n")
        if head.startswith(b"\x01"):
            if commit:
                yield commit, when, what, tuple(changes)
            commit, when = head[1:].decode("ascii"), int(next(fields))
            what, changes = next(fields).decode("utf-8", "replace"), []
        elif head.startswith(b":"):
            changes.append(Change(path=next(fields), operation=head.rsplit(b" ", 1)[-1].decode("ascii")[:1]))
    if commit:
        yield commit, when, what, tuple(changes)

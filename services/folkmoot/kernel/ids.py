"""Identifiers, tainted by type so that one cannot be passed for another. All are single NATS subject tokens."""

import hashlib
import re
from typing import NewType

from folkmoot.kernel.errors import InvalidInput

StoryId = NewType("StoryId", str)
TaskId = NewType("TaskId", str)
AgentId = NewType("AgentId", str)
ProposalId = NewType("ProposalId", str)
WorkspaceId = NewType("WorkspaceId", str)
RepositoryId = NewType("RepositoryId", str)
CommitId = NewType("CommitId", str)
"""Forty (SHA-1) or sixty-four (SHA-256) lower-case hexadecimal digits."""

_TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")


def token(text: str, field: str) -> str:
    """Return `text` if it can stand alone in a subject, a branch and a folder name.

    Raises InvalidInput naming `field`.
    """
    if not _TOKEN.fullmatch(text):
        raise InvalidInput(field, f"{text[:80]!r} is no id: use lower-case letters, digits and '-', at most 63")
    return text


def commit_id(text: str, field: str) -> CommitId:
    """Raises InvalidInput naming `field` unless `text` is a full object id."""
    if not _COMMIT.fullmatch(text):
        raise InvalidInput(field, f"{text[:80]!r} is no full commit id")
    return CommitId(text)


def derived(prefix: str, *parts: str) -> str:
    """An id that is the same for the same parts, for ever: 80 bits of SHA-256 behind `prefix`."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    return f"{prefix}-{digest[:20]}"


def proposal_id(agent: AgentId, round_: int) -> ProposalId:
    """The proposal of `agent` in `round_` (counted from 1); unique within its task."""
    return ProposalId(f"{agent}-r{round_}")


def round_of(proposal: ProposalId) -> int:
    """The round that `proposal_id` was given."""
    return int(proposal.rpartition("-r")[2])


def workspace_id(task: TaskId, holder: str, attempt: int) -> WorkspaceId:
    """Derived, so that a repeated open finds the first workspace. `holder` is an agent or an examination."""
    return WorkspaceId(derived("ws", task, holder, str(attempt)))

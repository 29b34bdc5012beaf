"""What a tool does and says, as values. No I/O here."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import msgspec

from folkmoot.kernel.evidence import TestSuite
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId


class Read(msgspec.Struct, frozen=True):
    """Answered with the file's bytes."""

    path: str


class Write(msgspec.Struct, frozen=True):
    """Answered with None."""

    path: str
    content: bytes
    append: bool = False


class ListPaths(msgspec.Struct, frozen=True):
    """Answered with entries of the workspace port."""

    path: str
    depth: int


class Execute(msgspec.Struct, frozen=True):
    """Answered with a `Completed` of the workspace port."""

    argv: Sequence[str]
    stdin: bytes = b""
    timeout_s: float = 60.0
    output_limit: int = 1_000_000
    """Bytes of each stream."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of a review, with its reproducer. Answered with its number, from 1; raises ResourceExhausted when there
    are too many."""

    proposal_id: ProposalId
    claim: str
    severity: str
    path: str
    content: str


Command = Read | Write | ListPaths | Execute | Report


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A tool's result, before it is cut to size."""

    ok: bool = True
    error: str = ""
    """In words; empty when ok."""
    facts: Mapping[str, object] = {}
    """Small JSON values."""
    output: str | None = None
    """The one large text."""
    exit_code: int | None = None
    summary: str | None = None
    """Of `submit` and `finish_review`: the run is over."""
    bundle: bytes | None = None
    """Of `submit`: a git bundle of the commits since base, if they could be packed at once."""


Plan = Generator[Command, Any, Answer]
"""Yields commands to the workspace, receives what they gave, returns the answer."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What tools know besides their arguments."""

    task_id: TaskId
    agent_id: AgentId
    base: CommitId
    suite: TestSuite | None
    timeout_s: float = 120.0
    """Default of `run`."""
    bundle_bytes: int = 64 * 1024**2
    """Largest bundle that is handed in."""
    candidates: Mapping[str, ProposalId] = {}
    """Those that a reviewer is shown, by alias."""
    document: bool = False
    """`submit` hands a document in: nothing is committed or packed."""


def failed(error: str) -> Answer:
    return Answer(ok=False, error=error)

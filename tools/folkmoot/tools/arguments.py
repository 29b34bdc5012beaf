"""The arguments of every tool. Field names are fixed by the contract; optional ones may be null."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Path = Annotated[str, Meta(min_length=1, max_length=4096, description="relative to the repository's root")]
Positive = Annotated[int, Meta(ge=1)]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all."""


class ReadFile(Arguments, frozen=True, kw_only=True):
    path: Path
    start_line: Annotated[Positive | None, Meta(description="first line, from 1")] = None
    end_line: Annotated[Positive | None, Meta(description="last line, included")] = None


class WriteFile(Arguments, frozen=True, kw_only=True):
    path: Path
    content: str


class AppendFile(Arguments, frozen=True, kw_only=True):
    path: Path
    content: str


class EditFile(Arguments, frozen=True, kw_only=True):
    path: Path
    old: Annotated[str, Meta(description="exact text that stands there now, white space included")]
    new: str
    replace_all: Annotated[bool | None, Meta(description="replace every match; otherwise there must be one")] = None


class ListFiles(Arguments, frozen=True, kw_only=True):
    path: Path | None = None
    depth: Annotated[int, Meta(ge=1, le=20)] | None = None


class Search(Arguments, frozen=True, kw_only=True):
    pattern: Annotated[str, Meta(min_length=1, max_length=2000, description="regular expression")]
    path: Path | None = None
    glob: Annotated[str, Meta(max_length=500, description="of file names, as *.py")] | None = None


class Run(Arguments, frozen=True, kw_only=True):
    command: Annotated[str, Meta(min_length=1, max_length=32_000, description="shell line, run at the root")]
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] | None = None


class RunTests(Arguments, frozen=True, kw_only=True):
    targets: Annotated[list[str], Meta(max_length=100, description="files or test ids; all when null")] | None = None


class GitStatus(Arguments, frozen=True, kw_only=True):
    pass


class GitDiff(Arguments, frozen=True, kw_only=True):
    path: Path | None = None


class GitLog(Arguments, frozen=True, kw_only=True):
    count: Annotated[int, Meta(ge=1, le=200)] | None = None


class Commit(Arguments, frozen=True, kw_only=True):
    message: Annotated[str, Meta(min_length=1, max_length=10_000)]


class Submit(Arguments, frozen=True, kw_only=True):
    summary: Annotated[str, Meta(max_length=10_000, description="what you changed, and why it is right")]


class Reproducer(Arguments, frozen=True, kw_only=True):
    path: Annotated[str, Meta(min_length=1, description="a new test file, where this repository's tests lie")]
    content: Annotated[str, Meta(min_length=1, description="the whole file; fails where the claim is true")]


class ReportFinding(Arguments, frozen=True, kw_only=True):
    proposal_id: Annotated[str, Meta(min_length=1, max_length=200, description="as shown: candidate-1, candidate-2, …")]
    claim: Annotated[str, Meta(min_length=1, max_length=2000, description="what is wrong with it")]
    severity: Annotated[Literal["low", "medium", "high"], Meta(extra_json_schema={"type": "string"})]
    reproducer: Reproducer


class FinishReview(Arguments, frozen=True, kw_only=True):
    summary: Annotated[str, Meta(max_length=10_000, description="what you looked at")]

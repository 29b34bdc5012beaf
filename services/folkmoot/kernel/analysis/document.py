"""The document that an analysis ends in: one schema for a plan, a review, a root cause and a suggested patch."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import AgentId, ProposalId

MAX_CHARS = 20_000
"""Of a document as JSON: a judge sees it whole, beside another."""
MAX_SUMMARY_CHARS = 2_000
MAX_CLAIMS = 40
MAX_COMMANDS = 8
"""Claims with a command, each of which is run in a workspace of its own."""
MAX_STEPS = 60
MAX_TEXT_CHARS = 2_000
MAX_COMMAND_CHARS = 1_000
MAX_PATH_CHARS = 500
PROBLEM_CHARS = 300
"""Of what is wrong with a claim: all of them stand in one event."""


class Kind(StrEnum):
    PLAN = "plan"
    REVIEW = "review"
    ROOT_CAUSE = "root_cause"
    PATCH = "patch"
    """A suggestion: nobody applies it."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of the code, with what shows it: a place in a file of base, or a command and what it prints."""

    text: str
    path: str = ""
    """Of a file at base."""
    start_line: int = 0
    """From 1; 0: the whole file."""
    end_line: int = 0
    """0: `start_line` alone."""
    quote: str = ""
    """Stands in these lines, word for word."""
    command: str = ""
    """A shell line, run at the root of a fresh workspace at base."""
    output: str = ""
    """Stands in what the command prints. Empty: it exits with 0."""

    @property
    def checkable(self) -> bool:
        return bool(self.path or self.command)


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Kind
    summary: str
    claims: tuple[Claim, ...] = ()
    steps: tuple[str, ...] = ()
    """What is to be done, in order."""
    patch: str = ""
    """A unified diff."""


class Finding(StrEnum):
    """What the platform found of a claim."""

    HOLDS = "holds"
    FALSE = "false"
    UNCHECKED = "unchecked"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a document, looked at by the platform."""

    finding: Finding
    problem: str = ""
    """Why it is false, or could not be checked."""


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """A document as a candidate."""

    proposal_id: ProposalId
    agent_id: AgentId
    kind: Kind
    document: ArtifactRef
    """JSON of `Document`."""
    checked: tuple[Checked, ...] = ()
    """One for each claim, in order."""

    def count(self, finding: Finding) -> int:
        return sum(c.finding is finding for c in self.checked)


def document_of(text: str) -> Document:
    """The document in an agent's words. Raises InvalidInput naming the field, as `document.claims[2].path`."""
    try:
        found = msgspec.json.decode(text, type=Document)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise InvalidInput("document" + place.rstrip("`"), problem) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput("document", f"`summary` is no JSON object under the schema of documents: {error}") from error
    return _sound(found)


def written(document: Document) -> bytes:
    """As it is kept."""
    return msgspec.json.encode(document)


def mapped(document: Document, change: Callable[[str], str]) -> Document:
    """With `change` made to every text that its author wrote."""
    replace = msgspec.structs.replace
    texts = ("text", "path", "quote", "command", "output")
    claims = tuple(replace(c, **{name: change(getattr(c, name)) for name in texts}) for c in document.claims)
    return replace(
        document,
        summary=change(document.summary),
        claims=claims,
        steps=tuple(change(step) for step in document.steps),
        patch=change(document.patch),
    )


def _sound(document: Document) -> Document:
    size = len(msgspec.json.encode(document).decode())
    if size > MAX_CHARS:
        raise InvalidInput("document", f"{size} characters as JSON; at most {MAX_CHARS}")
    _text("document.summary", document.summary, MAX_SUMMARY_CHARS)
    _few("document.claims", len(document.claims), MAX_CLAIMS)
    _few("document.steps", len(document.steps), MAX_STEPS)
    for i, step in enumerate(document.steps):
        _text(f"document.steps[{i}]", step, MAX_TEXT_CHARS)
    for i, claim in enumerate(document.claims):
        _claim(f"document.claims[{i}]", claim)
    commands = sum(bool(c.command) for c in document.claims)
    if commands > MAX_COMMANDS:
        raise InvalidInput("document.claims", f"{commands} of them have a command; at most {MAX_COMMANDS}")
    if document.kind is Kind.PLAN and not document.steps:
        raise InvalidInput("document.steps", "a plan has at least one")
    if document.kind is Kind.PATCH and not document.patch.strip():
        raise InvalidInput("document.patch", "is empty in a document of kind patch")
    return document


def _claim(field: str, claim: Claim) -> None:
    _text(f"{field}.text", claim.text, MAX_TEXT_CHARS)
    _plain_path(f"{field}.path", claim.path)
    if len(claim.command) > MAX_COMMAND_CHARS or "\x00" in claim.command:
        raise InvalidInput(f"{field}.command", f"has more than {MAX_COMMAND_CHARS} characters, or a NUL in it")
    if not claim.path and (claim.start_line or claim.end_line or claim.quote):
        raise InvalidInput(f"{field}.path", "is empty, and lines or a quote are of a file")
    if not claim.command and claim.output:
        raise InvalidInput(f"{field}.command", "is empty, and `output` is of a command")
    if claim.start_line < 0 or (claim.end_line and not 1 <= claim.start_line <= claim.end_line):
        raise InvalidInput(f"{field}.start_line", f"{claim.start_line} to {claim.end_line}: lines count from 1")


def _plain_path(field: str, path: str) -> None:
    parts = path.split("/")
    if path and (len(path) > MAX_PATH_CHARS or not path.isprintable() or not all(parts) or {".", ".."} & set(parts)):
        raise InvalidInput(field, f"{path[:80]!r} is no plain path below the repository's root")


def _text(field: str, value: str, limit: int) -> None:
    if not value.strip():
        raise InvalidInput(field, "is empty")
    if len(value) > limit:
        raise InvalidInput(field, f"{len(value)} characters; at most {limit}")


def _few(field: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidInput(field, f"{count} of them; at most {limit}")

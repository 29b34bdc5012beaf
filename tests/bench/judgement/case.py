"""A case: a repository, a story, candidates, and everything else that a deliberation on it is played from.

This is the contract for pools of others: `read` and `write` give the folder of a case; docs/judgement.md tells it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

RIGHT, WRONG, CHEAT, NOTHING = "right", "wrong", "cheat", "no-op"
LABELS = (RIGHT, WRONG, CHEAT, NOTHING)


SEATS = 5
"""Agents of the council that sits: from the sixth on they come again, with a number behind their names."""


def seat(name: str) -> str:
    """What the platform calls the agent of a candidate: `dev-6` is `dev-1-2`."""
    turn, place = divmod(int(name.removeprefix("dev-")) - 1, SEATS)
    return f"dev-{place + 1}" + (f"-{turn + 1}" if turn else "")


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reviewer reports."""

    of: str
    """Name of the candidate."""
    claim: str
    path: str
    """Of the reproducer."""
    content: str
    severity: str = "medium"


class Revision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an author makes of criticism, on top of his own candidate."""

    label: str
    files: dict[str, str]
    deletes: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    """Also the id of the agent that makes it: `dev-1`, `dev-2`, …"""
    label: str
    """`right`, `wrong`, `cheat` or `no-op`."""
    files: dict[str, str]
    """Content by path, over base's; its own tests among them."""
    deletes: tuple[str, ...] = ()
    tests: str = ""
    """What its own tests are worth: `good`, `vacuous`, `toxic`, `bound` or `none`. For slices only."""
    findings: tuple[Finding, ...] = ()
    revision: Revision | None = None
    kind: str = ""
    """What it was made from, in words of the pool's. For slices only."""


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a writer who sees these two would write."""

    pair: tuple[str, str]
    files: dict[str, str]


class Judge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the one who compares two candidates answers, decided per pair by a hash."""

    right: float = 0.6
    """Says in both orders that the right one is better."""
    first: float = 0.15
    """Says in both orders that the first one is better."""
    tie: float = 0.1
    """The rest: in both orders the wrong one."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    language: str
    title: str
    story: str
    base: dict[str, str]
    candidates: tuple[Candidate, ...]
    hidden: dict[str, str]
    """Tests that are the truth: all of them pass on a right candidate, and on no other."""
    checks: tuple[str, ...] = ()
    sealed: tuple[dict[str, str], ...] = ()
    """Test files, by writer who saw no candidate."""
    splits: tuple[Split, ...] = ()
    judge: Judge = Judge()
    mirror: bool = False
    """A right and an acceptable wrong candidate whose authors' tests contradict each other with equal support."""
    tags: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Label by candidate, revisions (`dev-1-r2`) included."""
        first = {c.name: c.label for c in self.candidates}
        return first | {f"{c.name}-r2": c.revision.label for c in self.candidates if c.revision}

    @property
    def seats(self) -> dict[str, str]:
        """Candidate by agent, as the platform calls it."""
        return {seat(c.name): c.name for c in self.candidates}

    def commit_files(self, name: str) -> dict[str, str | None]:
        """What the commit `dev-1` or `dev-1-r2` makes of base; None deletes."""
        plain = name.removesuffix("-r2")
        candidate = next(c for c in self.candidates if c.name == plain)
        found: dict[str, str | None] = dict(candidate.files) | dict.fromkeys(candidate.deletes)
        if name != plain and candidate.revision:
            found |= dict(candidate.revision.files) | dict.fromkeys(candidate.revision.deletes)
        return found


# --- folders -----------------------------------------------------------------------------------------------------


def write(case: Case, folder: Path) -> None:
    """`case.json` with all but the files' contents, which lie beside it; equal contents once."""
    bodies = folder / "files"
    bodies.mkdir(parents=True, exist_ok=True)

    def kept(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            if key in ("files", "base", "hidden", "sealed"):
                return {path: _body(bodies, path, str(text)) for path, text in value.items()}
            return {k: kept(v, k) for k, v in value.items()}
        return [kept(v, key) for v in value] if isinstance(value, list | tuple) else value

    document = kept(msgspec.to_builtins(case))
    (folder / "case.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _body(bodies: Path, path: str, content: str) -> str:
    name = f"{hashlib.sha256(content.encode()).hexdigest()[:12]}-{Path(path).name}"
    (bodies / name).write_text(content, "utf-8")
    return f"files/{name}"


def read(folder: Path) -> Case:
    """Raises msgspec.ValidationError, ValueError or OSError for what is no case."""

    def filled(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            if key in ("files", "base", "hidden", "sealed"):
                return {path: (folder / str(name)).read_text("utf-8") for path, name in value.items()}
            return {k: filled(v, k) for k, v in value.items()}
        return [filled(v, key) for v in value] if isinstance(value, list) else value

    case = msgspec.convert(filled(json.loads((folder / "case.json").read_text("utf-8"))), Case)
    if problem := _problem(case):
        raise ValueError(f"{folder.name}: {problem}")
    return case


def _problem(case: Case) -> str:
    """What makes a case unplayable, in words; empty when nothing does."""
    seats = [f"dev-{i}" for i in range(1, len(case.candidates) + 1)]
    known = set(case.names)
    if [c.name for c in case.candidates] != seats:
        return f"candidates are called {', '.join(seats)}, in this order"
    if unknown := set(case.names.values()) - set(LABELS):
        return f"no label {', '.join(sorted(unknown))}; there are {', '.join(LABELS)}"
    if unknown := {f.of for c in case.candidates for f in c.findings} - known:
        return f"a finding is about {', '.join(sorted(unknown))}, which is no candidate"
    if unknown := {name for s in case.splits for name in s.pair} - known:
        return f"a split is of {', '.join(sorted(unknown))}, which is no candidate"
    return "" if case.hidden else "there are no hidden tests: nothing says what is right"


def write_pool(cases: Iterable[Case], folder: Path) -> None:
    for case in cases:
        write(case, folder / case.id)


def read_pool(folder: Path) -> list[Case]:
    return [read(file.parent) for file in sorted(folder.glob("*/case.json"))]

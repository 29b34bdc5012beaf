"""The candidate x test matrix in words for agents: of a writer of tests, what he had seen, never who he is. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from folkmoot.kernel.deliberation import BASE
from folkmoot.kernel.evidence import Examination, Exhibit, Outcome, Source, SuiteKind
from folkmoot.kernel.ids import ProposalId

NAMED = 12
"""Tests of one row that are named; the others are counted."""
NAME_CHARS = 200

_WORDS = {Outcome.PASSED: "pass", Outcome.FAILED: "fail", Outcome.ERROR: "error", Outcome.SKIPPED: "skip"}
_WRITERS = {
    Source.CANDIDATE: "Tests that came with another candidate",
    Source.FINDING: "Tests of a reviewer",
    Source.SEALED: "Tests of somebody who has seen no candidate",
    Source.SPLIT: "Tests of somebody who compared two candidates",
    Source.PROBE: "What calls give that no test makes (nobody has said what is right)",
}


def described(
    exhibits: Iterable[Exhibit],
    runs: Sequence[Examination],
    columns: Mapping[str, ProposalId],
    names: Mapping[ProposalId, str],
) -> str:
    """A paragraph for each exhibit, in an order that says nothing of its author. `columns` are the candidates that are
    told of, by name; `names` may know more proposals of the same content."""
    subjects = {"base": BASE, **columns}
    paragraphs = {(written_by(e, names), e.pack.files.sha256): _paragraph(e, runs, subjects, names) for e in exhibits}
    return "\n\n".join(text for _, text in sorted(paragraphs.items()) if text)


def written_by(exhibit: Exhibit, names: Mapping[ProposalId, str]) -> str:
    """As a heading: whose tests they are."""
    author = names.get(exhibit.proposal_id) if exhibit.source is Source.CANDIDATE else None
    return f"Tests that came with {author}" if author else _WRITERS[exhibit.source]


def cells(exhibit_id: str, subject: str, runs: Iterable[Examination]) -> dict[str, str]:
    """What each test came to there, in a word; `flaky` where runs differ. Empty where it was not run."""
    found: dict[str, set[str]] = {}
    every = [r for r in runs if (r.kind, r.name, r.subject) == (SuiteKind.EXHIBIT, exhibit_id, subject)]
    for run in every:
        for test, outcome in run.tests.items():
            found.setdefault(test, set()).add(_WORDS[outcome])
    return {test: words.pop() if len(words) == 1 else "flaky" for test, words in found.items()}


def _paragraph(
    exhibit: Exhibit, runs: Sequence[Examination], subjects: Mapping[str, str], names: Mapping[ProposalId, str]
) -> str:
    seen = {name: cells(exhibit.exhibit_id, subject, runs) for name, subject in subjects.items()}
    absent = {name: _absent(exhibit.exhibit_id, subject, runs) for name, subject in subjects.items()}
    rows: dict[str, list[str]] = {}
    for test in sorted({test for column in seen.values() for test in column}):
        if exhibit.source is Source.PROBE and all(test in column for name, column in seen.items() if name != BASE):
            continue
        row = ", ".join(f"{name} {column.get(test, absent[name])}" for name, column in seen.items())
        rows.setdefault(row, []).append(test)
    lines = [f"- {row}: {_listed(tests)}" for row, tests in rows.items()]
    return "\n".join([f"{written_by(exhibit, names)}:", *lines]) if lines else ""


def _absent(exhibit_id: str, subject: str, runs: Iterable[Examination]) -> str:
    """Of a test that a run does not tell of."""
    ends = [r.end for r in runs if (r.kind, r.name, r.subject) == (SuiteKind.EXHIBIT, exhibit_id, subject)]
    if not ends:
        return "not run"
    return "timeout" if any(end.limit == "time" for end in ends) else "missing"


def _listed(tests: Sequence[str]) -> str:
    more = len(tests) - NAMED
    return ", ".join(t[:NAME_CHARS] for t in tests[:NAMED]) + (f" and {more} more" if more > 0 else "")

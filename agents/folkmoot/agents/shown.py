"""What agents are shown of each other's work: diffs, outcomes and tests, never a name, a summary or a hint of who did
what. Pure: from what the platform saw to words; what is foreign in them is quoted."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from folkmoot.agents.assignment import Shown
from folkmoot.agents.matrix import described, written_by
from folkmoot.agents.quoting import quoted
from folkmoot.kernel.evidence import Admission, Examination, Exhibit, Finding, Outcome, PackedFile
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.jury.evidence import Candidate
from folkmoot.kernel.jury.standing import Objection
from folkmoot.runtime.redact import redacted
from folkmoot.tools.text import left_out, readable, shortened

DIFF_CHARS = 24_000
"""Of one candidate."""
EVIDENCE_CHARS = 16_000
"""Of gates and matrix together."""
TEST_CHARS = 8_000
"""Of one file of tests."""
FILES_CHARS = 24_000
"""Of all files of one exhibit."""
TESTS_CHARS = 40_000
"""Of all that an author is shown of the tests that he fails."""
OUTPUT_CHARS = 3_000
"""Of what one run of tests printed."""
CLAIM_CHARS = 2_000
MARGIN_CHARS = 4_000
"""Secrets are looked for so far beyond what is shown: half of one would not be known as one."""

_ALIAS = re.compile(r"\bcandidate-\d+\b")
_OUTCOMES = {Outcome.FAILED: "fails", Outcome.ERROR: "error", Outcome.SKIPPED: "skipped", None: "did not run"}


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What the words are made of."""

    base: tuple[Examination, ...]
    candidates: tuple[Candidate, ...]
    """All that may be shown."""
    diffs: Mapping[ProposalId, bytes]
    """Of those that are shown; bodies of `Admission.diff`."""
    exhibits: tuple[Exhibit, ...] = ()
    faults: Mapping[ProposalId, tuple[str, ...]] = {}
    """As in `Standing`."""


class Objected(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of one exhibit that an author's candidate does not pass, with what he may see of them."""

    exhibit: Exhibit
    objections: tuple[Objection, ...]
    files: tuple[PackedFile, ...]
    """Of its pack."""
    claims: tuple[str, ...] = ()
    """What a reviewer says that they show."""
    output: bytes = b""
    """What the run on this candidate printed."""


def aliases(admissions: Iterable[Admission]) -> dict[ProposalId, str]:
    """`candidate-1` and so on, in an order that only the content decides; one name for all of the same tree."""
    every = sorted(admissions, key=lambda a: (a.tree, a.proposal_id))
    names = {tree: f"candidate-{n}" for n, tree in enumerate(dict.fromkeys(a.tree for a in every), 1)}
    return {a.proposal_id: names[a.tree] for a in every}


def to_reviewer(sight: Sight, reader: AgentId) -> tuple[tuple[Shown, ...], str]:
    """`shown` and `evidence` of an assignment: all candidates but the reader's own, what is the same only once."""
    return _shown(sight, [c.admission for c in sight.candidates if c.admission.agent_id != reader])


def to_splitter(sight: Sight, pair: tuple[ProposalId, ProposalId]) -> tuple[tuple[Shown, ...], str]:
    """`shown` and `evidence` of an assignment: the two."""
    return _shown(sight, [c.admission for c in sight.candidates if c.admission.proposal_id in pair])


def _shown(sight: Sight, admissions: Sequence[Admission]) -> tuple[tuple[Shown, ...], str]:
    names = aliases(admissions)
    first: dict[str, ProposalId] = {}
    for proposal, alias in names.items():
        first.setdefault(alias, proposal)
    shown = (Shown(alias=a, proposal_id=p, diff=foreign(sight.diffs[p], DIFF_CHARS)) for a, p in first.items())
    return tuple(shown), evidence(sight, first, names)


def evidence(sight: Sight, columns: Mapping[str, ProposalId], names: Mapping[ProposalId, str]) -> str:
    """What the platform saw of the candidates in `columns`, by name; `names` may know more of the same content."""
    authors = {c.admission.proposal_id: c.admission.agent_id for c in sight.candidates}
    gates = "\n".join(f"{name}: {_gates(authors[p], sight.faults.get(p, ()))}" for name, p in columns.items())
    runs = [*sight.base, *(run for candidate in sight.candidates for run in candidate.examinations)]
    text = f"{gates}\n\n{described(sight.exhibits, runs, columns, names)}".strip()
    return quoted("evidence", foreign(text.encode("utf-8", "replace"), EVIDENCE_CHARS), chars=EVIDENCE_CHARS)


def _gates(author: AgentId, faults: Sequence[str]) -> str:
    if not faults:
        return "nothing that base guards is broken, and the task's checks pass"
    return "; ".join(_unnamed(author, fault) for fault in faults)


def _unnamed(author: AgentId, fault: str) -> str:
    """The jury says in front whose fault it is."""
    return fault.removeprefix(author).lstrip(": ") if fault.startswith((f"{author} ", f"{author}: ")) else fault


def to_author(author: AgentId, faults: Sequence[str], objected: Iterable[Objected]) -> str:
    """`evidence` of a revision. The weightiest first: what does not fit is counted."""
    said = "\n".join(f"Your candidate: {_unnamed(author, fault)}" for fault in faults).encode("utf-8", "replace")
    parts = [quoted("evidence", foreign(said, EVIDENCE_CHARS), chars=EVIDENCE_CHARS)] if said else []
    left, hidden = TESTS_CHARS, 0
    for one in objected:
        text = _objected(one)
        if len(text) > left:
            hidden += len(one.objections)
            continue
        left -= len(text)
        parts.append(text)
    if hidden:
        parts.append(f"{hidden} more tests that your candidate does not pass are not shown.")
    return "\n\n".join(parts)


def _objected(one: Objected) -> str:
    failing = "\n".join(f"{o.test}: {_OUTCOMES.get(o.outcome, 'does not pass')}" for o in one.objections)
    written = [file for file in one.files if file.path in one.exhibit.pack.paths]
    chars = min(TEST_CHARS, FILES_CHARS // max(1, len(written)))
    parts = [
        f"## {written_by(one.exhibit, {})}",
        quoted("result", failing, chars=TEST_CHARS),
        *(quoted("claim", _ALIAS.sub("a candidate", claim), chars=CLAIM_CHARS) for claim in one.claims),
        *(quoted("test", foreign(f.content, chars), name=_plain(f.path), chars=chars) for f in written),
    ]
    if one.output:
        parts.append(quoted("output", foreign(one.output, OUTPUT_CHARS), chars=OUTPUT_CHARS))
    return "\n\n".join(parts)


def _plain(path: str) -> str:
    """Fit for a label."""
    return "".join(c for c in path if c.isprintable() and c not in '"<>')[:200]


def claims(findings: Iterable[Finding], exhibit_id: str) -> tuple[str, ...]:
    """What reviewers say with that exhibit as their proof: of one candidate, and it may hold of others too."""
    return tuple(f.claim for f in findings if f.exhibit_id == exhibit_id)


def foreign(body: bytes, chars: int) -> str:
    """Readable, without secrets, the middle left out above `chars` and counted."""
    text, half = readable(body), chars // 2
    if len(text) <= chars + 2 * MARGIN_CHARS:
        return shortened(redacted(text), chars)
    head, tail = redacted(text[: half + MARGIN_CHARS]), redacted(text[-half - MARGIN_CHARS :])
    return head[:half] + left_out(text[half:-half]) + tail[-half:]

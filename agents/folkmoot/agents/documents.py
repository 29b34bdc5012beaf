"""What a critic and a judge are shown of the documents of an analysis: their texts, and what the platform found of
their claims. Never who wrote them. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from folkmoot.agents.assignment import Shown
from folkmoot.agents.judge import Pair
from folkmoot.agents.quoting import quoted
from folkmoot.agents.shown import DIFF_CHARS, EVIDENCE_CHARS, foreign
from folkmoot.kernel.analysis.document import Document, Finding, Paper
from folkmoot.kernel.facts import Reviewed
from folkmoot.kernel.ids import AgentId, ProposalId

CRITICISM_CHARS = 1_500
"""Of one author."""

_ALIAS = re.compile(r"\bcandidate-\d+\b")
_FOUND = {Finding.FALSE: "is false", Finding.UNCHECKED: "could not be checked"}

Bodies = Mapping[ProposalId, bytes]
"""JSON of each document."""


def aliases(papers: Iterable[Paper]) -> dict[ProposalId, str]:
    """`candidate-1` and so on, in an order that only the content decides; one name for the same content."""
    every = sorted(papers, key=lambda p: (p.document.sha256, p.proposal_id))
    names = {sha: f"candidate-{n}" for n, sha in enumerate(dict.fromkeys(p.document.sha256 for p in every), 1)}
    return {p.proposal_id: names[p.document.sha256] for p in every}


def to_critic(papers: Sequence[Paper], bodies: Bodies) -> tuple[tuple[Shown, ...], str]:
    """`shown` and `evidence` of an assignment: documents of others, what is the same only once."""
    names = aliases(papers)
    known = {p.proposal_id: p for p in papers}
    first = {name: proposal for proposal, name in reversed(names.items())}
    shown = (Shown(alias=a, proposal_id=p, diff=text(bodies[p])) for a, p in sorted(first.items(), key=_number))
    return tuple(shown), _quoted(found(known[p], name) for name, p in sorted(first.items(), key=_number))


def _number(named: tuple[str, ProposalId]) -> int:
    return int(named[0].rpartition("-")[2])


def text(body: bytes) -> str:
    """A document for a model to read: JSON, a field on each line, without those that are empty."""
    try:
        document = msgspec.json.decode(body, type=Document)
    except (msgspec.MsgspecError, UnicodeError):
        return "(the document is lost)"
    said = _without_empty(msgspec.to_builtins(document))
    return foreign(msgspec.json.format(msgspec.json.encode(said), indent=1), DIFF_CHARS)


def _without_empty(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v not in ("", 0, [], ())}
    return [_without_empty(v) for v in value] if isinstance(value, (list, tuple)) else value


def found(paper: Paper, name: str) -> str:
    """What the platform found of its claims, in words that call it `name`."""
    counts = ", ".join(f"{paper.count(finding)} {finding}" for finding in Finding)
    lines = [f"{name}: claims: {counts}"]
    for number, claim in enumerate(paper.checked, 1):
        if claim.finding in _FOUND:
            lines.append(f"{name}: claim {number} {_FOUND[claim.finding]}: {claim.problem}")
    return "\n".join(lines)


def _quoted(words: Iterable[str]) -> str:
    body = "\n".join(words).encode("utf-8", "replace")
    return quoted("evidence", foreign(body, EVIDENCE_CHARS), chars=EVIDENCE_CHARS)


def paired(
    one: Paper,
    other: Paper,
    *,
    papers: Sequence[Paper],
    bodies: Bodies,
    reviews: Sequence[Reviewed],
    judge: AgentId,
    role: str,
    title: str,
    task: str,
) -> Pair:
    """`papers` are all of the task: critics called them by names of their own."""
    return Pair(
        one=one.proposal_id,
        other=other.proposal_id,
        judge=judge,
        role=role,
        title=title,
        text=task,
        checks=(),
        diffs=(text(bodies[one.proposal_id]), text(bodies[other.proposal_id])),
        evidence=(_seen(one, other, papers, reviews), _seen(other, one, papers, reviews)),
        documents=True,
    )


def _seen(first: Paper, second: Paper, papers: Sequence[Paper], reviews: Sequence[Reviewed]) -> str:
    parts = [_quoted((found(first, "first"), found(second, "second")))]
    said = (_criticism(review, first, second, papers) for review in reviews)
    return "\n\n".join([*parts, *sorted(words for words in said if words)])


def _criticism(review: Reviewed, first: Paper, second: Paper, papers: Sequence[Paper]) -> str:
    """In the judge's names for the two; empty where it speaks of neither."""
    names = aliases(p for p in papers if p.agent_id != review.work.agent_id)
    meant = {names[p.proposal_id]: name for p, name in ((first, "first"), (second, "second")) if p.proposal_id in names}
    if not any(re.search(rf"\b{alias}\b", review.summary) for alias in meant):
        return ""
    words = _ALIAS.sub(lambda alias: meant.get(alias[0], "another document"), review.summary)
    return quoted("criticism", foreign(words.encode("utf-8", "replace"), CRITICISM_CHARS), chars=CRITICISM_CHARS)

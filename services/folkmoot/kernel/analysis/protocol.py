"""How an analysis task goes on, and how its documents are ranked. Pure.

    propose -> [ critique ] -> judge -> rank

A document with a false claim stands below all without one, and is not acceptable. The others are compared pair by pair:
who is preferred to more of them (Copeland) is ahead; then who has fewer claims that could not be checked; then the
shorter one. No probability is known of a document, so that there is no confidence.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from folkmoot.kernel.analysis.document import Finding, Paper
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.facts import CandidatesRanked, Stage, Staged, Work
from folkmoot.kernel.ids import ProposalId
from folkmoot.kernel.protocol import SPENT
from folkmoot.kernel.result import DecidedBy, Ranked
from folkmoot.kernel.task import Rigor

_CRITICISED = (Rigor.L2, Rigor.L3)
REASONS = 5
"""Of a kind that are told."""
REASON_CHARS = 600

_Key = tuple[int, int, int]
"""Ascending: verdicts won less those lost, with the sign turned; unchecked claims; bytes."""


def following(state: Deliberation, version: str, *, spent: str = "") -> Staged:
    """The stage after all works of the last one have ended; `version` is the policy's. `spent` says which limit of the
    task is used up, in words; empty: none."""
    good = distinct(acceptable(state.papers))
    pairs = tuple(itertools.combinations([p.proposal_id for p in good], 2))
    done = {s.stage for s in state.staged}
    if spent:
        return _rank(version, f"{spent}: {SPENT}")
    if not pairs or state.spec.rigor is Rigor.L0 or not any(h.duty == "judge" for h in state.helpers):
        return _rank(version, "there are no two documents to compare")
    if state.spec.rigor in _CRITICISED and Stage.CRITIQUE not in done:
        works = tuple(Work(agent_id=p.agent_id, phase="review") for p in state.papers)
        return Staged(stage=Stage.CRITIQUE, works=works, reasons=("authors read what others wrote",), policy=version)
    if Stage.JUDGE not in done:
        reasons = (f"{len(good)} documents are compared, each with each",)
        return Staged(stage=Stage.JUDGE, pairs=pairs, reasons=reasons, policy=version)
    return _rank(version, "every pair is judged")


def _rank(version: str, reason: str) -> Staged:
    return Staged(stage=Stage.RANK, reasons=(reason,), policy=version)


def acceptable(papers: Iterable[Paper]) -> list[Paper]:
    """None of their claims was found false."""
    return [p for p in papers if not p.count(Finding.FALSE)]


def distinct(papers: Iterable[Paper]) -> list[Paper]:
    """Each content once, in an order that only content decides."""
    first: dict[str, Paper] = {}
    for paper in sorted(papers, key=_content):
        first.setdefault(paper.document.sha256, paper)
    return list(first.values())


def _content(paper: Paper) -> tuple[str, ProposalId]:
    return paper.document.sha256, paper.proposal_id


def ranked(state: Deliberation, version: str) -> CandidatesRanked:
    """The order of documents, and the first of them chosen if it is acceptable."""
    score = _Score(state.papers, state.verdicts)
    order = sorted(acceptable(state.papers), key=lambda p: (score.key(p), _content(p)))
    bad = sorted((p for p in state.papers if p not in order), key=lambda p: (p.count(Finding.FALSE), _content(p)))
    keys = [score.key(p) for p in order]
    good = [_line(p, 1 + keys.index(score.key(p)), score) for p in order]
    by = _decided_by(order, score, state) if order else None
    return CandidatesRanked(
        ranking=(*good, *(_line(p, len(order) + 1, score) for p in bad)),
        chosen=order[0].proposal_id if order else None,
        decided_by=by,
        confidence=None,
        reasons=tuple(_reasons(order, by, state)),
        policy=version,
        settle=() if order else ("ask again: the task's text may name the files that claims are to rest on",),
    )


class _Score:
    """What verdicts say of each content: twins have it together."""

    def __init__(self, papers: Sequence[Paper], verdicts: Sequence[Verdict]) -> None:
        contents = {p.proposal_id: p.document.sha256 for p in papers}
        said = [v for v in verdicts if v.one in contents and v.other in contents]
        clear = [v for v in said if v.consistent and v.better in (v.one, v.other)]
        self._won = Counter(contents[v.better] for v in clear if v.better)
        self._lost = Counter(contents[v.other if v.better == v.one else v.one] for v in clear)
        self._compared = Counter(contents[p] for v in said for p in (v.one, v.other))

    def key(self, paper: Paper) -> _Key:
        return -self.net(paper), paper.count(Finding.UNCHECKED), paper.document.size

    def net(self, paper: Paper) -> int:
        return self._won[paper.document.sha256] - self._lost[paper.document.sha256]

    def words(self, paper: Paper) -> str:
        """Empty where it was compared with none."""
        content = paper.document.sha256
        if not self._compared[content]:
            return ""
        won, lost = self._won[content], self._lost[content]
        return f"comparisons: {won} won, {lost} lost, {self._compared[content] - won - lost} level"


def _line(paper: Paper, rank: int, score: _Score) -> Ranked:
    return Ranked(
        proposal_id=paper.proposal_id,
        agent_id=paper.agent_id,
        rank=rank,
        acceptable=not paper.count(Finding.FALSE),
        reasons=(*filter(None, (score.words(paper), _counted(paper))), *_wrong(paper)),
        commit=None,
        scores={
            "comparisons": float(score.net(paper)),
            **{f"claims_{finding}": float(paper.count(finding)) for finding in Finding},
            "bytes": float(paper.document.size),
        },
    )


def _counted(paper: Paper) -> str:
    counts = ", ".join(f"{n} {finding}" for finding in Finding if (n := paper.count(finding)))
    return f"claims: {counts}" if counts else "it makes no claim about the code"


def _wrong(paper: Paper) -> Iterator[str]:
    """The claims that were found false, by number."""
    false = [(n, c) for n, c in enumerate(paper.checked, 1) if c.finding is Finding.FALSE]
    for number, found in false[:REASONS]:
        yield f"claim {number} is false: {found.problem}"
    if len(false) > REASONS:
        yield f"{len(false) - REASONS} more claims are false"


def _decided_by(order: Sequence[Paper], score: _Score, state: Deliberation) -> DecidedBy:
    """What set the first apart from the next that is another document."""
    first = order[0]
    others = [p for p in order if p.document.sha256 != first.document.sha256]
    if not others:
        return DecidedBy.INTEGRITY if len(state.papers) > len(order) else DecidedBy.ONLY_CANDIDATE
    return DecidedBy.JUDGING if score.net(first) > score.net(others[0]) else DecidedBy.COST


def _reasons(order: Sequence[Paper], by: DecidedBy | None, state: Deliberation) -> Iterator[str]:
    match by:
        case None:
            yield "no document is without a false claim" if state.papers else "there is no document"
        case DecidedBy.JUDGING:
            yield f"{order[0].proposal_id}: a judge prefers it to others, by the rubric and in both orders"
        case DecidedBy.COST:
            yield f"{order[0].proposal_id}: judging leaves it level; it has fewer unchecked claims, or is shorter"
        case DecidedBy.INTEGRITY:
            yield f"{order[0].proposal_id}: all others make a false claim about the code"
        case _:
            yield f"{order[0].proposal_id}: there is no other document"
    silent = [v for v in state.verdicts if v.problem]
    yield from (f"judging {v.one} and {v.other} said nothing: {v.problem[:REASON_CHARS]}" for v in silent[:REASONS])
    yield from (f"{agent}: {why[:REASON_CHARS]}" for agent, why in sorted(state.failures.items()))

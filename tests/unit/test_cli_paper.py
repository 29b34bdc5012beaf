"""What people see of an analysis: the document, its claims, and what was said of it."""

import io

import pytest
from rich.console import Console, RenderableType

from folkmoot.cli import paper, words
from folkmoot.cli.client import Evidence
from folkmoot.cli.evidence import draw
from folkmoot.kernel.analysis.document import Checked, Claim, Document, Finding, Kind, Paper, written
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import Reviewed, Work
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId
from folkmoot.kernel.result import DecidedBy, Result, State, Winner

EVIL = "\x1b]0;owned\x07"
NAMED = ArtifactRef(sha256="a" * 64, size=7)


def drawn(*parts: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=120, markup=False, emoji=False, highlight=False).print(*parts)
    return out.getvalue()


def test_a_document_is_shown_whole_and_steers_no_terminal() -> None:
    """Summary, steps, claims with what shows them, and the patch."""
    claim = Claim(text="It doubles", path="a.py", start_line=2, end_line=3, quote=f"x * 2{EVIL}", command="make [x]")
    document = Document(
        kind=Kind.PATCH, summary=f"Why{EVIL}", claims=(claim,), steps=("Mend it",), patch="+one\n-two\n"
    )
    shown = drawn(paper.written(written(document)))
    for words_ in ("A suggested patch", "Why", "1. Mend it", "It doubles", "a.py:2-3", "x * 2", "$ make [x]", "+one"):
        assert words_ in shown
    assert "\x1b" not in shown


def test_evidence_shows_each_claim_and_what_others_criticise() -> None:
    """With the reason where a claim does not hold."""
    checked = (Checked(finding=Finding.HOLDS), Checked(finding=Finding.FALSE, problem=f"there is no file a{EVIL}"))
    found = Paper(
        proposal_id=ProposalId("dev-1-r1"),
        agent_id=AgentId("dev-1"),
        kind=Kind.PLAN,
        document=NAMED,
        checked=checked,
    )
    said = Reviewed(work=Work(agent_id=AgentId("dev-2"), phase="review"), summary=f"candidate-1 guesses{EVIL}")
    shown = drawn(draw.evidence(Evidence(base=None, papers=(found,), reviews=(said,)), (), (), None))
    assert "dev-1-r1 plan, claims: 1 holds, 1 false" in shown
    assert "✗ claim 2  there is no file a" in shown
    assert "dev-2: candidate-1 guesses" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (DecidedBy.INTEGRITY, "the others claim what is false"),
        (DecidedBy.COST, "unchecked"),
        (DecidedBy.JUDGING, "judges"),
    ],
)
def test_the_answer_is_said_in_words_that_fit_a_document(by: DecidedBy, why: str) -> None:
    """And nobody is told to apply it."""
    winner = Winner(proposal_id=ProposalId("dev-1-r1"), agent_id=AgentId("dev-1"), commit=CommitId(""), branch="")
    result = Result(
        task_id=TaskId("t-1"),
        story_id=StoryId(""),
        state=State.DECIDED,
        winner=winner,
        decided_by=by,
        document=NAMED,
    )
    assert why in words.verdict(result)
    assert [command.split()[1] for command, _ in words.next_steps(result)] == ["evidence", "result"]

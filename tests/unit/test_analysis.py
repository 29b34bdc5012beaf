"""Documents of an analysis: their schema, their claims, and how they are ranked."""

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel.analysis.claims import Ran, checked
from folkmoot.kernel.analysis.document import MAX_CHARS, Checked, Claim, Finding, Kind, Paper, document_of, mapped
from folkmoot.kernel.analysis.protocol import following, ranked
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import ArtifactRef, CommandEnd, Verdict
from folkmoot.kernel.facts import Seat, Stage, Staged
from folkmoot.kernel.ids import AgentId, ProposalId, TaskId
from folkmoot.kernel.result import DecidedBy
from folkmoot.kernel.task import ModelChoice, Rigor, TaskKind, TaskSpec, validated

GOOD: dict[str, Any] = {"kind": "plan", "summary": "Two steps.", "steps": ["Read it.", "Mend it."]}
FILES = {"shop.py": b"def price(x):\r\n    return x * 2  \n\ntotal = price(3)\n", "folder": None}


def handed_in(**more: object) -> str:
    return json.dumps({**GOOD, **more})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("I have looked at it.", "document"),
        ('"plan"', "document"),
        (handed_in(kind="essay"), "document.kind"),
        (handed_in(steps=[]), "document.steps"),
        (handed_in(kind="patch"), "document.patch"),
        (handed_in(summary=" "), "document.summary"),
        (handed_in(verdict="first"), "document"),
        (handed_in(claims=[{"text": "x", "path": "../etc/passwd"}]), "document.claims[0].path"),
        (handed_in(claims=[{"text": "x"}, {"text": "x", "quote": "y"}]), "document.claims[1].path"),
        (handed_in(claims=[{"text": "x", "output": "y"}]), "document.claims[0].command"),
        (handed_in(claims=[{"text": "x", "path": "a", "end_line": 2}]), "document.claims[0].start_line"),
        (
            handed_in(claims=[{"text": "x", "path": "a", "start_line": 3, "end_line": 2}]),
            "document.claims[0].start_line",
        ),
        (handed_in(claims=[{"text": "x", "command": "true"}] * 9), "document.claims"),
        (handed_in(claims=[{"path": "a"}]), "document.claims[0]"),
        (handed_in(patch="x" * MAX_CHARS), "document"),
        ("[" * 100_000, "document"),
        ("\ud800", "document"),
    ],
)
def test_what_is_no_document_is_refused_by_field(text: str, field: str) -> None:
    """The model is told which field to mend."""
    with pytest.raises(InvalidInput) as refused:
        document_of(text)
    assert refused.value.field == field


def test_a_document_is_read_and_all_of_its_text_can_be_mapped() -> None:
    """No text of its author's is forgotten where secrets are taken out."""
    claim = {"text": "s", "path": "s", "start_line": 1, "quote": "s", "command": "s", "output": "s"}
    document = document_of(handed_in(kind="patch", summary="s", claims=[claim], steps=["s"], patch="s"))
    assert '"s"' not in str(mapped(document, lambda _: "-")).replace("'", '"')


@pytest.mark.parametrize(
    ("claim", "finding", "problem"),
    [
        (Claim(text="x"), Finding.UNCHECKED, "names no place"),
        (Claim(text="x", path="shop.py"), Finding.HOLDS, ""),
        (Claim(text="x", path="gone.py"), Finding.FALSE, "no file gone.py"),
        (Claim(text="x", path="folder"), Finding.UNCHECKED, "folder"),
        (Claim(text="x", path="shop.py", start_line=4), Finding.HOLDS, ""),
        (Claim(text="x", path="shop.py", start_line=5), Finding.FALSE, "4 lines"),
        (Claim(text="x", path="shop.py", start_line=4, end_line=9), Finding.FALSE, "4 lines"),
        (
            Claim(text="x", path="shop.py", start_line=1, end_line=2, quote="price(x):\n    return x * 2"),
            Finding.HOLDS,
            "",
        ),
        (Claim(text="x", path="shop.py", quote="price(3)"), Finding.HOLDS, ""),
        (Claim(text="x", path="shop.py", start_line=1, quote="price(3)"), Finding.FALSE, "quote"),
        (Claim(text="x", path="shop.py", quote="x * 3"), Finding.FALSE, "quote"),
    ],
)
def test_a_claim_about_a_file_is_held_against_it(claim: Claim, finding: Finding, problem: str) -> None:
    """File, lines and quote, whatever the line breaks; false only where base contradicts it."""
    found = checked(claim, FILES, None, lambda t: t)
    assert found.finding is finding
    assert problem in found.problem


def ran(output: str = "", code: int | None = 0, limit: str = "", *, whole: bool = True) -> Ran:
    return Ran(end=CommandEnd(exit_code=code, limit=limit), output=output, whole=whole)


@pytest.mark.parametrize(
    ("output", "seen", "finding"),
    [
        ("2 passed", ran("== 2 passed in 0.1 s", 1), Finding.HOLDS),
        ("3 passed", ran("== 2 passed in 0.1 s"), Finding.FALSE),
        ("", ran(), Finding.HOLDS),
        ("", ran(code=1), Finding.FALSE),
        ("x", ran(code=None, limit="time"), Finding.UNCHECKED),
        ("x", ran("x", code=None, limit="time"), Finding.HOLDS),
        ("x", ran("much", whole=False), Finding.UNCHECKED),
        ("x", None, Finding.UNCHECKED),
    ],
)
def test_a_claim_about_a_command_is_held_against_what_it_prints(
    output: str, seen: Ran | None, finding: Finding
) -> None:
    """Without an output the claim is that it exits with 0; what a limit ended shows nothing."""
    found = checked(Claim(text="x", command="make", output=output), {}, seen, lambda t: t)
    assert found.finding is finding


def test_a_quote_without_its_secret_still_stands() -> None:
    """What was taken out of the document is taken out of the file too before they are compared."""
    claim = Claim(text="x", path="a", quote="key = [hidden]")
    assert (
        checked(claim, {"a": b"key = s3cret"}, None, lambda t: t.replace("s3cret", "[hidden]")).finding is Finding.HOLDS
    )


# --- ranking -----------------------------------------------------------------------------------------------------


def paper(number: int, *findings: Finding, size: int = 100, content: str = "") -> Paper:
    return Paper(
        proposal_id=ProposalId(f"dev-{number}-r1"),
        agent_id=AgentId(f"dev-{number}"),
        kind=Kind.PLAN,
        document=ArtifactRef(sha256=(content or f"{number:x}") * 64, size=size),
        checked=tuple(Checked(finding=f, problem="" if f is Finding.HOLDS else "why") for f in findings),
    )


def verdict(one: int, other: int, better: int | None, *, consistent: bool = True) -> Verdict:
    return Verdict(
        one=ProposalId(f"dev-{one}-r1"),
        other=ProposalId(f"dev-{other}-r1"),
        better=ProposalId(f"dev-{better}-r1") if better else None,
        consistent=consistent,
        judge=AgentId("judge-1"),
        model="m",
    )


def state(
    papers: Sequence[Paper],
    verdicts: Sequence[Verdict] = (),
    *,
    rigor: Rigor = Rigor.L1,
    staged: Sequence[Stage] = (Stage.PROPOSE,),
) -> Deliberation:
    spec = TaskSpec(
        task_id=TaskId("t-1"), title="Why", text="Why?", repository="/r", agents=3, rigor=rigor, kind=TaskKind.ANALYSIS
    )
    judge = Seat(agent_id=AgentId("judge-1"), role="QA", persona="", model=ModelChoice(), duty="judge")
    return Deliberation(
        spec=spec,
        digest="",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        head=START,
        papers=tuple(papers),
        verdicts=tuple(verdicts),
        helpers=(judge,),
        staged=tuple(Staged(stage=s) for s in staged),
    )


FALSE, HOLDS, OPEN = Finding.FALSE, Finding.HOLDS, Finding.UNCHECKED


@pytest.mark.parametrize(
    ("papers", "verdicts", "chosen", "by"),
    [
        ([paper(1)], [], 1, DecidedBy.ONLY_CANDIDATE),
        ([paper(1, HOLDS, FALSE), paper(2, OPEN, OPEN, size=999)], [], 2, DecidedBy.INTEGRITY),
        ([paper(1, size=9), paper(2)], [verdict(1, 2, 2)], 2, DecidedBy.JUDGING),
        ([paper(1, OPEN, size=9), paper(2)], [verdict(1, 2, None)], 2, DecidedBy.COST),
        ([paper(1, size=9), paper(2)], [verdict(1, 2, None, consistent=False)], 1, DecidedBy.COST),
        ([paper(n) for n in (1, 2, 3)], [verdict(1, 2, 2), verdict(2, 3, 3), verdict(1, 3, 3)], 3, DecidedBy.JUDGING),
        ([paper(1, FALSE), paper(2, FALSE)], [], None, None),
    ],
)
def test_the_document_without_false_claims_that_judges_prefer_wins(
    papers: list[Paper], verdicts: list[Verdict], chosen: int | None, by: DecidedBy | None
) -> None:
    """Then fewer unchecked claims, then the shorter one; with none that is true, none is chosen."""
    found = ranked(state(papers, verdicts), "2")
    assert found.chosen == (f"dev-{chosen}-r1" if chosen else None)
    assert found.decided_by is by
    assert found.reasons
    assert bool(found.settle) is (chosen is None)


@given(st.data())
def test_the_order_of_documents_and_verdicts_never_matters(data: st.DataObject) -> None:
    """Nor who is called the first of a pair."""
    findings = st.lists(st.sampled_from(Finding), max_size=3)
    papers = [paper(n, *data.draw(findings), size=data.draw(st.integers(1, 3))) for n in range(1, 5)]
    pairs = list(itertools.combinations(range(1, 5), 2))
    verdicts = [verdict(a, b, data.draw(st.sampled_from([None, a, b]))) for a, b in pairs]
    turned = [v if data.draw(st.booleans()) else verdict_turned(v) for v in data.draw(st.permutations(verdicts))]
    assert ranked(state(papers, verdicts), "2") == ranked(state(data.draw(st.permutations(papers)), turned), "2")


def verdict_turned(v: Verdict) -> Verdict:
    return Verdict(one=v.other, other=v.one, better=v.better, consistent=v.consistent, judge=v.judge, model=v.model)


def test_a_copy_of_a_document_changes_nothing() -> None:
    """Equal contents are one: compared once, and level."""
    papers = [paper(1, content="a"), paper(2, content="b"), paper(3, content="b")]
    assert following(state(papers), "2").pairs == (("dev-1-r1", "dev-2-r1"),)
    found = ranked(state(papers, [verdict(1, 2, 2)]), "2")
    assert [(r.agent_id, r.rank) for r in found.ranking] == [("dev-2", 1), ("dev-3", 1), ("dev-1", 3)]


@pytest.mark.parametrize(
    ("rigor", "staged", "papers", "stage"),
    [
        (Rigor.L0, (Stage.PROPOSE,), [paper(1), paper(2)], Stage.RANK),
        (Rigor.L1, (Stage.PROPOSE,), [paper(1), paper(2)], Stage.JUDGE),
        (Rigor.L1, (Stage.PROPOSE,), [paper(1), paper(2, FALSE)], Stage.RANK),
        (Rigor.L1, (Stage.PROPOSE, Stage.JUDGE), [paper(1), paper(2)], Stage.RANK),
        (Rigor.L2, (Stage.PROPOSE,), [paper(1), paper(2)], Stage.CRITIQUE),
        (Rigor.L3, (Stage.PROPOSE, Stage.CRITIQUE), [paper(1), paper(2)], Stage.JUDGE),
    ],
)
def test_documents_are_criticised_and_judged_as_the_rigor_says(
    rigor: Rigor, staged: tuple[Stage, ...], papers: list[Paper], stage: Stage
) -> None:
    """What has a false claim is compared with none; and a used-up budget ends it at once."""
    now = state(papers, rigor=rigor, staged=staged)
    assert following(now, "2").stage is stage
    assert following(now, "2", spent="the token limit").stage is Stage.RANK


@pytest.mark.parametrize(
    ("change", "field"),
    [({"checks": ("true",)}, "checks"), ({"superseded": ("t",)}, "superseded"), ({"max_agents": 4}, "max_agents")],
)
def test_what_is_about_commits_is_refused_in_an_analysis(change: dict[str, Any], field: str) -> None:
    """The field is named."""
    spec = TaskSpec(
        task_id=TaskId("t-1"), title="Why", text="Why?", repository="/r", agents=3, kind=TaskKind.ANALYSIS, **change
    )
    with pytest.raises(InvalidInput) as refused:
        validated(spec)
    assert refused.value.field == field

"""The largest events of a deliberation fit into the log, whatever its agents write."""

from datetime import UTC, datetime

from folkmoot.agents.results import CLAIMS_BYTES
from folkmoot.kernel.events import MAX_EVENT_BYTES, Event, Fact
from folkmoot.kernel.evidence import Admission, ArtifactRef, Finding
from folkmoot.kernel.facts import CODEC, CandidatesRanked, DeliberationEnded, Reviewed, Work
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, StoryId, TaskId, proposal_id
from folkmoot.kernel.jury.gates import Entry
from folkmoot.kernel.jury.policy import POLICY
from folkmoot.kernel.jury.ranking import ranking_of
from folkmoot.kernel.jury.ruling import MAX_REASONS, MAX_SETTLE
from folkmoot.kernel.jury.words import MAX_REASON_BYTES
from folkmoot.kernel.result import DecidedBy, Result, State
from folkmoot.kernel.task import MAX_AGENTS, Rigor
from folkmoot.orchestrator.attempts import REASON_CHARS
from folkmoot.orchestrator.intake import PROBLEM_CHARS
from folkmoot.orchestrator.owner import REASONS_BYTES
from folkmoot.tools.review import MOST_FINDINGS, PATH_CHARS

WIDE = "𝕏"
"""Four bytes in a log."""
BODY = ArtifactRef(sha256="0" * 64, size=10**9)


def size(fact: Fact) -> int:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event(id="0" * 64, source="/orchestrator/one", type=fact.type_name, subject="s" * 200, time=now, data=fact)
    return len(CODEC.encode(event))


def test_a_review_full_of_findings_fits() -> None:
    """As many findings as a review may have, each as long as it may be, none of which can be run."""
    findings = tuple(
        Finding(
            proposal_id=ProposalId("dev-10-r3"),
            claim="x" * (CLAIMS_BYTES // MOST_FINDINGS),
            severity="medium",
            path=WIDE * PATH_CHARS,
            reproducer=BODY,
            problem=WIDE * PROBLEM_CHARS,
        )
        for _ in range(MOST_FINDINGS)
    )
    work = Work(agent_id=AgentId("dev-10"), phase="review", round=2)
    assert size(Reviewed(work=work, findings=findings, summary=WIDE * REASON_CHARS)) <= MAX_EVENT_BYTES


SCORES = (
    "files",
    "lines",
    "protected_changed",
    "tests_broken",
    "tests_repaired",
    "checks_passed",
    "checks_failed",
    "lint_findings",
    "duels",
    "opinions_for",
    "opinions_against",
    "confidence",
    "behaviour",
)


def entry(agent: int, round_: int) -> Entry:
    """With more to be said of it than is told, in words as long as they may be."""
    name = AgentId(f"developer-of-a-long-name-{agent}")
    proposal = proposal_id(name, round_)
    admission = Admission(
        proposal_id=proposal,
        agent_id=name,
        commit=CommitId("b" * 40),
        tree=proposal,
        diff=BODY,
        bundle=BODY,
        files=("a.py",),
        lines_added=1,
        lines_removed=0,
    )
    faults = {DecidedBy.INTEGRITY: tuple(f"{n} {WIDE * 500}" for n in range(20))}
    scores = dict.fromkeys(SCORES, -1234.567)
    return Entry(proposal=proposal, agent=name, admission=admission, faults=faults, scores=scores)


def test_a_ranking_of_the_largest_council_fits() -> None:
    """All seats, each with a first proposal and as many revisions as a policy allows; and the result that holds it."""
    rounds = range(1, 2 + POLICY.profile[Rigor.L3].revisions)
    ranking = ranking_of([entry(agent, round_) for agent in range(MAX_AGENTS) for round_ in rounds])
    assert len(ranking) == MAX_AGENTS * len(rounds)
    assert all(len(r.reasons) > 1 for r in ranking)
    reason = "x" * MAX_REASON_BYTES
    ranked = CandidatesRanked(
        ranking=ranking,
        chosen=None,
        decided_by=None,
        confidence=None,
        reasons=(reason,) * MAX_REASONS,
        policy=POLICY.version,
        settle=(reason,) * MAX_SETTLE,
    )
    result = Result(
        task_id=TaskId("t" * 64),
        story_id=StoryId("s" * 64),
        state=State.ABSTAINED,
        winner=None,
        decided_by=None,
        confidence=None,
        reasons=("x" * REASONS_BYTES,),
        ranking=ranking,
        settle=ranked.settle,
        created_at="2026-01-01T00:00:00Z",
    )
    assert size(ranked) <= MAX_EVENT_BYTES
    assert size(DeliberationEnded(result=result, bundle=BODY)) <= MAX_EVENT_BYTES

"""Reviews, revisions and written tests, from their prompt to their result on the log, over a real folder."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.agents.assignment import Assignment, Shown
from folkmoot.agents.chat import Reply
from folkmoot.agents.results import CLAIMS_BYTES, publish, published
from folkmoot.agents.run import NOTHING_CHANGED
from folkmoot.kernel import subjects
from folkmoot.kernel.events import MAX_EVENT_BYTES, START
from folkmoot.kernel.facts import AgentFinished, StepTaken
from folkmoot.kernel.ids import AgentId, ProposalId, TaskId
from folkmoot.kernel.task import Budget
from folkmoot.runtime.log.port import Log
from folkmoot.tools.review import CONTENT_BYTES, MOST_FINDINGS
from tests.fixtures.agents import SUBMIT, WRITE, Case, Scripted, calling
from tests.fixtures.nats import NatsServer

TASK, AGENT = TaskId("t-1"), AgentId("dev-1")
SHOWN = (
    Shown(alias="candidate-1", proposal_id=ProposalId("dev-2-r1"), diff="+two"),
    Shown(alias="candidate-2", proposal_id=ProposalId("dev-3-r1"), diff="+three"),
)
FINISH = calling("finish_review", summary="Looked at both")


def finding(
    *, to: str = "candidate-1", claim: str = "Loses cents", path: str = "tests/test_f.py", content: str = "assert 0"
) -> Reply:
    reproducer = {"path": path, "content": content}
    return calling("report_finding", proposal_id=to, claim=claim, severity="high", reproducer=reproducer)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "repo")


async def reviewed(case: Case, *replies: Reply, **changes: object) -> AgentFinished:
    return await case.run(*replies, phase="review", shown=SHOWN, **changes)


async def answers(case: Case, *replies: Reply) -> list[dict[str, object]]:
    """What the tools said to each reply of a review, which is finished behind them."""
    model = Scripted(*replies, FINISH)
    await case.played(model, phase="review", shown=SHOWN)
    said = [m["content"] for m in model.asked[-1].messages if m["role"] == "tool"]
    return [msgspec.json.decode(text) for text in said]


# --- reviews -----------------------------------------------------------------------------------------------------


async def test_a_review_hands_in_its_findings(case: Case) -> None:
    """By alias or by id, with each reproducer as an artifact; no commit is asked for."""
    finished = await reviewed(
        case, finding(), finding(to="dev-3-r1", path="tests/test_g.py", content="assert 1"), FINISH
    )
    assert (finished.submitted, finished.reason, finished.bundle) == (True, "submitted", None)
    assert (finished.phase, finished.round, finished.summary) == ("review", 1, "Looked at both")
    assert [(f.proposal_id, f.claim, f.severity, f.path) for f in finished.findings] == [
        ("dev-2-r1", "Loses cents", "high", "tests/test_f.py"),
        ("dev-3-r1", "Loses cents", "high", "tests/test_g.py"),
    ]
    bodies = [await case.bus.artifacts.get(f.reproducer) for f in finished.findings]
    assert bodies == [b"assert 0", b"assert 1"]


async def test_a_reviewer_can_change_nothing(case: Case) -> None:
    """The role's tools that read, and the two of a review; a narrower agent has fewer of them."""
    model = Scripted(WRITE, SUBMIT, FINISH)
    await case.played(model, phase="review", shown=SHOWN)
    reading = ["read_file", "list_files", "search", "git_status", "git_diff", "git_log"]
    offered = [t["function"]["name"] for t in model.asked[0].tools]
    assert offered == [*reading, "report_finding", "finish_review"]
    assert {request.phase for request in model.asked} == {"review"}
    assert not case.workspace.folder.joinpath("n.txt").exists()
    narrow = Scripted(FINISH)
    await case.played(narrow, phase="review", round=2, shown=SHOWN, tools=("read_file", "write_file", "submit"))
    assert [t["function"]["name"] for t in narrow.asked[0].tools] == ["read_file", "report_finding", "finish_review"]


@pytest.mark.parametrize("phase", ["propose", "revise", "test"])
async def test_only_reviewers_report_findings(case: Case, phase: str) -> None:
    """Elsewhere the tools are the role's, and submit is the last."""
    model = Scripted(finding(), WRITE, SUBMIT)
    finished = await case.played(model, phase=phase)
    offered = [t["function"]["name"] for t in model.asked[0].tools]
    assert "run_tests" in offered
    assert offered[-1] == "submit"
    assert "report_finding" not in offered
    assert (finished.submitted, finished.findings, finished.phase) == (True, (), phase)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            finding(to="candidate-3"),
            "proposal_id: there is no 'candidate-3' to review; there are candidate-1, candidate-2",
        ),
        (finding(to="dev-1-r1"), "proposal_id: there is no 'dev-1-r1'"),
        (finding(path="../test_f.py"), "reproducer.path: '../test_f.py' is no plain path"),
        (finding(path="/test_f.py"), "reproducer.path: "),
        (finding(path="tests//f.py"), "reproducer.path: "),
        (finding(path="tests\\f.py"), "reproducer.path: "),
        (finding(path=".git/hooks/post-checkout"), "reproducer.path: "),
        (finding(path="a.txt"), "reproducer.path: a.txt is in the repository already"),
        (finding(path="f" * 251), "reproducer.path: 251 characters; at most 250"),
        (finding(content=" \n"), "reproducer.content: is empty"),
        (finding(content="ä" * (CONTENT_BYTES // 2 + 1)), f"reproducer.content: {CONTENT_BYTES + 2} bytes; at most"),
        (finding(claim="\x1b[0m "), "claim: is empty"),
    ],
)
async def test_a_finding_that_cannot_be_used_is_answered_with_its_fault(case: Case, reply: Reply, said: str) -> None:
    """An ordinary result, so that the reviewer can mend it."""
    (answer,) = await answers(case, reply)
    assert answer["ok"] is False
    assert said in str(answer["error"])


async def test_findings_are_counted_once_and_bounded(case: Case) -> None:
    """One said twice is one; another test at the same path is another; a ninth is refused."""
    many = [finding(content=f"assert {n}") for n in range(MOST_FINDINGS)]
    said = await answers(case, many[0], many[0], *many[1:], finding(content="assert 9"))
    assert said[0] == said[1] == {"ok": True, "finding": 1, "left": 7}
    assert said[-2] == {"ok": True, "finding": MOST_FINDINGS, "left": 0}
    assert (said[-1]["ok"], str(said[-1]["error"])[:21]) == (False, "8 findings are report")


async def test_a_review_that_a_limit_ends_keeps_its_findings(case: Case) -> None:
    """It says that it is not whole, and why."""
    finished = await reviewed(case, finding(), finding(path="tests/b.py"), budget=Budget(steps=2))
    assert (finished.submitted, finished.reason) == (False, "step limit: 2 model calls are used")
    assert len(finished.findings) == 2


async def test_the_longest_review_fits_into_one_event(case: Case) -> None:
    """Claims are cut to a common share: their reproducers are what counts."""
    wide = [finding(claim="字" * 2_000, path=f"{n}/{'ö' * 120}/{'ö' * 120}") for n in range(MOST_FINDINGS)]
    finished = await reviewed(case, *wide, calling("finish_review", summary="字" * 9_000))
    claims = [f.claim for f in finished.findings]
    assert len(claims) == MOST_FINDINGS
    assert sum(len(c.encode()) for c in claims) <= CLAIMS_BYTES
    assert len(msgspec.json.encode(finished)) < MAX_EVENT_BYTES - 4_096
    assert (await published(case.bus.log, TASK, AGENT, "review", 1))[0] == finished


async def test_findings_stand_in_the_audit_trail(case: Case) -> None:
    """As every other call of a tool."""
    await reviewed(case, finding(), FINISH)
    steps = [s.event.data for s in await case.bus.log.read(subjects.agent_steps(TASK, AGENT))]
    assert [s.name for s in steps if isinstance(s, StepTaken) and s.kind == "tool"] == [
        "report_finding",
        "finish_review",
    ]


# --- revisions ---------------------------------------------------------------------------------------------------


@pytest.fixture
def revising(case: Case) -> dict[str, object]:
    """A workspace that begins with the author's own candidate on base; fields of its assignment."""
    case.workspace.folder.joinpath("n.txt").write_text("wrong")
    case.workspace.git("add", "-A")
    case.workspace.git("-c", "user.name=p", "-c", "user.email=p@example.invalid", "commit", "-qm", "candidate")
    return {"phase": "revise", "start": case.workspace.git("rev-parse", "HEAD"), "evidence": "a test fails"}


async def test_a_revision_is_a_candidate_on_base(case: Case, revising: dict[str, object]) -> None:
    """Its bundle holds all that lies on base, as that of any candidate does."""
    finished = await case.run(WRITE, SUBMIT, **revising)
    assert (finished.submitted, finished.reason, finished.phase) == (True, "submitted", "revise")
    assert finished.bundle is not None
    head = (await case.bus.artifacts.get(finished.bundle)).split(b"\n\n")[0].decode()
    assert f"-{case.commit}" in head
    assert case.workspace.git("rev-list", "--count", f"{case.commit}..HEAD") == "2"


async def test_a_revision_may_leave_things_as_they_are(case: Case, revising: dict[str, object]) -> None:
    """Without a commit, or with one that changes nothing: no failure, and no new candidate."""
    finished = await case.run(SUBMIT, **revising)
    assert (finished.submitted, finished.bundle, finished.reason) == (True, None, NOTHING_CHANGED)
    case.workspace.git("-c", "user.name=p", "-c", "user.email=p@example.invalid", "commit", "-qm", "x", "--allow-empty")
    again = await case.run(SUBMIT, round=2, **revising)
    assert (again.submitted, again.bundle, again.reason) == (True, None, NOTHING_CHANGED)


async def test_a_revision_that_a_limit_ends_is_no_candidate(case: Case, revising: dict[str, object]) -> None:
    """Half a change is not handed in."""
    finished = await case.run(WRITE, budget=Budget(steps=1), **revising)
    assert (finished.submitted, finished.bundle) == (False, None)


# --- one result per phase and round ------------------------------------------------------------------------------


def fact(phase: str, round_: int = 1, attempt: int = 1) -> AgentFinished:
    return AgentFinished(agent_id=AGENT, attempt=attempt, round=round_, phase=phase, submitted=True, reason="submitted")


async def one_result_per_phase_and_round(log: Log, assignment: Assignment) -> None:
    """The promise of `publish`, on any log."""
    assert await published(log, TASK, AGENT, "propose", 1) == (None, START)
    first = fact("propose")
    assert await publish(assignment, first, log) == first
    assert await publish(assignment, fact("propose", attempt=2), log) == first

    found, head = await published(log, TASK, AGENT, "review", 1)
    assert found is None
    late = msgspec.structs.replace(assignment, result_head=head)
    # A run of the phase before, which was thought dead, and one whose fence is older than all of it.
    review, revision = fact("review"), fact("revise", 2)
    assert await publish(late, review, log) == review
    assert await publish(assignment, revision, log) == revision
    assert await publish(late, fact("review", attempt=7), log) == review
    assert await publish(assignment, fact("revise", 2, attempt=7), log) == revision

    standing = [stored.event.data for stored in await log.read(subjects.agent_result(TASK, AGENT))]
    assert standing == [first, review, revision]
    assert (await published(log, TASK, AGENT, "review", 1))[0] == review
    assert (await published(log, TASK, AGENT, "review", 2))[0] is None


async def test_a_result_counts_once_in_memory(case: Case) -> None:
    """Whatever runs come back from the dead."""
    await one_result_per_phase_and_round(case.bus.log, case.assignment)


async def test_a_result_counts_once_on_the_real_log(nats_server: NatsServer, tmp_path: Path) -> None:
    """With the rights that a host of agents has, and no others."""
    async with nats_server.connect("agents") as bus:
        await one_result_per_phase_and_round(bus.log, Case(tmp_path / "repo").assignment)

"""Where the time of a deliberation went, on logs that are made up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel import subjects
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Event, Fact
from folkmoot.kernel.evidence import Admission, ArtifactRef, CommandEnd, PreparedBase, SuiteKind, Verdict
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    Judged,
    OwnerTook,
    ProposalAdmitted,
    Reviewed,
    Seat,
    Stage,
    Staged,
    StepTaken,
    Work,
    WorkEnded,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, RepositoryId, TaskId, WorkspaceId
from folkmoot.kernel.result import Result, State, Usage
from folkmoot.kernel.stretches import Part
from folkmoot.kernel.task import ModelChoice, TaskSpec, digest
from folkmoot.kernel.trace import Trace, trace

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
TASK = TaskId("t-1")
SPEC = TaskSpec(task_id=TASK, title="t", text="x", repository="/r", agents=2)
FAST, SLOW = AgentId("dev-1"), AgentId("dev-2")
NOTHING = ArtifactRef(sha256="0" * 64, size=0)
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"

OWN = subjects.deliberation(TASK)
Line = tuple[float, str, Fact]


def events(lines: Sequence[Line]) -> list[Event]:
    """A log from seconds, subjects and facts."""
    return [
        Event(
            id=str(n),
            source="/test",
            type=fact.type_name,
            subject=subject,
            time=BEGAN + timedelta(seconds=second),
            data=fact,
            traceparent=PARENT,
        )
        for n, (second, subject, fact) in enumerate(lines)
    ]


def requested() -> Line:
    return 0.0, OWN, DeliberationRequested(spec=SPEC, digest=digest(SPEC))


def took(second: float) -> Line:
    return second, OWN, OwnerTook(owner=f"o-{second}")


def convened(second: float) -> Line:
    base = PreparedBase(
        repository_id=RepositoryId("r"),
        commit=CommitId("b" * 40),
        suite=None,
        protected=(),
        max_files=1,
        max_diff_lines=1,
    )
    seats = tuple(Seat(agent_id=a, role="DEV", persona="", model=ModelChoice()) for a in (FAST, SLOW))
    return second, OWN, Convened(base=base, seats=seats)


def started(second: float, agent: AgentId, attempt: int = 1) -> Line:
    return second, OWN, AttemptStarted(agent_id=agent, attempt=attempt)


def ready(second: float, agent: AgentId, attempt: int = 1) -> Line:
    fact = WorkspaceReady(attempt=attempt, workspace_id=WorkspaceId("ws"), endpoint="h:1")
    return second, subjects.agent_response(TASK, agent), fact


def step(second: float, agent: AgentId, kind: str, took_s: float, attempt: int = 1) -> Line:
    fact = StepTaken(agent_id=agent, attempt=attempt, step=1, kind=kind, name="n", ok=True, duration_s=took_s)
    return second, subjects.agent_steps(TASK, agent), fact


def finished(second: float, agent: AgentId, calls: int, attempt: int = 1) -> Line:
    usage = Usage(model_calls=calls)
    fact = AgentFinished(agent_id=agent, attempt=attempt, submitted=True, reason="submitted", usage=usage)
    return second, subjects.agent_result(TASK, agent), fact


def admitted(second: float, agent: AgentId) -> Line:
    admission = Admission(
        proposal_id=ProposalId(f"{agent}-r1"),
        agent_id=agent,
        commit=CommitId("c" * 40),
        tree="t",
        diff=NOTHING,
        bundle=NOTHING,
        files=(),
        lines_added=0,
        lines_removed=0,
    )
    return second, OWN, ProposalAdmitted(admission=admission)


def examined(second: float, subject: str, took_s: float) -> Line:
    fact = Examined(
        subject=subject,
        kind=SuiteKind.CHECK,
        name="c",
        run=1,
        end=CommandEnd(exit_code=0, duration_s=took_s),
        passed=0,
        failed=0,
        skipped=0,
        examination=NOTHING,
    )
    return second, OWN, fact


def ranked(second: float) -> Line:
    fact = CandidatesRanked(ranking=(), chosen=None, decided_by=None, confidence=None, reasons=(), policy="p")
    return second, OWN, fact


def ended(second: float, state: State = State.DECIDED) -> Line:
    return second, OWN, DeliberationEnded(result=Result(task_id=TASK, story_id=SPEC.story_id, state=state))


ONE_RUN: list[Line] = [
    requested(),
    took(0.5),
    convened(1.5),
    started(1.6, FAST),
    started(1.6, SLOW),
    examined(3.0, "base", 1.0),
    admitted(4.0, FAST),
    examined(5.0, "dev-1-r1", 0.9),
    admitted(9.5, SLOW),
    examined(12.0, "dev-2-r1", 2.0),
    ranked(12.1),
    ended(12.5),
    ready(2.0, FAST),
    step(3.0, FAST, "model", 0.5),
    finished(3.5, FAST, 1),
    ready(2.5, SLOW),
    step(5.0, SLOW, "model", 2.0),
    step(6.0, SLOW, "tool", 0.5),
    step(9.0, SLOW, "model", 2.5),
    finished(9.2, SLOW, 2),
]
"""Two agents; the end waits for the second one's examination."""


def staged(second: float, stage: Stage, phase: str = "", *agents: AgentId, number: int = 1) -> Line:
    works = tuple(Work(agent_id=a, phase=phase, round=number) for a in agents)
    return second, OWN, Staged(stage=stage, round=number, works=works)


def judged(second: float, judge: AgentId) -> Line:
    one, other = ProposalId("dev-1-r1"), ProposalId("dev-2-r1")
    verdict = Verdict(one=one, other=other, better=None, consistent=True, judge=judge, model="m")
    return second, OWN, Judged(verdict=verdict)


JUDGE = AgentId("judge-1")
IN_STAGES: list[Line] = [
    requested(),
    convened(1.0),
    staged(1.0, Stage.PROPOSE, "propose", FAST, SLOW),
    started(1.0, FAST),
    started(1.0, SLOW),
    admitted(3.0, FAST),
    admitted(4.0, SLOW),
    examined(5.0, "dev-2-r1", 1.0),
    staged(5.5, Stage.CRITIQUE, "review", FAST, SLOW),
    started(5.5, FAST, 2),
    started(5.5, SLOW, 2),
    (7.5, OWN, Reviewed(work=Work(agent_id=SLOW, phase="review"))),
    (8.0, OWN, Reviewed(work=Work(agent_id=FAST, phase="review"))),
    examined(8.5, "dev-2-r1", 0.25),
    staged(9.0, Stage.REVISE, "revise", SLOW, number=2),
    started(9.0, SLOW, 3),
    (11.0, OWN, WorkEnded(work=Work(agent_id=SLOW, phase="revise", round=2), reason="the same tree")),
    staged(11.0, Stage.JUDGE),
    judged(12.0, JUDGE),
    staged(12.0, Stage.RANK),
    ranked(12.25),
    ended(12.5),
    ready(1.5, FAST),
    ready(1.5, SLOW),
    finished(2.5, FAST, 0),
    finished(3.5, SLOW, 0),
    ready(6.0, FAST, 2),
    ready(6.0, SLOW, 2),
    finished(7.0, SLOW, 0, 2),
    finished(7.75, FAST, 0, 2),
    ready(9.5, SLOW, 3),
    finished(10.5, SLOW, 0, 3),
]
"""Two agents propose and review, one revises in vain, a judge compares."""


def laid_out(found: Trace) -> list[tuple[str, str, float]]:
    return [(p.name, p.about, p.seconds) for p in found.path]


def inner(part: Part) -> dict[str, float]:
    return {p.name: p.seconds for p in part.parts}


def test_the_path_goes_through_what_the_end_waited_for() -> None:
    """Part after part, from the queue to the branch; the agent that was done early is not on it."""
    assert laid_out(trace(events(ONE_RUN))) == [
        ("queue", "", 0.5),
        ("convening", "", 1.0),
        ("workspace", "dev-2", 1.0),
        ("agent", "dev-2", 6.7),
        ("admission", "dev-2", 0.3),
        ("examination", "dev-2-r1", 2.5),
        ("ranking", "", 0.1),
        ("publishing", "", 0.4),
    ]


def test_an_agents_time_is_models_tools_and_the_rest() -> None:
    """And an examination's is its command, and what it waited."""
    path = {p.name: p for p in trace(events(ONE_RUN)).path}
    assert inner(path["agent"]) == {
        "start": 0.5,
        "model": 4.5,
        "between calls": 1.0,
        "tools": 0.5,
        "handing in": 0.2,
    }
    assert inner(path["examination"]) == {"waiting": 0.5, "command": 2.0}


def test_each_agent_is_told_also_beside_the_path() -> None:
    """With what came of it, and whether the end waited for it."""
    agents = trace(events(ONE_RUN)).agents
    assert [(a.agent_id, a.outcome, a.critical, a.seconds) for a in agents] == [
        (FAST, "proposed", False, 2.5),
        (SLOW, "proposed", True, 8.0),
    ]
    assert [(p.name, p.seconds) for p in agents[0].parts] == [("workspace", 0.5), ("agent", 1.5), ("admission", 0.5)]


def test_the_trace_is_named() -> None:
    """By the id under which a collector has its spans."""
    assert trace(events(ONE_RUN)).trace_id == "a" * 32


def test_base_may_be_what_the_end_waited_for() -> None:
    """Then no agent is on the path."""
    slow_base = [*[line for line in ONE_RUN if line[0] != 3.0 or line[1] != OWN], examined(12.05, "base", 10.0)]
    found = trace(events(slow_base))
    assert [p.name for p in found.path] == ["queue", "convening", "examination", "ranking", "publishing"]
    assert not any(a.critical for a in found.agents)


def test_a_lost_attempt_and_a_missing_owner_are_on_the_path() -> None:
    """From the dead owner's last sign of life to the next one's; then the second attempt."""
    lines = [
        requested(),
        took(0.1),
        convened(1.0),
        started(1.0, SLOW),
        took(17.0),
        (17.1, OWN, AttemptLost(agent_id=SLOW, attempt=1, reason="its orchestrator died")),
        started(17.1, SLOW, 2),
        admitted(20.0, SLOW),
        examined(21.0, "dev-2-r1", 0.5),
        ranked(21.0),
        ended(21.0),
        step(2.0, SLOW, "model", 0.5),
        ready(17.5, SLOW, 2),
        step(19.0, SLOW, "model", 1.0, 2),
        finished(19.5, SLOW, 1, 2),
    ]
    assert laid_out(trace(events(lines)))[2:6] == [
        ("lost attempt", "dev-2", 1.0),
        ("no owner", "", 15.0),
        ("lost attempt", "dev-2", 0.1),
        ("workspace", "dev-2", 0.4),
    ]


def test_what_expired_is_said_and_still_adds_up() -> None:
    """Steps live a week and workspaces' answers a day: afterwards an agent's time is one piece."""
    kept = [line for line in ONE_RUN if not isinstance(line[2], (StepTaken, WorkspaceReady))]
    found = trace(events(kept))
    assert [inner(p) for p in found.path if p.name == "agent"] == [{"unknown": 7.6}]
    assert sum(p.seconds for p in found.path) == pytest.approx(found.seconds)
    assert [words.split(":")[0] for words in found.unknown] == ["dev-1", "dev-1", "dev-2", "dev-2"]
    assert "0 of 2 model calls" in found.unknown[2]


def test_a_workspace_whose_answer_expired_ends_where_the_agent_begins() -> None:
    """Nothing tells the two apart any more, and that is said."""
    kept = [line for line in ONE_RUN if not isinstance(line[2], WorkspaceReady)]
    found = trace(events(kept))
    assert [p.seconds for p in found.path if p.name == "workspace"] == [1.5]
    assert all("workspace" in words for words in found.unknown)


def test_a_task_that_runs_is_told_so_far() -> None:
    """Up to its last event."""
    found = trace(events([requested(), took(0.5), convened(1.0), started(1.0, FAST), step(4.0, FAST, "model", 1.0)]))
    assert (found.state, found.seconds) == ("running", 4.0)
    assert laid_out(found)[-1] == ("under way", "", 3.0)
    assert [a.outcome for a in found.agents] == ["working", "working"]


def test_a_cancelled_task_ends_where_it_was_cancelled() -> None:
    """It waited for nobody."""
    lines = [requested(), took(0.5), convened(1.0), (3.0, OWN, CancelRequested(actor="a")), ended(3.5, State.CANCELLED)]
    assert laid_out(trace(events(lines)))[2:] == [("under way", "", 2.0), ("ending", "", 0.5)]


def test_a_task_that_failed_waited_for_its_last_agent() -> None:
    """Nobody was admitted, nothing ranked."""
    lines = [
        requested(),
        took(0.5),
        convened(1.0),
        started(1.0, FAST),
        (6.0, OWN, AgentFailed(agent_id=FAST, reason="r")),
        ended(6.1, State.FAILED),
        ready(1.5, FAST),
        step(5.0, FAST, "model", 3.0),
        finished(5.5, FAST, 1),
    ]
    assert [p.name for p in trace(events(lines)).path] == ["queue", "convening", "workspace", "agent", "ending"]


def test_a_task_that_nobody_took_waited() -> None:
    """All its time is the queue's."""
    lines = [requested(), (4.0, OWN, CancelRequested(actor="a"))]
    assert laid_out(trace(events(lines))) == [("queue", "", 4.0)]


def test_the_path_goes_stage_by_stage() -> None:
    """Each ends with what it waited for: the second author, the first reviewer, the one who revised, the judge."""
    found = trace(events(IN_STAGES))
    assert laid_out(found) == [
        ("convening", "", 1.0),
        ("workspace", "dev-2", 0.5),
        ("agent", "dev-2", 2.0),
        ("admission", "dev-2", 0.5),
        ("examination", "dev-2-r1", 1.0),
        ("weighing", "", 0.5),
        ("workspace", "dev-2", 0.5),
        ("agent", "dev-2", 1.0),
        ("admission", "dev-2", 0.5),
        ("examination", "dev-2-r1", 1.0),
        ("weighing", "", 0.5),
        ("workspace", "dev-2", 0.5),
        ("agent", "dev-2", 1.5),
        ("judging", "judge-1", 1.0),
        ("ranking", "", 0.25),
        ("publishing", "", 0.25),
    ]
    assert sum(p.seconds for p in found.path) == pytest.approx(found.seconds)


def test_an_agents_works_follow_one_another() -> None:
    """What came of it is its proposal; between its works it did nothing."""
    fast, slow = trace(events(IN_STAGES)).agents
    assert [(p.name, p.seconds) for p in fast.parts] == [
        ("workspace", 0.5),
        ("agent", 1.0),
        ("admission", 0.5),
        ("between works", 2.5),
        ("workspace", 0.5),
        ("agent", 1.75),
        ("admission", 0.25),
    ]
    assert (fast.outcome, slow.outcome, slow.seconds) == ("proposed", "proposed", 10.0)


def test_only_those_of_whom_something_was_asked_are_told_of() -> None:
    """A council has seats for more."""
    alone = [line for line in IN_STAGES[:4] if line[2] != IN_STAGES[2][2]]
    found = trace(events([*alone, staged(1.0, Stage.PROPOSE, "propose", FAST)]))
    assert [(a.agent_id, a.outcome) for a in found.agents] == [(FAST, "working")]


def test_clocks_that_differ_are_said() -> None:
    """The path is whole all the same."""
    lines = [requested(), took(0.5), convened(0.2), ended(1.0, State.FAILED)]
    found = trace(events(lines))
    assert "0.300 s older" in found.unknown[0]
    assert sum(p.seconds for p in found.path) == pytest.approx(1.0)


def test_a_log_without_its_request_is_refused() -> None:
    """Nothing to count from."""
    with pytest.raises(NotFound):
        trace(events([took(1.0)]))


@pytest.mark.parametrize("whole", [ONE_RUN, IN_STAGES], ids=["one stage", "many stages"])
@given(data=st.data())
def test_parts_add_up_whatever_the_log_lacks(whole: list[Line], data: st.DataObject) -> None:
    """Any events missing, at any moments: the path is exactly the whole time, and inner parts exactly their outer."""
    kept = data.draw(st.lists(st.sampled_from(range(1, len(whole))), unique=True))
    moments = data.draw(st.lists(st.floats(0, 20), min_size=len(whole), max_size=len(whole)))
    found = trace(events([whole[0], *((moments[n], *whole[n][1:]) for n in kept)]))
    assert sum(p.seconds for p in found.path) == pytest.approx(found.seconds, abs=1e-6)
    for part in [*found.path, *(p for a in found.agents for p in a.parts)]:
        assert not part.parts or sum(p.seconds for p in part.parts) == pytest.approx(part.seconds, abs=1e-6)
        assert part.seconds > 0

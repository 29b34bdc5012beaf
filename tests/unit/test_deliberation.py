from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from folkmoot.kernel.deliberation import (
    BASE,
    Deliberation,
    Wanted,
    answer,
    apply,
    exhausted,
    fold,
    missing,
    pending,
    progress,
    ready,
    refusal,
)
from folkmoot.kernel.errors import BrokenChain, NotFound
from folkmoot.kernel.events import Event, Fact, Stored
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    PreparedBase,
    Refusal,
    Runner,
    SuiteKind,
    TestSuite,
)
from folkmoot.kernel.facts import (
    AgentFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    DeliberationEnded,
    DeliberationRequested,
    Examined,
    OwnerTook,
    ProposalAdmitted,
    ProposalRefused,
    Seat,
    StoryAccepted,
    Work,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, RepositoryId, StoryId, TaskId
from folkmoot.kernel.result import DecidedBy, State, Usage
from folkmoot.kernel.task import ModelChoice, TaskSpec, digest

START_TIME = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = TaskSpec(
    task_id=TaskId("t-1"), story_id=StoryId("s-1"), title="t", text="x", repository="/r", checks=("c", "c"), agents=2
)
DEV1, DEV2 = AgentId("dev-1"), AgentId("dev-2")
NO_BODY = ArtifactRef(sha256="0" * 64, size=0)
SUITE = TestSuite(runner=Runner.PYTEST, command="pytest")
REQUESTED = DeliberationRequested(spec=SPEC, digest=digest(SPEC))
USED = Usage(model_calls=2, prompt_tokens=10, wall_s=1.5)


def convened(suite: TestSuite | None = SUITE) -> Convened:
    base = PreparedBase(
        repository_id=RepositoryId("r"),
        commit=CommitId("b" * 40),
        suite=suite,
        protected=(),
        max_files=40,
        max_diff_lines=2000,
    )
    seats = tuple(Seat(agent_id=a, role="DEV", persona="", model=ModelChoice()) for a in (DEV1, DEV2))
    return Convened(base=base, seats=seats)


def admitted(agent: AgentId) -> ProposalAdmitted:
    admission = Admission(
        proposal_id=ProposalId(f"{agent}-r1"),
        agent_id=agent,
        commit=CommitId("c" * 40),
        tree="t",
        diff=NO_BODY,
        bundle=NO_BODY,
        files=("a.py",),
        lines_added=1,
        lines_removed=0,
    )
    return ProposalAdmitted(admission=admission, summary="done", usage=USED)


def refused(agent: AgentId) -> ProposalRefused:
    refusal_ = Refusal(proposal_id=ProposalId(f"{agent}-r1"), agent_id=agent, reason="empty")
    return ProposalRefused(refusal=refusal_, usage=USED)


def examined(wanted: Wanted) -> Examined:
    return Examined(
        subject=wanted.subject,
        kind=wanted.kind,
        name=wanted.name,
        run=wanted.run,
        end=CommandEnd(exit_code=0),
        passed=1,
        failed=0,
        skipped=0,
        examination=NO_BODY,
    )


RANKED = CandidatesRanked(
    ranking=(),
    chosen=ProposalId("dev-1-r1"),
    decided_by=DecidedBy.ONLY_CANDIDATE,
    confidence=0.61,
    reasons=("dev-1 is chosen",),
    policy="1",
)
TO_PROPOSAL = (
    REQUESTED,
    OwnerTook(owner="o1"),
    convened(),
    AttemptStarted(agent_id=DEV1, attempt=1),
    AttemptStarted(agent_id=DEV2, attempt=1),
    admitted(DEV1),
)


def stored(number: int, fact: Fact, previous: str) -> Stored:
    event = Event(
        id=str(number),
        source="/orchestrator/one",
        type=fact.type_name,
        subject="deliberation.events.t-1",
        time=START_TIME + timedelta(seconds=number),
        data=fact,
        prevdigest=previous,
    )
    return Stored(seq=number + 10, digest=f"d{number}", event=event)


def chain(facts: Sequence[Fact]) -> list[Stored]:
    return [stored(n, fact, f"d{n - 1}" if n else "") for n, fact in enumerate(facts)]


def after(*facts: Fact) -> Deliberation:
    return fold(chain(facts))


def test_the_state_follows_the_facts() -> None:
    """Each fact moves the deliberation on, never back."""
    state = after(*TO_PROPOSAL)
    settled = after(*TO_PROPOSAL, refused(DEV2))
    ended = DeliberationEnded(result=answer(after(*TO_PROPOSAL, RANKED), State.DECIDED, RANKED.reasons, START_TIME))
    assert after(REQUESTED).state is State.REQUESTED
    assert after(REQUESTED, convened()).state is State.CONVENED
    assert state.state is State.PROPOSING
    assert settled.state is State.EXAMINING
    assert after(*TO_PROPOSAL, RANKED).state is State.RANKED
    assert after(*TO_PROPOSAL, RANKED, ended).state is State.DECIDED


def test_the_fold_keeps_owner_usage_and_head() -> None:
    """What the next owner needs: who was last, what was spent, and the fence."""
    state = after(*TO_PROPOSAL, refused(DEV2), OwnerTook(owner="o2"))
    assert (state.owner, state.usage.model_calls, state.usage.wall_s) == ("o2", 4, 3.0)
    assert (state.head.seq, state.head.digest) == (17, "d7")
    assert state.created_at == START_TIME


def test_a_fold_of_nothing_is_not_found() -> None:
    """An unknown task is the caller's mistake, not ours."""
    with pytest.raises(NotFound):
        fold([])


def test_a_lost_message_stops_the_fold() -> None:
    """A gap in the middle is seen, and named."""
    events = chain(TO_PROPOSAL)
    with pytest.raises(BrokenChain, match="message 13 does not follow message 11"):
        fold(events[:2] + events[3:])


END = DeliberationEnded(result=answer(after(REQUESTED), State.FAILED, ("no base",), START_TIME))


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ((OwnerTook(owner="o"),), "the first event is not the request"),
        ((REQUESTED, REQUESTED), "has no place here"),
        ((REQUESTED, StoryAccepted(actor="a")), "has no place here"),
        ((REQUESTED, END, OwnerTook(owner="o")), "had ended"),
        ((REQUESTED, convened(), convened()), "a second council"),
        ((REQUESTED, AttemptStarted(agent_id=DEV1, attempt=1)), "no council was convened"),
        ((REQUESTED, convened(), AttemptStarted(agent_id=AgentId("eve"), attempt=1)), "eve has no seat"),
        ((REQUESTED, convened(), AttemptStarted(agent_id=DEV1, attempt=2)), "attempt 2 of dev-1 after 0"),
        ((*TO_PROPOSAL, AttemptStarted(agent_id=DEV1, attempt=2)), "dev-1 was already done"),
        ((*TO_PROPOSAL, AttemptStarted(agent_id=DEV2, attempt=2)), "attempt 1 of dev-2 was still running"),
        ((*TO_PROPOSAL, AttemptLost(agent_id=DEV2, attempt=2, reason="")), "attempt 2 of dev-2 was not running"),
        ((*TO_PROPOSAL, admitted(DEV1)), "proposal dev-1-r1 twice"),
        ((*TO_PROPOSAL, AgentFailed(agent_id=DEV1, reason="")), "dev-1 was already done"),
        ((*TO_PROPOSAL, examined(Wanted(subject="x", kind=SuiteKind.CHECK, name="c"))), "x is no candidate"),
        ((*TO_PROPOSAL, *[examined(Wanted(subject=BASE, kind=SuiteKind.CHECK, name="c"))] * 2), "twice"),
        ((*TO_PROPOSAL, RANKED, RANKED), "a second ranking"),
        ((*TO_PROPOSAL, RANKED, refused(DEV2)), "were already ranked"),
    ],
)
def test_what_cannot_be_stops_the_fold(facts: tuple[Fact, ...], problem: str) -> None:
    """The log is the truth: what contradicts it is never folded in."""
    with pytest.raises(BrokenChain, match=problem):
        after(*facts)


def test_a_writer_learns_beforehand_what_a_fold_would_refuse() -> None:
    """The same guards, as a question."""
    state = after(*TO_PROPOSAL)
    assert refusal(state, admitted(DEV1)) == "proposal dev-1-r1 twice"
    assert refusal(state, refused(DEV2)) == ""


def test_a_takeover_goes_on_with_what_runs_and_begins_what_died() -> None:
    """One attempt per agent: the running one, else the next one."""
    lost = AttemptLost(agent_id=DEV2, attempt=1, reason="the actor died")
    begun = after(*TO_PROPOSAL[:4])
    assert [(d.seat.agent_id, d.attempt, d.started) for d in pending(begun, 3)] == [(DEV1, 1, True), (DEV2, 1, False)]
    assert [(d.attempt, d.started) for d in pending(after(*TO_PROPOSAL), 3)] == [(1, True)]
    assert [(d.attempt, d.started) for d in pending(after(*TO_PROPOSAL, lost), 3)] == [(2, False)]


def test_an_agent_out_of_attempts_fails_with_the_last_reason() -> None:
    """Retries end."""
    facts = [*TO_PROPOSAL, AttemptLost(agent_id=DEV2, attempt=1, reason="the actor died")]
    state = after(*facts)
    assert pending(state, 1) == ()
    assert exhausted(state, 1) == {
        Work(agent_id=DEV2, phase="propose"): "the last of 1 attempts was lost: the actor died"
    }
    assert exhausted(state, 3) == {}


def test_examinations_are_asked_for_once() -> None:
    """Base's tests n times, all else once; what is recorded is never repeated."""
    state = after(*TO_PROPOSAL)
    wanted = missing(state, 2)
    assert [(w.subject, w.name, w.run) for w in wanted] == [
        (BASE, "tests", 1),
        (BASE, "tests", 2),
        (BASE, "c", 1),
        ("dev-1-r1", "tests", 1),
        ("dev-1-r1", "c", 1),
    ]
    for n, w in enumerate(wanted[:3]):
        state = apply(state, stored(len(TO_PROPOSAL) + n, examined(w), state.head.digest))
    assert missing(state, 2) == wanted[3:]


def test_without_a_suite_only_checks_are_run() -> None:
    """No tests, no baseline."""
    assert [w.name for w in missing(after(REQUESTED, convened(suite=None)), 2)] == ["c"]


def test_it_is_time_to_rank_when_all_is_settled_and_examined() -> None:
    """Not before: a candidate may still come."""
    examinations = [examined(w) for w in missing(after(*TO_PROPOSAL), 2)]
    assert not ready(after(*TO_PROPOSAL, *examinations), 2)
    assert not ready(after(*TO_PROPOSAL, refused(DEV2)), 2)
    assert ready(after(*TO_PROPOSAL, *examinations, refused(DEV2)), 2)


def test_a_poll_is_told_how_far_it_is_then_the_result() -> None:
    """One shape for both; the result is the ended event's, unchanged."""
    running = progress(after(*TO_PROPOSAL, CancelRequested(actor="ann")), START_TIME + timedelta(seconds=9))
    assert running.reasons == ("proposing, 9 s after the request", "1 of 2 agents are done", "ann asked to cancel it")
    assert (running.state, running.decided_at, running.usage) == (State.PROPOSING, None, USED)
    assert progress(after(REQUESTED, END), START_TIME) == END.result


def test_the_conclusion_names_winner_and_branch() -> None:
    """The contract's result follows from the ranking."""
    result = answer(after(*TO_PROPOSAL, RANKED), State.DECIDED, RANKED.reasons, START_TIME)
    assert result.winner is not None
    assert (result.winner.branch, result.winner.agent_id) == ("moot/t-1", DEV1)
    assert (result.state, result.decided_by, result.confidence) == (State.DECIDED, DecidedBy.ONLY_CANDIDATE, 0.61)
    assert result.created_at == "2026-01-02T00:00:00.000Z"


def test_a_ranking_without_a_choice_abstains() -> None:
    """No winner, no branch, but all reasons."""
    none = msgspec.structs.replace(RANKED, chosen=None, decided_by=None, confidence=None)
    result = answer(after(*TO_PROPOSAL, none), State.ABSTAINED, none.reasons, START_TIME)
    assert (result.state, result.winner, result.reasons) == (State.ABSTAINED, None, none.reasons)

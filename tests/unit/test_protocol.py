"""Which stage of a deliberation comes next: a task is played without agents, its standing made up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from folkmoot.kernel.deliberation import Deliberation, apply, begin, refusal
from folkmoot.kernel.events import Event, Fact, Stored
from folkmoot.kernel.evidence import Admission, ArtifactRef, Outcome, PreparedBase, Verdict
from folkmoot.kernel.facts import (
    AgentFailed,
    Convened,
    DeliberationRequested,
    Judged,
    ProposalAdmitted,
    Reviewed,
    Seat,
    Stage,
    Staged,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, RepositoryId, TaskId, proposal_id
from folkmoot.kernel.jury.policy import POLICY
from folkmoot.kernel.jury.standing import Objection, Standing
from folkmoot.kernel.protocol import following, opening
from folkmoot.kernel.task import ModelChoice, Rigor, TaskKind, TaskSpec, digest

BODY = ArtifactRef(sha256="0" * 64, size=0)
BASE = PreparedBase(
    repository_id=RepositoryId("r"), commit=CommitId("a" * 40), suite=None, protected=(), max_files=9, max_diff_lines=9
)
HELPERS = ("tester-1:sealed", "tester-2:sealed", "splitter-1:split", "judge-1:judge")


class Task:
    """Its log, as a fold; every fact is one that may follow."""

    def __init__(self, rigor: Rigor, *, agents: int = 3, max_agents: int = 0, inherited: Sequence[str] = ()) -> None:
        spec = TaskSpec(
            task_id=TaskId("t"),
            title="t",
            text="x",
            repository="/r",
            agents=agents,
            max_agents=max_agents,
            rigor=rigor,
            continues=TaskId("earlier" if inherited else ""),
        )
        self.number = 0
        self.state: Deliberation = begin(self._stored(DeliberationRequested(spec=spec, digest=digest(spec))))
        seats = tuple(seat(f"dev-{n}") for n in range(1, max(agents, max_agents) + 1))
        helpers = tuple(map(seat, HELPERS)) if rigor is Rigor.L3 else ()
        had = tuple(admission(AgentId(a), 1) for a in inherited)
        self.write(Convened(base=BASE, seats=seats, helpers=helpers, inherited=had))
        self.write(opening(self.state, POLICY))

    def write(self, fact: Fact) -> None:
        assert refusal(self.state, fact) == ""
        self.state = apply(self.state, self._stored(fact))

    def _stored(self, fact: Fact) -> Stored:
        n = self.number = self.number + 1
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n)
        previous = f"d{n - 1}" if n > 1 else ""
        event = Event(id=str(n), source="/t", type=fact.type_name, subject="s", time=at, data=fact, prevdigest=previous)
        return Stored(seq=n, digest=f"d{n}", event=event)

    def end(self, work: Work, *, well: bool = True) -> None:
        match work.phase:
            case "review" if well:
                self.write(Reviewed(work=work))
            case "test" if well:
                self.write(TestsWritten(work=work, exhibits=()))
            case "propose" if not well:
                self.write(AgentFailed(agent_id=work.agent_id, reason="lost"))
            case "propose" | "revise" if well:
                self.write(ProposalAdmitted(admission=admission(work.agent_id, work.round), round=work.round))
            case _:
                self.write(WorkEnded(work=work, reason="lost", failed=True))

    def end_all(self, *, well: bool = True) -> None:
        for work in self.state.open:
            self.end(work, well=well)

    def next(self, standing: Standing, *, spent: str = "") -> Staged:
        fact = following(self.state, standing, POLICY, spent=spent)
        self.write(fact)
        return fact


def seat(name: str) -> Seat:
    agent, _, duty = name.partition(":")
    return Seat(agent_id=AgentId(agent), role="DEV", persona="", model=ModelChoice(), duty=duty)


def admission(agent: AgentId, round_: int) -> Admission:
    return Admission(
        proposal_id=proposal_id(agent, round_),
        agent_id=agent,
        commit=CommitId("b" * 40),
        tree=f"{agent} {round_}",
        diff=BODY,
        bundle=BODY,
        files=("a.py",),
        lines_added=1,
        lines_removed=0,
    )


def open_question(*proposals: str, against: Sequence[str] = ()) -> Standing:
    """Each proposal a class of its own, all of them near each other, with a failing test `against` some."""
    ids = [ProposalId(p) for p in proposals]
    objection = Objection(exhibit_id="own-dev-9-r1", test="t", outcome=Outcome.FAILED, author=AgentId("dev-9"))
    return Standing(
        classes=tuple((p,) for p in ids),
        probability=tuple(0.3 for _ in ids),
        confidence=0.3,
        close=tuple(pairwise(ids)),
        objections={ProposalId(p): (objection,) for p in against},
    )


def phases(fact: Staged) -> list[str]:
    return sorted(f"{w.agent_id} {w.phase} {w.round}" for w in fact.works)


def test_a_task_of_rigor_l2_is_criticised_and_revised_once() -> None:
    """Peers review, authors mend what speaks against them, and then it is ranked: L3's steps are not L2's."""
    task = Task(Rigor.L2)
    assert phases(task.state.staged[0]) == ["dev-1 propose 1", "dev-2 propose 1", "dev-3 propose 1"]
    task.end_all()
    stands = open_question("dev-1-r1", "dev-2-r1", against=["dev-2-r1"])
    critique = task.next(stands)
    assert critique.stage is Stage.CRITIQUE
    assert phases(critique) == ["dev-1 review 1", "dev-2 review 1", "dev-3 review 1"]
    task.end_all()
    revision = task.next(stands)
    assert (revision.stage, phases(revision)) == (Stage.REVISE, ["dev-2 revise 2"])
    task.end_all()
    assert task.next(open_question("dev-1-r1", "dev-2-r2", against=["dev-2-r2"])).stage is Stage.RANK


def test_a_task_of_rigor_l3_has_sealed_tests_split_and_judge() -> None:
    """Writers who may see no candidate begin with the agents; what stays near is split by a test, then judged."""
    task = Task(Rigor.L3)
    assert phases(task.state.staged[0])[-2:] == ["tester-1 test 1", "tester-2 test 1"]
    task.end_all()
    stands = open_question("dev-1-r1", "dev-2-r1")
    assert task.next(stands).stage is Stage.CRITIQUE
    task.end_all()
    split = task.next(stands)
    assert (split.stage, phases(split), split.pairs) == (Stage.TEST, ["splitter-1 test 1"], stands.close)
    task.end_all()
    judging = task.next(stands)
    assert (judging.stage, judging.pairs, judging.works) == (Stage.JUDGE, stands.close, ())
    one, other = judging.pairs[0]
    verdict = Verdict(one=one, other=other, better=None, consistent=False, judge=AgentId("judge-1"), model="m")
    task.write(Judged(verdict=verdict))
    assert task.next(stands).stage is Stage.RANK


def test_what_is_settled_is_ranked_at_once() -> None:
    """Early stop: nothing is spent where the answer can no longer change."""
    task = Task(Rigor.L3)
    task.end_all()
    settled = msgspec.structs.replace(open_question("dev-1-r1"), settled="two independent authors agree")
    assert task.next(settled).reasons == ("two independent authors agree",)
    assert task.state.staged[-1].stage is Stage.RANK


def test_a_limit_of_the_task_ends_in_the_ranking_of_what_there_is() -> None:
    """A stated outcome, with the best so far."""
    task = Task(Rigor.L2)
    task.end_all()
    fact = task.next(open_question("dev-1-r1", "dev-2-r1"), spent="the task's limit of 9 model calls is reached")
    assert fact.stage is Stage.RANK
    assert fact.reasons[0].startswith("the task's limit of 9 model calls is reached")


def test_more_agents_are_asked_only_while_evidence_is_short() -> None:
    """Few to begin with; further seats two at a time, up to the task's own limit."""
    task = Task(Rigor.L2, agents=1, max_agents=4)
    assert phases(task.state.staged[0]) == ["dev-1 propose 1"]
    task.end_all()
    more = task.next(open_question("dev-1-r1"))
    assert (more.stage, phases(more)) == (Stage.PROPOSE, ["dev-2 propose 1", "dev-3 propose 1"])
    task.end_all()
    settled = msgspec.structs.replace(open_question("dev-1-r1", "dev-2-r1"), settled="enough")
    assert task.next(settled).stage is Stage.RANK


def test_an_unacceptable_proposal_is_revised_by_its_author() -> None:
    """Where nobody passes the gates, there is nothing to review, and still something to mend."""
    task = Task(Rigor.L2, agents=2)
    task.end_all()
    stands = Standing(faults={ProposalId("dev-1-r1"): ("breaks a test of base",)})
    assert phases(task.next(stands)) == ["dev-1 revise 2"]


def test_an_author_who_changed_nothing_is_not_asked_again() -> None:
    """Rounds go on until nothing changes, not until the limit."""
    task = Task(Rigor.L3, agents=2)
    task.end_all()
    stands = open_question("dev-1-r1", "dev-2-r1", against=["dev-1-r1"])
    stages = []
    while task.state.staged[-1].stage is not Stage.RANK:
        stages.append(task.next(stands).stage)
        for work in task.state.open:
            task.end(work, well=work.phase != "revise")
        if stages[-1] is Stage.JUDGE:
            one, other = task.state.staged[-1].pairs[0]
            task.write(
                Judged(
                    verdict=Verdict(one=one, other=other, better=one, consistent=True, judge=AgentId("j"), model="m")
                )
            )
    assert stages.count(Stage.REVISE) == 1
    assert stages.count(Stage.CRITIQUE) == 1


def test_a_task_that_goes_on_asks_nobody_to_propose() -> None:
    """The candidates are there; a revision gets a number that none of them has."""
    task = Task(Rigor.L2, agents=2, inherited=["dev-1", "dev-2"])
    assert task.state.staged[0].works == ()
    stands = Standing(faults={ProposalId("dev-2-r1"): ("fails the new check",)})
    assert phases(task.next(stands)) == ["dev-2 revise 2"]


def test_nobody_is_asked_to_mend_what_the_platform_merged() -> None:
    """It breaks a test: that is the answer, and no stage is begun for it."""
    task = Task(Rigor.L2, agents=1)
    change = msgspec.structs.replace
    spec = change(task.state.spec, kind=TaskKind.MERGE, merge=(BASE.commit, CommitId("c" * 40)))
    task.state = change(task.state, spec=spec, base=change(BASE, start=CommitId("d" * 40)))
    task.end_all()
    assert task.next(Standing(faults={ProposalId("dev-1-r1"): ("breaks a test of base",)})).stage is Stage.RANK


@pytest.mark.parametrize("rigor", [Rigor.L2, Rigor.L3])
@settings(max_examples=40)
@given(data=st.data())
def test_every_deliberation_comes_to_its_ranking(rigor: Rigor, data: st.DataObject) -> None:
    """Whatever ends well or badly, and whatever the evidence says: no work twice, and an end within few stages."""
    task = Task(rigor, agents=data.draw(st.integers(1, 4)), max_agents=data.draw(st.sampled_from([0, 5])))
    for _ in range(15):
        for work in task.state.open:
            task.end(work, well=data.draw(st.booleans()))
        last = task.state.staged[-1]
        for one, other in last.pairs if last.stage is Stage.JUDGE else ():
            verdict = Verdict(one=one, other=other, better=None, consistent=False, judge=AgentId("j"), model="m")
            task.write(Judged(verdict=verdict))
        ids = [a.proposal_id for a in task.state.admissions]
        near = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        against = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        if task.next(open_question(*near, against=against)).stage is Stage.RANK:
            return
    raise AssertionError("no end")

"""How the owner carries a task of rigor L2 or L3 through its stages, on the log in memory."""

import msgspec
import pytest

from folkmoot.kernel.evidence import PLATFORM, Source, SuiteKind
from folkmoot.kernel.facts import Stage
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import ModelChoice, Rigor
from tests.fixtures.stages import Bench


async def test_every_test_of_every_author_is_run_on_base_and_on_every_candidate() -> None:
    """Three authors with tests of their own: twelve cells, whoever came first; what is equal is run once."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "right", "dev-3 propose": "wrong"}, Rigor.L2, agents=3)
    state = await bench.carry()
    seen = {(e.name, e.subject) for e in state.examined if e.kind is SuiteKind.EXHIBIT and e.run == 1}
    subjects_ = ["base", "dev-1-r1", "dev-2-r1", "dev-3-r1"]
    assert {(f"own-dev-{n}-r1", s) for n in (1, 2, 3) for s in subjects_} == seen
    assert len(bench.examiner.runs) == len(set(bench.examiner.runs))
    assert state.ranked is not None
    assert state.ranked.ranking[0].proposal_id in ("dev-1-r1", "dev-2-r1")


async def test_calls_that_no_test_makes_are_run_on_base_and_on_every_candidate() -> None:
    """Once two different changes are there: an exhibit of the platform's own, made from arguments that tests show."""
    bench = Bench({"dev-1 propose": "from a import f;f(1)", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    state = await bench.carry()
    [probe] = [e for e in state.exhibits if e.source is Source.PROBE]
    assert probe.author == PLATFORM
    ran = {e.subject for e in state.examined if e.name == probe.exhibit_id}
    assert ran == {"base", *(a.proposal_id for a in state.admissions)}
    assert state.ranked is not None


async def test_authors_mend_what_a_reproducer_shows() -> None:
    """The reviewer's test fails on the wrong one; its author sees that, and mends it: a further candidate, and the
    earlier one stays."""
    world = {
        "dev-1 propose": "right",
        "dev-2 propose": "wrong",
        "dev-1 review": "right",
        "dev-2 revise": "right",
    }
    bench = Bench(world, Rigor.L2, agents=2)
    state = await bench.carry()
    assert [s.stage for s in state.staged][:3] == [Stage.PROPOSE, Stage.CRITIQUE, Stage.REVISE]
    assert sorted(a.proposal_id for a in state.admissions) == ["dev-1-r1", "dev-2-r1", "dev-2-r2"]
    [finding] = [f for review in state.reviews for f in review.findings]
    assert (finding.exhibit_id, finding.proposal_id) == ("finding-dev-1-r1-1", "dev-2-r1")
    [revision] = [t for t in bench.pool.told if t.phase == "revise" and t.agent == "dev-2"]
    assert "it is wrong" in revision.evidence
    assert "dev-1" not in revision.evidence
    assert [t.shown for t in bench.pool.told if t.phase == "review"] == [1, 1]
    assert state.ranked is not None
    assert state.ranked.chosen in ("dev-1-r1", "dev-2-r2")


async def test_a_revision_without_a_change_is_no_candidate() -> None:
    """It is written down as that, and the task goes on."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    state = await bench.carry()
    assert [a.proposal_id for a in state.admissions] == ["dev-1-r1", "dev-2-r1"]
    assert set(state.idle.values()) <= {"nothing changed"}
    assert state.ranked is not None


async def test_writers_who_saw_no_candidate_decide_between_camps() -> None:
    """Two camps of one author each contradict each other; sealed tests settle it."""
    world = {
        "dev-1 propose": "right",
        "dev-2 propose": "wrong",
        "tester-1 test": "right",
        "tester-2 test": "right",
        "splitter-1 test": "right",
    }
    bench = Bench(world, Rigor.L3, agents=2)
    state = await bench.carry()
    sealed = [t for t in bench.pool.told if t.agent.startswith("tester")]
    assert [(t.phase, t.shown, t.evidence) for t in sealed] == [("test", 0, "")] * 2
    assert state.ranked is not None
    assert state.ranked.chosen == "dev-1-r1"


async def test_a_task_goes_on_with_the_candidates_of_an_ended_one() -> None:
    """Nobody proposes again: the candidates and the tests of the first task are judged anew."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    first = await bench.carry()
    again = msgspec.structs.replace(bench.spec, task_id=TaskId("t-2"), continues=first.task_id)
    second = await bench.carry(again)
    assert [a.proposal_id for a in second.admissions][:2] == [a.proposal_id for a in first.admissions]
    assert {e.exhibit_id for e in first.exhibits} <= {e.exhibit_id for e in second.exhibits}
    assert len([t for t in bench.pool.told if t.phase == "propose"]) == 2
    assert second.ranked is not None


async def test_what_reviewers_find_in_a_task_that_goes_on_is_run_too() -> None:
    """Another test than in the task before, by the same reviewer in a round of the same number, is another exhibit."""
    world = {"dev-1 propose": "right", "dev-2 propose": "wrong", "dev-1 review": "right"}
    bench = Bench(world, Rigor.L2, agents=2)
    first = await bench.carry()
    world["dev-1 review"] = "other"
    second = await bench.carry(msgspec.structs.replace(bench.spec, task_id=TaskId("t-2"), continues=first.task_id))
    [finding] = [f for review in second.reviews for f in review.findings if review.work.agent_id == "dev-1"]
    assert finding.exhibit_id == "finding-dev-1-r1-1-c2"
    assert {f"finding-dev-1-r1-1{k}" for k in ("", "-c2")} <= {e.name for e in second.examined}


@pytest.mark.parametrize("rigor", [Rigor.L2, Rigor.L3])
async def test_sealed_tests_stay_evidence_in_a_task_that_goes_on(rigor: Rigor) -> None:
    """Also where its rigor has none of its own; and nobody is paid to write them twice."""
    world = {"dev-1 propose": "right", "dev-2 propose": "wrong", "tester-1 test": "right", "tester-2 test": "right"}
    bench = Bench(world, Rigor.L3, agents=2)
    first = await bench.carry()
    further = msgspec.structs.replace(bench.spec, task_id=TaskId("t-2"), continues=first.task_id, rigor=rigor)
    second = await bench.carry(further)
    assert {"sealed-tester-1-r1", "sealed-tester-2-r1"} <= {e.name for e in second.examined}
    assert len([t for t in bench.pool.told if t.agent.startswith("tester")]) == 2
    assert second.ranked is not None
    assert second.ranked.chosen == "dev-1-r1"


async def test_a_task_that_goes_on_asks_the_model_that_it_names() -> None:
    """The one of the task before may be gone."""
    bench = Bench({"dev-1 propose": "right", "dev-2 propose": "wrong"}, Rigor.L2, agents=2)
    first = await bench.carry()
    model = ModelChoice(url="http://127.0.0.1:2/v1", name="other")
    further = msgspec.structs.replace(bench.spec, task_id=TaskId("t-2"), continues=first.task_id, model=model)
    second = await bench.carry(further)
    assert [s.agent_id for s in second.seats] == [s.agent_id for s in first.seats]
    assert {s.model for s in second.seats} == {model}


async def test_a_reproducer_that_is_lost_spoils_no_other_finding() -> None:
    """It is written down with its problem; the next one is run."""
    world = {"dev-1 propose": "right", "dev-2 propose": "wrong", "dev-1 review": "lost right"}
    bench = Bench(world, Rigor.L2, agents=2)
    state = await bench.carry()
    found = [f for review in state.reviews for f in review.findings]
    assert [(f.exhibit_id, bool(f.problem)) for f in found] == [("", True), ("finding-dev-1-r1-2", False)]

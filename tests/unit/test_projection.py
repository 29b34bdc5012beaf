"""What the events of stories, tasks and the fleet do to the graph."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel import subjects
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import (
    AgentRegistered,
    AgentUnregistered,
    Convened,
    CouncilCreated,
    CouncilDeleted,
    DecisionRecorded,
    DeliberationRequested,
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryAssessed,
    StoryCarriedOver,
    StoryPlanned,
    StoryRevised,
    StorySentBack,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.plan import Assessment, Plan, PlannedTask
from folkmoot.kernel.result import State
from folkmoot.kernel.task import Role
from folkmoot.runtime.graph.port import Part
from tests.fixtures.deliberated import RIGHT, TASK, WRONG, admission, told
from tests.fixtures.history import History, commit, deliberation, spec, submitted

SUBJECT = subjects.deliberation(TASK)
DELIBERATED = [stored.event.data for stored in told().events]
STORY = subjects.story(StoryId("s-1"))
PLAN = Plan(
    summary="first the model",
    tasks=(
        PlannedTask(name="model", title="The model", text="m"),
        PlannedTask(name="api", title="The API", text="a", after=("model",)),
    ),
    ids={"model": TaskId("t-1"), "api": TaskId("t-2")},
)
PLANNED = StoryPlanned(tasks=(TaskId("t-1"), TaskId("t-2")), how="model", plan=PLAN)
SCORES = Assessment(clarity=80, testability=60, size=90, score=70, summary="clear enough", questions=("Which port?",))


async def properties(history: History, node_id: str) -> dict[str, str]:
    node = await history.graph.node(node_id)
    assert node is not None, node_id
    return node.properties


async def state(history: History) -> str:
    return (await properties(history, "story:s-1"))["state"]


async def connected(history: History, start: str, kind: str) -> list[str]:
    return [e.to_id for e in await history.graph.edges([start], kind, limit=99)]


async def test_a_story_goes_through_its_states() -> None:
    """As planning counts them, from the text to a person's word, and round again."""
    history = History()
    released = TaskReleased(spec=spec("t-1", "s-1")), TaskReleased(spec=spec("t-2", "s-1"))
    decided = (TaskDecided(task_id=TaskId(f"t-{n}"), state="decided") for n in (1, 2))
    course: list[tuple[Fact, str]] = [
        (submitted(title="Shop", text="Build it"), "submitted"),
        (StoryAssessed(actor="coach", assessment=SCORES, threshold=75, model="m"), "assessed"),
        (PLANNED, "planned"),
        (PlanRejected(actor="ann", reason="too large"), "assessed"),
        (PLANNED, "planned"),
        (PlanApproved(actor="ann"), "approved"),
        (released[0], "released"),
        (next(decided), "decided"),
        (released[1], "released"),
        (next(decided), "decided"),
        (StorySentBack(actor="ann", reason="the total is wrong"), "sent_back"),
        (StoryRevised(actor="ann", title="Shop 2", text="Build it well"), "submitted"),
        (StepFailed(step="plan", reason="no model answers"), "submitted"),
        (StoryCarriedOver(actor="ann", into=StoryId("s-2")), "carried_over"),
    ]
    for fact, expected in course:
        await history.write(STORY, fact)
        assert await state(history) == expected, fact
    story = await properties(history, "story:s-1")
    assert (story["title"], story["round"], story["problem"]) == ("Shop 2", "1", "plan: no model answers")
    assert await connected(history, "story:s-1", "CARRIED_INTO") == ["story:s-2"]


async def test_an_old_story_is_approved_by_its_plan() -> None:
    """Logs from before plans go on to a release at once."""
    history = History()
    await history.write(STORY, submitted(title="t", text="x"), StoryPlanned(tasks=(TaskId("t-1"),), how="single"))
    assert await state(history) == "approved"


async def test_plans_keep_their_tasks_and_what_became_of_them() -> None:
    """Each plan is a node of its own; tasks know what they come after."""
    history = History()
    await history.write(STORY, submitted(title="t", text="x"), PLANNED, PlanRejected(actor="ann", reason="too large"))
    await history.write(STORY, PLANNED, PlanApproved(actor="autopilot", automatic=True))
    second, first = await connected(history, "story:s-1", "HAS_PLAN")
    assert (await properties(history, first))["state"] == "rejected"
    assert (await properties(history, first))["reason"] == "too large"
    approved = await properties(history, second)
    assert (approved["state"], approved["automatic"], approved["round"]) == ("approved", "true", "1")
    assert approved["tasks"] == "model: The model\napi: The API (after model)"
    model, api = sorted(await connected(history, second, "HOLDS"), reverse=True)
    assert await connected(history, api, "AFTER") == [model]
    assert await connected(history, api, "BECAME") == ["task:t-2"]
    assert await connected(history, "story:s-1", "PLANNED") == ["task:t-1", "task:t-2"]
    (reason,) = await connected(history, "story:s-1", "TOLD")
    assert (await properties(history, reason))["text"] == "too large"


async def test_assessments_are_kept() -> None:
    """With the scores, and what the coach asks."""
    history = History()
    await history.write(STORY, submitted(title="t", text="x"))
    await history.write(STORY, StoryAssessed(actor="coach", assessment=SCORES, threshold=75, model="m"))
    (assessment,) = await connected(history, "story:s-1", "ASSESSED_AS")
    said = await properties(history, assessment)
    assert (said["score"], said["threshold"], said["questions"]) == ("70", "75", "Which port?")


async def test_a_task_touches_files_and_the_folders_around_them() -> None:
    """A folder is found as quickly as a file; another repository's file of that name is another file."""
    history = History()
    await history.task(spec("t-1", merge=[commit("c")], depends_on=["t-0"]), "src/shop/cart.py", "README.md")
    places = await history.graph.nodes(await connected(history, "task:t-1", "TOUCHED"))
    assert {n.properties["path"] for n in places} == {"src/shop/cart.py", "README.md", "src/", "src/shop/"}
    await history.task(spec("t-2", repository="https://host/shop.git"), "README.md")
    (other,) = await connected(history, "task:t-2", "TOUCHED")
    assert other not in {n.id for n in places}
    assert await connected(history, "task:t-1", "BUILDS_ON") == ["task:t-0"]
    assert await connected(history, "task:t-1", "MERGES") == [f"commit:{commit('c')}"]
    ended = await properties(history, "task:t-1")
    assert (ended["state"], ended["commit"], ended["branch"]) == ("decided", commit("t-1"), "moot/t-1")


async def test_addresses_that_plainly_mean_the_same_are_one_repository() -> None:
    """A trailing slash must not hide what was learned."""
    for address in ("/srv/shop/", "file:///srv/shop", "//srv/./shop", "/srv/x/../shop"):
        history = History()
        await history.task(spec("t-1", repository=address), "a.py")
        await history.task(spec("t-2", repository="/srv/shop"), "a.py")
        assert await connected(history, "task:t-1", "TOUCHED") == await connected(history, "task:t-2", "TOUCHED")


async def test_a_council_has_the_agents_that_it_has_now() -> None:
    """Registered anew it seats others; what is deleted is gone."""
    history = History()
    ada = AgentRegistered(actor="ann", agent=AgentProfile(name="ada", role=Role.QA, temperature=0.5))
    await history.write(subjects.COUNCILS, ada, _council("ada", "bob"))
    assert await connected(history, "council:strict", "SEATS") == ["profile:ada", "profile:bob"]
    await history.write(subjects.COUNCILS, _council("bob", "cyd"))
    assert await connected(history, "council:strict", "SEATS") == ["profile:bob", "profile:cyd"]
    assert (await properties(history, "profile:ada"))["temperature"] == "0.5"
    await history.write(subjects.COUNCILS, CouncilDeleted(actor="ann", name="strict"))
    await history.write(subjects.COUNCILS, AgentUnregistered(actor="ann", name="ada"))
    assert {n.id for n in (await history.graph.dump()).nodes} == {"profile:bob", "profile:cyd"}


def _council(*agents: str) -> CouncilCreated:
    return CouncilCreated(actor="ann", council=Council(name="strict", role=Role.QA, agents=agents))


async def test_secrets_do_not_reach_the_graph() -> None:
    """Whoever wrote them: a person in a story, an agent in its summary, a test in its name."""
    secret = "ghp_" + "a1B2c3" * 6
    history = History()
    await history.story("s-1", spec("t-1", "s-1", text=f"use {secret}"), text=f"use {secret}", checks=[f"x {secret}"])
    await history.task(spec("t-1", "s-1", title=secret), "a.py", summary=f"I used {secret}", reasons=(secret,))
    await history.decision("d-1", text=f"The token is {secret}", repository="/srv/shop", paths=["a.py"])
    await history.write(STORY, StorySentBack(actor="ann", reason=f"{secret} leaks"))
    dump = await history.graph.dump()
    assert "[redacted:github]" in str(dump)
    assert secret not in str(dump)


async def test_candidates_are_joined_with_the_tests_that_they_pass_and_fail() -> None:
    """Of every author; both, where runs differ. Who wrote them, and what they came with, is there too."""
    history = History()
    await history.write(SUBJECT, *DELIBERATED)
    wrong, right = f"proposal:{TASK}/{WRONG}", f"proposal:{TASK}/{RIGHT}"
    assert await names(history, wrong, "FAILS") == {"own-dev-1-r1", "own-dev-2-r1", "finding-dev-1-r1"}
    assert await names(history, wrong, "PASSES") == {"own-dev-2-r1", "finding-dev-2-r1", "tests", "true"}
    assert not await names(history, right, "FAILS")
    assert await names(history, f"agent:{TASK}/dev-1", "WROTE") == {"own-dev-1-r1", "finding-dev-1-r1"}
    (own,) = [e.from_id for e in (await history.graph.dump()).edges if (e.kind, e.to_id) == ("CAME_WITH", right)]
    assert (await properties(history, own))["source"] == "candidate"


async def test_critique_and_the_judges_words_are_kept() -> None:
    """Against which proposal, by which test, and what was preferred."""
    history = History()
    await history.write(SUBJECT, *DELIBERATED)
    (critique,) = await connected(history, f"agent:{TASK}/dev-1", "RAISED")
    assert (await properties(history, critique))["text"] == "drops a cent "
    assert await connected(history, critique, "SPEAKS_AGAINST") == [f"proposal:{TASK}/{WRONG}"]
    assert await names(history, critique, "SHOWN_BY") == {"finding-dev-1-r1"}
    (verdict,) = await connected(history, f"agent:{TASK}/judge-1", "GAVE")
    assert await connected(history, verdict, "COMPARES") == [f"proposal:{TASK}/{p}" for p in (RIGHT, WRONG)]
    assert await connected(history, verdict, "PREFERS") == []
    assert (await properties(history, f"agent:{TASK}/dev-2"))["nothing_more"] == "revise 2: the tree is the same "
    assert (await properties(history, f"task:{TASK}"))["stage"] == "rank 1"


async def test_a_task_that_goes_on_has_the_candidates_that_it_took_over() -> None:
    """As its own, and knows whose they were."""
    history = History()
    further = spec("t-2", continues=TASK)
    convened = next(f for f in DELIBERATED if isinstance(f, Convened))
    taken = msgspec.structs.replace(convened, inherited=(admission(RIGHT),))
    await history.write(subjects.deliberation(further.task_id), DeliberationRequested(spec=further, digest="d"), taken)
    assert await connected(history, "task:t-2", "CONTINUES") == [f"task:{TASK}"]
    assert await connected(history, "agent:t-2/dev-1", "PROPOSED") == [f"proposal:t-2/{RIGHT}"]


async def names(history: History, start: str, kind: str) -> set[str]:
    """Of the nodes that edges lead to."""
    return {(await properties(history, node_id))["name"] for node_id in await connected(history, start, kind)}


async def test_a_forgotten_deliberation_takes_its_evidence_along() -> None:
    """Nothing of tests, critique and judges is left."""
    history = History()
    await history.write(SUBJECT, *DELIBERATED)
    await history.forget(SUBJECT)
    left = {node.kind for node in (await history.graph.dump()).nodes}
    assert not left & {"Test", "Verdict", "Critique", "Proposal", "Agent", "Decision"}


@pytest.mark.parametrize("story_first", [True, False])
async def test_what_is_forgotten_is_gone_as_from_a_rebuild(story_first: bool) -> None:
    """A story and its tasks, one never begun; what other stories, tasks and decisions say of them and of the same
    files stays."""
    history, rebuilt = History(), History()
    for one in (history, rebuilt):
        await one.story("s-2", spec("t-3", "s-2"), carried_from="s-1")
        await one.task(spec("t-3", "s-2"), "src/a.py")
        await one.decision("d-1", story_id="s-1", task_id="t-1")
    await history.story("s-1", spec("t-1", "s-1"), plan=PLAN)
    await history.task(spec("t-1", "s-1"), "src/a.py", "src/mine.py")
    await history.write(STORY, StorySentBack(actor="ann", reason="no"))
    gone = [STORY, subjects.deliberation(TaskId("t-1"))]
    for subject in gone if story_first else reversed(gone):
        await history.forget(subject)
    assert _without_ranks(await history.graph.dump()) == _without_ranks(await rebuilt.graph.dump())


def _without_ranks(dump: Part) -> tuple[object, ...]:
    return dump.nodes, [(e.from_id, e.kind, e.to_id) for e in dump.edges]


WHOLE = spec("t-1", "s-1", depends_on=["t-0"])
STREAMS: dict[str, list[Fact]] = {
    STORY: [
        submitted(title="Shop", text="Build it", carried_from="s-0"),
        PLANNED,
        PlanRejected(actor="ann", reason="too large"),
        PLANNED,
        PlanApproved(actor="ann"),
        TaskReleased(spec=WHOLE),
        TaskDecided(task_id=WHOLE.task_id, state="abstained"),
        StorySentBack(actor="ann", reason="no"),
    ],
    subjects.deliberation(WHOLE.task_id): [
        *deliberation(WHOLE, ("src/a.py",), State.ABSTAINED, "done", ("too little evidence",))
    ],
    subjects.DECISIONS: [
        DecisionRecorded(decision_id="d-1", actor="ann", title="t", text="x", story_id=WHOLE.story_id),
        DecisionRecorded(decision_id="d-2", actor="ann", title="t", text="x", repository="/srv/shop", paths=("src/",)),
    ],
}


async def _projected(order: Sequence[str]) -> Part:
    history = History()
    waiting = {subject: iter(facts) for subject, facts in STREAMS.items()}
    for subject in order:
        await history.write(subject, next(waiting[subject]))
    return await history.graph.dump()


IN_TURN = [subject for subject, facts in STREAMS.items() for _ in facts]


@given(st.permutations(IN_TURN))
def test_the_order_of_streams_does_not_matter(order: list[str]) -> None:
    """However the events of different logs come between one another: the same graph."""
    assert asyncio.run(_projected(order)) == asyncio.run(_projected(IN_TURN))

"""What makes a plan sound, and the course that it takes: rules by example, promises by property."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.kernel.course import course, identified
from folkmoot.kernel.due import Limits, due, planned
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import StepFailed, StorySubmitted, TaskDecided, TaskReleased
from folkmoot.kernel.ids import CommitId, StoryId, TaskId
from folkmoot.kernel.lifecycle import StoryState, check
from folkmoot.kernel.plan import Plan, PlannedTask, Planning, ancestors, overlap, sound
from folkmoot.kernel.result import Usage
from folkmoot.kernel.story import after
from folkmoot.kernel.task import MAX_SPEC_BYTES, Rigor, TaskKind, TaskSpec
from tests.unit.test_story import after as story_after

S1 = StoryId("s-1")
STORY = TaskSpec(task_id=TaskId("t"), story_id=S1, title="t", text="x", repository="/r", agents=3, checks=("make s",))
SUBMITTED = StorySubmitted(
    actor="ann",
    title="t",
    text="x",
    repository="/r",
    agents=3,
    rigor=Rigor.L1,
    digest="d",
    planning=Planning.GIVEN,
    checks=("make s",),
)


def task(name: str, *before: str, paths: Sequence[str] = (), checks: Sequence[str] = ()) -> PlannedTask:
    return PlannedTask(
        name=name, title=name.upper(), text=f"Do {name}.", after=before, paths=tuple(paths), checks=tuple(checks)
    )


def plan(*tasks: PlannedTask) -> Plan:
    return Plan(tasks=tasks)


# --- by example --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field", "problem"),
    [
        (plan(), "plan.tasks", "0 tasks; from 1 to 20"),
        (plan(*(task(f"t{n}") for n in range(21))), "plan.tasks", "21 tasks"),
        (plan(task("A B")), "plan.tasks[0].name", "is no id"),
        (plan(task("a"), task("a")), "plan.tasks[1].name", "an earlier task"),
        (plan(task("merge-1")), "plan.tasks[0].name", "that merge tasks get"),
        (plan(task("a"), task("b", "c")), "plan.tasks[1].after", "no task 'c' in the plan; it has a, b"),
        (plan(task("a"), task("b", "a", "a")), "plan.tasks[1].after", "twice"),
        (plan(task("a", "a")), "plan.tasks[0].after", "is a cycle: a after a"),
        (plan(task("a", paths=["/etc/passwd"])), "plan.tasks[0].paths[0]", "is not relative"),
        (plan(task("a", paths=["~/x"])), "plan.tasks[0].paths[0]", "is not relative"),
        (plan(task("a", paths=["ok", "a\\b"])), "plan.tasks[0].paths[1]", "is not relative"),
        (plan(task("a", paths=["../up"])), "plan.tasks[0].paths[0]", "`..`"),
        (plan(task("a", paths=["a/./b"])), "plan.tasks[0].paths[0]", "`.`"),
        (plan(task("a", paths=["a//b"])), "plan.tasks[0].paths[0]", "empty part"),
        (plan(task("a", paths=["src/*.py"])), "plan.tasks[0].paths[0]", "is a pattern"),
        (plan(task("a", paths=["a\nb"])), "plan.tasks[0].paths[0]", "printable"),
        (plan(task("a", paths=[""])), "plan.tasks[0].paths[0]", "from 1 to 500"),
        (plan(task("a", paths=["x" * 501])), "plan.tasks[0].paths[0]", "from 1 to 500"),
        (plan(task("a", paths=[f"f{n}" for n in range(51)])), "plan.tasks[0].paths", "at most 50"),
        (plan(task("a", paths=["src/"]), task("b", paths=["src/a.py"])), "plan.tasks[1].paths", "by 'a' too"),
        (plan(task("a"), task("b", checks=[f"c{n}" for n in range(20)])), "plan.tasks[1].checks", "at most 20"),
        (plan(task("a", checks=[" "])), "plan.tasks[0].checks[0]", "is empty"),
        (plan(task("a", checks=["x" * 1_001])), "plan.tasks[0].checks[0]", "at most 1000"),
        (plan(*(task(f"t{n}", checks=[f"make {n}"]) for n in range(20))), "plan.tasks", "21 different checks"),
        (msgspec.structs.replace(plan(task("a")), summary="x" * 2_001), "plan.summary", "at most 2000"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(wrong: Plan, field: str, problem: str) -> None:
    """By the field that a person, or a model, has to mend."""
    with pytest.raises(InvalidInput) as caught:
        sound(wrong, STORY)
    assert caught.value.field == field
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("title", {"title": " "}),
        ("title", {"title": "x" * 201}),
        ("text", {"text": ""}),
        ("text", {"text": "x" * 32_001}),
        ("text", {"text": "\x00"}),
        ("council", {"council": "No Token"}),
    ],
)
def test_a_task_of_a_plan_is_checked_like_any_task(field: str, changes: dict[str, str]) -> None:
    """What an orchestrator would refuse is refused before anybody approves it."""
    wrong = msgspec.structs.replace(task("b", "a"), **changes)
    with pytest.raises(InvalidInput) as caught:
        sound(plan(task("a"), wrong), STORY)
    assert caught.value.field == f"plan.tasks[1].{field}"


def test_a_cycle_is_told_with_its_tasks() -> None:
    """In the order of `after`, so that it can be read."""
    with pytest.raises(InvalidInput, match=r"^plan\.tasks\[\d\]\.after: is a cycle: (\w) after \w after \w after \1$"):
        sound(plan(task("free"), task("a", "c"), task("b", "a"), task("c", "b")), STORY)


def test_a_plan_too_large_for_its_event_is_refused() -> None:
    """Rather than lost when it is written down."""
    with pytest.raises(InvalidInput) as caught:
        sound(plan(*(msgspec.structs.replace(task(f"t{n}"), text="x" * 10_000) for n in range(5))), STORY)
    assert caught.value.field == "plan"


@pytest.mark.parametrize(
    ("paths", "others", "found"),
    [
        (["a.py"], ["a.py"], "a.py"),
        (["src/"], ["src/a.py"], "src/"),
        (["src/a.py"], ["src/"], "src/a.py"),
        (["src"], ["src/"], "src"),
        (["src"], ["srcs/"], ""),
        (["x", "b/c/d"], ["b/"], "b/c/d"),
        (["a/b"], ["a/c"], ""),
        ([], ["a"], ""),
    ],
)
def test_paths_overlap_when_one_lies_in_the_other(paths: list[str], others: list[str], found: str) -> None:
    """Names that only begin alike do not."""
    assert overlap(paths, others) == found


def test_writers_of_one_place_may_be_ordered_through_others() -> None:
    """First and last write the same file, with a task between them."""
    assert sound(plan(task("a", paths=["x"]), task("b", "a"), task("c", "b", paths=["x"])), STORY)


def steps_of(sound_plan: Plan) -> list[tuple[str, tuple[str, ...], bool]]:
    named = identified(sound_plan, S1, 1)
    steps = course(named, S1, 1)
    names = {step.task_id: step.task.name for step in steps}
    return [(step.task.name, tuple(names[t] for t in step.starts_from), step.last) for step in steps]


def test_only_heads_are_merged() -> None:
    """What another one builds on is in that one already."""
    chain = plan(task("a"), task("b", "a"), task("c", "a", "b"))
    assert steps_of(chain) == [("a", (), False), ("b", ("a",), False), ("c", ("b",), True)]


def test_a_merge_is_made_once_for_all_who_need_it() -> None:
    """And a last one joins what nobody builds on."""
    wide = plan(task("a"), task("b"), task("c", "a", "b"), task("d", "b", "a"))
    assert steps_of(wide) == [
        ("a", (), False),
        ("b", (), False),
        ("merge-1", ("a", "b"), False),
        ("c", ("merge-1",), False),
        ("d", ("merge-1",), False),
        ("merge-2", ("c", "d"), True),
    ]


def test_a_merge_says_what_it_joins() -> None:
    """Its agents read what each side was to do, and its candidate passes the checks of both."""
    both = plan(task("a", checks=["make a"], paths=["x/"]), task("b", checks=["make b"], paths=["y"]))
    merge = course(identified(both, S1, 1), S1, 1)[-1]
    assert merge.kind is TaskKind.MERGE
    assert (merge.task.checks, merge.task.paths, merge.task.after) == (("make a", "make b"), ("x/", "y"), ("a", "b"))
    assert "## A\n\nDo a." in merge.task.text
    assert "## B\n\nDo b." in merge.task.text


# --- by property -------------------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Sound ones, in any order of their tasks."""
    count = draw(st.integers(1, 8))
    tasks = []
    for n in range(count):
        before = draw(st.sets(st.integers(0, n - 1))) if n else set()
        tasks.append(task(f"t{n}", *(f"t{b}" for b in sorted(before)), checks=[f"make {n}"]))
    return plan(*draw(st.permutations(tasks)))


@st.composite
def graphs(draw: st.DrawFn) -> Plan:
    """Of any shape, mostly with cycles."""
    count = draw(st.integers(1, 6))
    edges = [draw(st.sets(st.integers(0, count - 1), max_size=2)) for _ in range(count)]
    return plan(*(task(f"t{n}", *(f"t{b}" for b in sorted(before))) for n, before in enumerate(edges)))


@given(graphs())
def test_a_plan_is_refused_exactly_when_a_task_would_wait_for_itself(graph: Plan) -> None:
    """Compared with the plainest way to find out: run what can run until nothing can."""
    left = {t.name: set(t.after) for t in graph.tasks}
    while free := [name for name, before in left.items() if not before]:
        left = {name: before - set(free) for name, before in left.items() if name not in free}
    assert _is_cyclic(graph) is bool(left)


def _is_cyclic(graph: Plan) -> bool:
    try:
        return sound(graph, STORY) is None
    except InvalidInput as error:
        return "is a cycle" in error.problem


@given(plans())
def test_a_course_leaves_nothing_out(sound_plan: Plan) -> None:
    """Each task once; it starts from what holds all that it builds on; the last step holds everything."""
    steps = course(identified(sound(sound_plan, STORY), S1, 1), S1, 1)
    holds: dict[TaskId, frozenset[str]] = {}
    before = ancestors(sound_plan)
    for step in steps:
        start = frozenset[str]().union(*(holds[t] for t in step.starts_from))
        own = {step.task.name} if step.kind is TaskKind.CHANGE else set()
        holds[step.task_id] = start | own
        assert len(step.starts_from) <= 1 or step.kind is TaskKind.MERGE
        if step.kind is TaskKind.CHANGE:
            assert start >= before[step.task.name]
    assert len(holds) == len(steps)
    (last,) = [step for step in steps if step.last]
    assert holds[last.task_id] == {t.name for t in sound_plan.tasks}


class Writer:
    """Asks, then appends, as planning does."""

    def __init__(self, sound_plan: Plan) -> None:
        self.facts: list[Fact] = [SUBMITTED]
        self.story = story_after(SUBMITTED)
        self.released: list[TaskSpec] = []
        plan_fact = planned(self.story, sound_plan, how=Planning.GIVEN, actor="ann", base=CommitId("b" * 40))
        self.record(plan_fact)
        approval = due(self.story, Limits(tasks_in_flight=1))
        assert isinstance(approval, Fact)
        self.record(approval)

    def record(self, fact: Fact) -> None:
        check(self.story, fact)
        self.story = after(self.story, fact)
        self.facts.append(fact)

    def release(self, limits: Limits) -> list[TaskId]:
        """All that is due; what runs then."""
        while (fact := due(self.story, limits)) is not None:
            assert isinstance(fact, TaskReleased | StepFailed)
            if isinstance(fact, TaskReleased):
                self._require_sources(fact.spec)
                self.released.append(fact.spec)
            self.record(fact)
        return [task for task in self.story.released if task not in self.story.decided]

    def _require_sources(self, spec: TaskSpec) -> None:
        step = next(step for step in self.story.steps if step.task_id == spec.task_id)
        assert list(spec.merge) == [self.story.commit(task) for task in step.starts_from]
        assert len(msgspec.json.encode(spec)) < MAX_SPEC_BYTES + 8 * 1024

    def require_fold(self) -> None:
        """Whoever reads the log sees what the writer saw."""
        folded = story_after(*self.facts)
        assert msgspec.structs.replace(folded, head=self.story.head) == self.story


@given(plans(), st.data())
def test_whatever_order_decisions_come_in_each_task_runs_once_and_after_its_sources(
    sound_plan: Plan, data: st.DataObject
) -> None:
    """All end well: the result is there, and it is the last step's commit."""
    limits, writer = Limits(tasks_in_flight=data.draw(st.integers(1, 4))), Writer(sound_plan)
    while writer.story.state is not StoryState.DECIDED:
        running = writer.release(limits)
        assert 1 <= len(running) <= limits.tasks_in_flight
        writer.record(decided(data.draw(st.sampled_from(running)), "decided"))
    story, ran = writer.story, [spec.task_id for spec in writer.released]
    assert ran == list(dict.fromkeys(ran))
    assert set(ran) == set(story.tasks)
    assert story.result == next(step.task_id for step in story.steps if step.last)
    assert "make s" in next(spec for spec in writer.released if spec.task_id == story.result).checks
    writer.require_fold()


@given(plans(), st.data())
def test_whatever_fails_the_story_comes_to_its_decision(sound_plan: Plan, data: st.DataObject) -> None:
    """Everything that is not blocked runs; nothing that is blocked does; only a whole story has a result."""
    limits = Limits(tasks_in_flight=4, story_tokens=data.draw(st.sampled_from([0, 0, 25])))
    writer = Writer(sound_plan)
    while writer.story.state is not StoryState.DECIDED:
        if running := writer.release(limits):
            end = data.draw(st.sampled_from(["decided", "decided", "abstained", "failed"]))
            writer.record(decided(data.draw(st.sampled_from(running)), end))
    story = writer.story
    assert not story.blocked() & set(story.released)
    if story.failed is None:
        assert story.blocked() | set(story.released) == set(story.tasks)
    assert (story.result is not None) is all(story.commit(task) for task in story.tasks)
    writer.require_fold()


def decided(task_id: TaskId, state: str) -> TaskDecided:
    commit = CommitId(task_id.encode().hex()[:40].ljust(40, "0")) if state == "decided" else None
    return TaskDecided(task_id=task_id, state=state, commit=commit, usage=Usage(prompt_tokens=10))

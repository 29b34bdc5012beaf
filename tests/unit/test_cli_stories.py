"""A story as a person writes it, reads it and watches it: no process, no platform."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli import documents
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.stories import editing, submission, values, words
from folkmoot.cli.stories import view as views
from folkmoot.cli.stories.history import _described, ordered
from folkmoot.cli.stories.values import Plan, PlannedTask
from folkmoot.cli.streams import Seen, seen
from folkmoot.kernel.course import identified
from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.events import Fact
from folkmoot.kernel.facts import (
    CODEC,
    OwnerTook,
    PlanApproved,
    PlanRejected,
    StepFailed,
    StoryPlanned,
    StorySentBack,
    TaskContinued,
    TaskDecided,
    TaskReleased,
)
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.plan import Plan as KernelPlan
from folkmoot.kernel.plan import PlannedTask as KernelTask
from folkmoot.kernel.task import TaskSpec
from tests.fixtures.cli_events import event
from tests.fixtures.cli_stories import ASSESSMENT, COMMIT, PLAN, life, tasks, wire
from tests.repositories import Repo

SUBJECT = "agile.events.s-1"

# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        ("[]", "FILE", "Expected `object`, got `array`"),
        ("title: x", "FILE", "missing required field `text`"),
        ("text: 7", "text", "Expected `str`, got `int`"),
        ("text: x\ncolour: red", "FILE", "unknown field `colour`"),
        ("text: x\nchecks: make", "checks", "Expected `array`, got `str`"),
        ("text: x\nagents: 99", "agents", "<= 16"),
        ("text: x\nbudget: {stepps: 1}", "budget", "unknown field `stepps`"),
        ("text: x\nplan: twice", "plan", "neither `single` nor `model`"),
        ("text: x\nplan: {tasks: [{name: a, text: b, after: c}]}", "plan.tasks[0].after", "Expected `array`"),
        ("text: x\nautopilot: sure", "autopilot", "Expected `bool | null`, got `str`"),
        ("text: ' '", "text", "is empty"),
        ("text: x\ntext: y", "text", "stands there twice"),
        ('{"text": "x", "title": "a", "title": "b"}', "title", "stands there twice"),
        ("text: x\nrepository: nowhere", "repository", "is no folder"),
        ("text: [", "FILE", "is no YAML"),
        ("text: 2024-99-99", "FILE", "is no YAML"),
        ("[" * 5_000, "FILE", ""),
    ],
)
def test_a_wrong_story_names_its_field(tmp_path: Path, text: str, field: str, problem: str) -> None:
    """Unknown keys, wrong types, what stands there twice: nothing is guessed."""
    file = tmp_path / "story.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        submission.read(str(file))
    assert caught.value.field == field
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("base", "problem"),
    [("nope", "'nope' names no commit of"), ('"a\\0b"', "is no name of a commit"), ("-x", "is no name of a commit")],
)
def test_a_base_that_is_not_there_is_named_before_anything_is_asked(tmp_path: Path, base: str, problem: str) -> None:
    """What is there is taken as it is written; a full id may be one that only the platform's mirror has kept."""
    commit = Repo(tmp_path / "here").commit({"a": "b"})
    file = tmp_path / "story.yaml"
    file.write_text(f"text: x\nrepository: here\nbase: {base}")
    with pytest.raises(InvalidInput) as caught:
        submission.read(str(file))
    assert (caught.value.field, problem in caught.value.problem) == ("base", True)
    for there in ("main", "HEAD", commit[:12], "c" * 40):
        file.write_text(f"text: x\nrepository: here\nbase: {there}")
        assert submission.read(str(file)).base == there


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff", b"#" * (documents.FILE_BYTES + 1)])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Missing, not text, or far too long."""
    file = tmp_path / "story.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"story\.yaml") as caught:
        documents.read(str(file))
    assert caught.value.field == "FILE"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "summary: s\ntasks:\n- {name: a, text: b}"),
        ("a.json", '{"summary": "s",\t"tasks": [{"name": "a", "text": "b"}]}'),
        ("a.toml", 'summary = "s"\n[[tasks]]\nname = "a"\ntext = "b"'),
        ("bare", "{summary: s, tasks: [{name: a, text: b}]}"),
    ],
)
def test_yaml_json_and_toml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    """By the file's name, or by what stands in it."""
    (tmp_path / name).write_text(text)
    expected = Plan(summary="s", tasks=(PlannedTask(name="a", text="b"),))
    assert submission.read_plan(str(tmp_path / name)) == expected


_text = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"))
_names = st.lists(_text, max_size=2).map(tuple)
_tasks = st.builds(
    PlannedTask, name=_text, title=_text, text=_text, role=_text, paths=_names, checks=_names, after=_names
)


@given(st.builds(Plan, summary=_text, tasks=st.lists(_tasks, max_size=3).map(tuple)))
def test_a_plans_file_reads_back_to_the_plan(plan: Plan) -> None:
    """Whatever the planner wrote: quotes, colons, line breaks, other alphabets."""
    text = submission.plan_file(plan, "s-1", "Title: with\na break", 1)
    assert submission.as_plan(documents._yaml(text)) == plan


def test_the_example_in_the_documentation_is_a_story() -> None:
    """What people copy is read, and names every field."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0]
    told = documents.converted(documents._yaml(block), submission.Submission)
    assert told.budget is not None
    assert all(name in block for name in submission.Submission.__struct_fields__)


def test_a_plan_survives_the_wire() -> None:
    """What is shown is what is given back."""
    assert values.plan_to_wire(values.plan(PLAN)) == PLAN


@pytest.mark.parametrize(("editor", "error"), [("/nowhere/vi", Misconfigured), ("false", Stopped)])
def test_an_editor_that_fails_is_said(monkeypatch: pytest.MonkeyPatch, editor: str, error: type[Exception]) -> None:
    """With what to do instead, or where the text lies."""
    monkeypatch.setenv("VISUAL", editor)
    with pytest.raises(error, match=os.path.basename(editor)):  # noqa: PTH119 -- the name alone
        editing.edited("text", "plan.yaml")


# --- where a story stands ----------------------------------------------------------------------------------------


def test_every_state_of_the_wire_is_known() -> None:
    """A story in any of them can be shown, and says something."""
    for name in pb.StoryState.keys()[1:]:
        story = values.story(wire("s-1", name.removeprefix("STORY_STATE_").lower()))
        assert words.standing(story)
        assert words.next_steps(story)


@pytest.mark.parametrize(
    ("story", "command"),
    [
        (wire("s", "submitted"), "moot story watch s"),
        (wire("s", "submitted", problem="assess: no"), "moot story assess s"),
        (wire("s", "assessed", assessment=ASSESSMENT), "moot story revise s"),
        (wire("s", "assessed", problem="plan: no"), "moot plan derive s"),
        (wire("s", "planned"), "moot plan approve s"),
        (wire("s", "planned", plan_revision=3), "moot plan approve s --revision 3"),
        (wire("s", "decided", result_commit=COMMIT, round=2), "moot story approve s --round 2"),
        (wire("s", "decided", result_commit=COMMIT), "moot story approve s"),
        (wire("s", "decided"), "moot story carry-over s"),
        (wire("s", "sent_back", result_commit=COMMIT), "moot plan derive s"),
        (wire("s", "accepted", result_commit=COMMIT), "moot apply s"),
        (wire("s", "carried_over", carried_into="s-next"), "moot story watch s-next"),
    ],
)
def test_what_a_person_may_do_next_is_said(story: pb.Story, command: str) -> None:
    """The command that fits, among others."""
    assert any(step.startswith(command) for step, _ in words.next_steps(values.story(story)))


@pytest.mark.parametrize(
    ("story", "rests"),
    [
        (wire("s", "submitted"), False),
        (wire("s", "submitted", problem="assess: no"), True),
        (wire("s", "assessed", assessment=ASSESSMENT), True),
        (wire("s", "assessed", assessment=ASSESSMENT, planning=pb.PLANNING_GIVEN), False),
        (wire("s", "assessed", assessment=pb.Assessment(score=80, threshold=75)), False),
        (wire("s", "planned"), True),
        (wire("s", "planned", autopilot=True), False),
        (wire("s", "planned", autopilot=True, problem="plan: no"), True),
        (wire("s", "approved"), False),
        (wire("s", "released", problem="release: too dear"), False),
        (wire("s", "decided"), True),
        (wire("s", "sent_back"), True),
        (wire("s", "accepted"), True),
    ],
)
def test_a_story_rests_when_only_a_person_can_move_it(story: pb.Story, rests: bool) -> None:
    """Following it any longer would be a wait without end."""
    assert values.story(story).rests is rests


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (("decided", "abstained"), Code.ABSTAINED),
        (("abstained", "failed"), Code.FAILED),
        (("cancelled", "blocked"), Code.CANCELLED),
        (("decided", "blocked"), Code.FAILED),
    ],
)
def test_a_story_without_a_result_ends_as_its_worst_task(outcomes: tuple[str, str], code: Code) -> None:
    """Failed before abstained before cancelled."""
    story = values.story(wire("s", "decided"))
    assert words.code_of(story, tuple(values.task(t) for t in tasks(*outcomes))) is code


# --- the view ----------------------------------------------------------------------------------------------------


def folded(facts: list[Fact]) -> views.StoryView:
    view = views.StoryView()
    for second, fact in enumerate(facts):
        view = views.fold(view, event(fact, second, SUBJECT))
    return view


def test_a_whole_life_is_followed() -> None:
    """Title, score, tasks by name with their ends, and the last state."""
    facts, _ = life("s-1")
    view = folded(facts)
    assert (view.title.strip(), view.score, view.state, view.round) == ("Count both", "90 of 75", "accepted", 1)
    assert [(t.name, t.state, t.after) for t in view.tasks] == [
        ("ledger", "decided", ()),
        ("report", "decided", ("ledger",)),
    ]


def diamond() -> KernelPlan:
    after: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",)}
    named = tuple(KernelTask(name=n, title=n.upper(), text="x", after=before) for n, before in after.items())
    return identified(KernelPlan(tasks=named), StoryId("s-1"), 1)


def test_merges_stand_among_the_tasks() -> None:
    """They are known when the plan is, though it does not name them."""
    plan = diamond()
    view = folded([life("s-1")[0][0], StoryPlanned(tasks=tuple(plan.ids.values()), how="model", plan=plan)])
    assert [t.name for t in view.tasks] == ["a", "b", "merge-1", "c", "d"]


def test_what_builds_on_something_lost_is_blocked() -> None:
    """Through others too; and then nothing more can come."""
    plan = diamond()
    lost = TaskDecided(task_id=plan.ids["a"], state="abstained")
    done = TaskDecided(task_id=plan.ids["b"], state="decided", commit=COMMIT)
    spec = TaskSpec(task_id=plan.ids["b"], title="B", text="x", repository="/r", agents=1)
    begin: list[Fact] = [
        life("s-1")[0][0],
        StoryPlanned(tasks=tuple(plan.ids.values()), how="model", plan=plan),
        PlanApproved(actor="autopilot", automatic=True),
        TaskReleased(spec=spec),
    ]
    halfway = folded([*begin, lost])
    assert {t.name: t.state for t in halfway.tasks} == {
        "a": "abstained",
        "b": "released",
        **dict.fromkeys(("merge-1", "c", "d"), "blocked"),
    }
    assert halfway.state == "released"
    assert folded([*begin, lost, done]).state == "decided"


def test_a_failed_step_shows_until_the_next_one() -> None:
    """And a rejected plan is no plan to look at as if it were."""
    facts, _ = life("s-1")
    failed = StepFailed(step="assess", reason="no model")
    assert folded([facts[0], failed]).problem == "assess: no model"
    assert folded([facts[0], failed, facts[1]]).problem == ""
    assert folded([*facts[:3], PlanRejected(actor="m", reason="no")]).state == views.REJECTED


def test_a_log_from_before_plans_has_its_one_task() -> None:
    """Its name is not known, its title is the story's."""
    facts, names = life("s-1")
    view = folded([facts[0], StoryPlanned(tasks=(next(iter(names)),), how="single"), *facts[4:6]])
    assert [(t.name, t.title.strip(), t.state) for t in view.tasks] == [("task", "Count both", "decided")]


def test_a_view_shows_the_task_that_takes_anothers_place() -> None:
    """By the same name, without the outcome of the earlier one; what that blocked waits again."""
    facts, names = life("s-1")
    ledger = next(iter(names))
    blocked = [*facts[:5], TaskDecided(task_id=ledger, state="abstained", reason="none is right")]
    assert [t.state for t in folded(blocked).tasks] == ["abstained", "blocked"]
    goes_on = TaskContinued(task_id=TaskId("t-new"), continues=ledger)
    view = folded([*blocked, goes_on])
    assert [(t.name, t.state, t.reason) for t in view.tasks] == [("ledger", "released", ""), ("report", "waiting", "")]
    assert (view.state, view.name("t-new"), view.name(ledger)) == ("released", "ledger", "")
    told = event(goes_on, 1, SUBJECT)
    assert words.sentence(told, view.name_in(told)) == f"ledger goes on as t-new, with the candidates of {ledger}"


def test_every_event_of_a_life_has_its_sentence() -> None:
    """People read them in `moot log`; reasons stand in them."""
    facts, _ = life("s-1")
    told = [words.sentence(event(f, 0, SUBJECT)) for f in [*facts, StorySentBack(actor="m", reason="too slow")]]
    assert all(told)
    assert told[-1] == "m sends it back: too slow"


# --- the log -----------------------------------------------------------------------------------------------------


def line(second: float, subject: str) -> Seen:
    return seen(1, CODEC.encode(event(PlanApproved(actor="m"), second, subject)))


def test_the_log_keeps_the_order_of_each_subject() -> None:
    """A writer whose clock went back cannot put its event before the one that it follows."""
    events = [line(5, "agile.events.s"), line(3, "agile.events.s"), line(4, "deliberation.events.t")]
    assert [entry.seen for entry in ordered(events)] == [events[2], events[0], events[1]]


def test_the_log_says_who_takes_a_task() -> None:
    """After a crash that is what a reader looks for."""
    told = seen(1, CODEC.encode(event(OwnerTook(owner="o-2"), 1, "deliberation.events.t")))
    assert _described(told, "")[2] == "o-2 takes it"


def test_an_event_of_a_newer_version_is_shown() -> None:
    """Its type is unknown; its place and time are not."""
    body = CODEC.encode(event(PlanApproved(actor="m"), 1, "agile.events.s")).replace(b"plan-approved.v1", b"sung.v9")
    newer = seen(1, body)
    assert newer.event is None
    assert ordered([newer])[0].subject == "agile.events.s"

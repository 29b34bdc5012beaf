"""A story whose tasks conflict, on a whole platform: from its plan to a commit that holds what all of them were for."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from tests.fixtures.platform import Moot
from tests.fixtures.small import SUBMIT, Turn
from tests.repositories import Repo

NUMBER = "def number():\n    return {}\n"
CHECK = "python3 -c 'from number import number; from double import double; assert double() == 2 * number() == 10'"


def writes(**files: str) -> Sequence[Turn]:
    """Turns of an agent that writes modules, and hands them in."""
    calls = [{"tool": "write_file", "arguments": {"path": f"{n}.py", "content": c}} for n, c in files.items()]
    return ({"calls": calls}, SUBMIT)


PARTS: Mapping[str, Sequence[Turn]] = {
    "qa-*": writes(number=NUMBER.format(2)),
    "devops-*": writes(number=NUMBER.format(3)),
    "dev-*": writes(number=NUMBER.format("2 + 3")),
    "data-*": writes(double="from number import number\n\n\ndef double():\n    return 2 * number()\n"),
}
"""Two tasks write the same line; the council of their merge takes both; the last builds on that."""
PLAN = (
    {"name": "two", "text": "number() gives two", "role": "QA"},
    {"name": "three", "text": "number() gives three", "role": "DEVOPS"},
    {"name": "double", "text": "double() doubles it", "role": "DATA", "after": ["two", "three"], "checks": [CHECK]},
)


@contextmanager
def playing(moot: Moot, folder: Path) -> Iterator[str]:
    """The URL of a rehearsal model in which each role plays its part."""
    script = folder / "script.yaml"
    agents = {pattern: f"part-{i}" for i, pattern in enumerate(PARTS)}
    behaviours = {agents[pattern]: {"propose": list(turns)} for pattern, turns in PARTS.items()}
    script.write_text(json.dumps({"agents": agents, "behaviours": behaviours}), "utf-8")
    argv = [sys.executable, "-m", "folkmoot.rehearsal", "--script", str(script)]
    with Popen(argv, env=moot.env, cwd=folder, stdout=PIPE) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


def test_tasks_that_conflict_are_merged_and_built_upon(moot: Moot, tmp_path: Path) -> None:
    """The conflict is a task of its own, with a council that resolves it; the next task starts from its commit, and one
    `moot apply` brings the whole history into the repository of whoever asked."""
    repo = Repo(tmp_path / "repo")
    base = repo.commit({"number.py": NUMBER.format(1)})
    file = tmp_path / "story.json"
    with playing(moot, tmp_path) as url:
        story = {
            "text": "Numbers",
            "repository": str(repo.folder),
            "agents": 1,
            "model": "rehearsal",
            "model_url": url,
            "plan": PLAN,
        }
        file.write_text(json.dumps(story), "utf-8")
        done = moot("story", "submit", str(file), "--wait", "--json")
    assert done.code == 0, done.err
    tasks = {task["name"]: task for task in done.json["tasks"]}
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(
        ["two", "three", "merge-1", "double"], "decided"
    )
    evidence = moot("evidence", tasks["merge-1"]["task_id"], "--json").json
    assert [e["end"]["exit_code"] for e in evidence["examinations"]] == [0]
    assert evidence["examinations"][0]["name"] == "no conflict marker is left"
    applied = moot("apply", done.json["story_id"], "--json", cwd=repo.folder)
    assert applied.code == 0, applied.err
    branch = applied.json["branch"]
    assert repo.line("rev-list", "--count", "--no-merges", f"{base}..{branch}") == "3"
    assert repo.line("show", f"{branch}:number.py").endswith("return 2 + 3")
    assert repo.line("rev-parse", "HEAD") == base

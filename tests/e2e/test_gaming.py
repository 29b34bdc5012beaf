"""Agents that game their examination, on a whole platform: the right one wins, and each trick is named."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.fixtures.platform import BIN, Moot
from tests.fixtures.small import SUBMIT, Turn
from tests.fixtures.tricks import BASE, BEATEN, CHECK, RIGHT, TRICKS
from tests.repositories import Repo

WORKFLOW = {**RIGHT, ".github/workflows/steal.yml": "on: push\n"}
CAST = ("module", "right", "metadata", "workflow")
"""One agent each, in this order: dev-1 and so on. All other tricks: `tests/integration/test_gaming.py`."""


def test_the_right_agent_wins_among_tricks(moot: Moot, tmp_path: Path) -> None:
    """A pytest of its own and a plugin: each loses for the reason that is stated. What is right and brings a workflow
    along is the dearer change, and says what it brings."""
    Repo(tmp_path / "repo").commit(dict(BASE))
    books = {**TRICKS, "right": RIGHT, "workflow": WORKFLOW}
    script = tmp_path / "script.yaml"
    behaviours = {name: {"propose": turns(books[name])} for name in CAST}
    agents = {f"dev-{number}": name for number, name in enumerate(CAST, 1)}
    script.write_text(json.dumps({"agents": agents, "behaviours": behaviours}), "utf-8")
    solve = ["solve", "Mend add", "--repo", str(tmp_path / "repo"), "--check", CHECK, "--agents", str(len(CAST))]
    model = ["--model-url", "{url}", "--model", "rehearsal", "--json"]
    rehearsal = [sys.executable, "-m", "folkmoot.rehearsal", "--script", str(script), "--"]
    done = moot.run([*rehearsal, str(BIN / "moot"), *solve, *model], timeout_s=280)
    assert done.code == 0, done.err
    reasons = {r["agent_id"]: "\n".join(r["reasons"]) for r in done.json["ranking"]}
    agent = {name: who for who, name in agents.items()}
    assert done.json["winner"]["agent_id"] == agent["right"], done.out
    for trick in sorted(set(CAST) - {"right", "workflow"}):
        assert f"{agent[trick]} {BEATEN[trick]}" in reasons[agent[trick]]
    assert "adds a CI file: .github/workflows/steal.yml" in reasons[agent["workflow"]]


def turns(files: Mapping[str, str]) -> list[Turn]:
    """An agent that writes these files and submits."""
    calls = [{"tool": "write_file", "arguments": {"path": p, "content": text}} for p, text in files.items()]
    return [{"calls": calls}, SUBMIT]

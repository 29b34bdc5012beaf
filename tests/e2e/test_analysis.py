"""Analysis tasks on a whole platform, from question to document; agents and judge are played by the rehearsal model."""

from pathlib import Path

from folkmoot.platform.demo.material import write_repository
from tests.fixtures.platform import Moot
from tests.fixtures.rehearsal import repository

CAST = {"dev-1": "guesses", "dev-2": "invents", "dev-3": "finds", "judge-1": "judges"}


def test_the_document_that_can_be_checked_and_says_most_is_the_answer(moot: Moot, tmp_path: Path) -> None:
    """What it claims was found at base, in files and by commands; there is nothing to apply, and a story to accept."""
    write_repository(tmp_path / "repo", repository("tally"))
    asked = ["Why are cents lost?", "--analysis", "--repo", str(tmp_path / "repo"), "--rigor", "L2", "--agents", "3"]
    model = ["--model-url", "{url}", "--model", "rehearsal"]
    done = moot.rehearsed("analysis", CAST, "solve", *asked, *model, "--json", folder=tmp_path)
    assert done.code == 0, done.err
    result = done.json
    task = result["task_id"]
    assert (result["winner"]["agent_id"], result["winner"]["commit"], result["decided_by"]) == ("dev-3", "", "judging")
    assert result["document"]["content"]["kind"] == "root_cause"
    lines = {r["agent_id"]: " ".join(r["reasons"]) for r in result["ranking"]}
    assert "2 holds" in lines["dev-3"]
    assert "the quote does not stand in tally/split.py" in lines["dev-2"]
    assert "1 unchecked" in lines["dev-1"]
    shown = moot("result", task).out
    assert "Hand the left-over cents to the largest fractions" in shown
    assert "✗ claim 1" in moot("evidence", task).out
    applied = moot("apply", task, cwd=tmp_path / "repo")
    assert applied.code == 2
    assert "no commit" in applied.err
    replayed = moot("evidence", task, "--replay")
    assert replayed.code == 0, replayed.out + replayed.err
    assert moot("story", "approve", result["story_id"]).code == 0


def test_what_is_about_commits_is_refused(moot: Moot, tmp_path: Path) -> None:
    """A check needs a commit to be run on; the field is named."""
    write_repository(tmp_path / "repo", repository("tally"))
    model = ["--model-url", "http://127.0.0.1:1/v1", "--model", "m"]
    done = moot("solve", "Why?", "--analysis", "--repo", str(tmp_path / "repo"), "--check", "true", *model)
    assert done.code == 2, done.err
    assert "checks" in done.err

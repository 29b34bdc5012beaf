"""The demo and the test repositories are what they claim to be: real bugs, real fixes, wrong fixes that look right."""

import subprocess
import sys
from pathlib import Path

import pytest

from folkmoot.cli.solve import demo_repository
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.task import MAX_CHECK_CHARS, TaskSpec, validated
from folkmoot.platform.demo.material import demo, parse, write_repository
from tests.fixtures import rehearsal
from tests.fixtures.rehearsal import SHAPES, TEST_COMMANDS, passes

ALL = pytest.mark.parametrize("name", list(SHAPES))


def _written(folder: Path, name: str, behaviour: str = "") -> Path:
    write_repository(folder, rehearsal.repository(name))
    if behaviour:
        rehearsal.perform(rehearsal.book(name), behaviour, folder)
    return folder


def _checks(folder: Path, name: str) -> list[bool]:
    return [passes(folder, check) for check in rehearsal.repository(name).checks]


def test_demos_take_no_more_room_than_one(tmp_path: Path) -> None:
    """The next demo writes its repository where the last one did, whatever a person made of it."""
    first = demo_repository(tmp_path)
    (first / "mine").mkdir()
    assert demo_repository(tmp_path) == first
    assert [p.name for p in tmp_path.iterdir()] == [demo().name]
    assert not (first / "mine").exists()


@ALL
def test_base_passes_its_tests_and_fails_the_story(tmp_path: Path, name: str) -> None:
    """The bug is real, and base's own tests do not show it."""
    folder = _written(tmp_path / "repo", name)
    assert passes(folder, TEST_COMMANDS[SHAPES[name]])
    assert not any(_checks(folder, name))


@ALL
def test_the_right_behaviour_passes_everything(tmp_path: Path, name: str) -> None:
    """Tests of base, tests of its own, and every check."""
    folder = _written(tmp_path / "repo", name, "right")
    assert passes(folder, TEST_COMMANDS[SHAPES[name]])
    assert all(_checks(folder, name))


@ALL
def test_the_wrong_behaviour_is_caught_by_a_check_only(tmp_path: Path, name: str) -> None:
    """Base's tests pass on it; the story does not hold."""
    folder = _written(tmp_path / "repo", name, "wrong")
    assert passes(folder, TEST_COMMANDS[SHAPES[name]])
    assert not all(_checks(folder, name))


@ALL
def test_the_cheat_passes_its_own_tests_only(tmp_path: Path, name: str) -> None:
    """With base's copies back in place its tests fail, and so does the story."""
    folder = _written(tmp_path / "repo", name, "cheat")
    assert passes(folder, TEST_COMMANDS[SHAPES[name]])
    for path, content in rehearsal.repository(name).files.items():
        if "test" in path:
            (folder / path).write_text(content, "utf-8")
    assert not passes(folder, TEST_COMMANDS[SHAPES[name]])
    assert not all(_checks(folder, name))


@ALL
def test_the_right_behaviour_only_adds_tests(tmp_path: Path, name: str) -> None:
    """It touches no test of base, so nothing about it is tampering."""
    folder = _written(tmp_path / "repo", name, "right")
    tests = {p: c for p, c in rehearsal.repository(name).files.items() if "test" in p}
    assert tests
    assert all((folder / path).read_text("utf-8") == content for path, content in tests.items())


@ALL
def test_the_story_is_one_that_the_platform_takes(name: str) -> None:
    """Within every limit of a task."""
    story = rehearsal.repository(name)
    spec = TaskSpec(
        task_id=TaskId("t"), title=story.title, text=story.text, repository="r", checks=story.checks, agents=3
    )
    assert validated(spec) == spec
    assert all(len(check) <= MAX_CHECK_CHARS for check in story.checks)


def test_the_commit_is_the_same_each_time(tmp_path: Path) -> None:
    """Whoever runs the demo sees the same base commit."""
    assert write_repository(tmp_path / "one") == write_repository(tmp_path / "two")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """Nothing of a user's is overwritten."""
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        write_repository(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_material_that_is_wrong_names_the_field() -> None:
    """A missing or unknown field is said by name."""
    with pytest.raises(InvalidInput, match="title"):
        parse("name: x")
    assert demo().name == "tally"


def test_the_repository_can_be_written_by_command(tmp_path: Path) -> None:
    """What the documentation starts from; a second time it says that the folder is in use."""
    command = [sys.executable, "-m", "folkmoot.platform.demo", "repo"]
    first, second = (subprocess.run(command, cwd=tmp_path, capture_output=True, check=False) for _ in range(2))
    assert first.returncode == 0
    assert first.stdout.decode().strip() == write_repository(tmp_path / "other")
    assert second.returncode == 2
    assert b"not empty" in second.stderr


def test_the_commit_ignores_the_users_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a signing key nor a hook of theirs changes it or stops it."""
    (tmp_path / ".gitconfig").write_text(
        "[commit]\n\tgpgSign = true\n[core]\n\thooksPath = /nowhere\n\tautocrlf = true\n"
    )
    first = write_repository(tmp_path / "one")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    assert write_repository(tmp_path / "two") == first

"""`moot continue`, and what `moot solve` says of the limits of a whole task, as a user runs them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.result import State
from tests.fixtures.cli_platform import Platform, playing
from tests.fixtures.cli_tasks import Repository, decided, ended, write_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return write_repository(tmp_path / "git")


@pytest.fixture
async def platform(tmp_path: Path, repository: Repository) -> AsyncIterator[Platform]:
    """A task that is decided when it is asked for again, and one that abstained."""
    data = tmp_path / "data"
    data.mkdir()
    asks = ended("t-asks", State.ABSTAINED)
    asks.result = msgspec.structs.replace(asks.result, settle=("is a cent lost on purpose?",))
    tasks = {"t-decided": decided(repository), "t-asks": asks}
    async with playing(data, tasks, [repository.bundle, repository.diff]) as running:
        yield running


async def test_continuing_asks_for_a_task_and_ends_with_its_answer(platform: Platform) -> None:
    """With the further checks, and nothing that the earlier task had said."""
    options = ["--check", "true", "--superseded", "t::a", "--rigor", "L2", "--max-wall", "60"]
    answer = await platform.moot("continue", "t-decided", *options, "--json")
    assert (answer.code, json.loads(answer.out)["state"]) == (0, "decided")
    assert "goes on with the candidates of t-decided" in answer.err
    (asked,) = platform.orchestrator.asked
    assert (asked.task.continues, list(asked.task.checks), list(asked.task.superseded)) == (
        "t-decided",
        ["true"],
        ["t::a"],
    )
    assert (asked.task.rigor, asked.task.title, asked.task.repository) == ("L2", "", "")
    assert [(field.name, value) for field, value in asked.task.total.ListFields()] == [("wall_s", 60.0)]


async def test_what_cannot_be_continued_is_said(platform: Platform) -> None:
    """A task that is not there; a story, which has several."""
    assert (await platform.moot("continue", "t-none")).code == 6
    story = await platform.moot("continue", "s-1")
    assert (story.code, "moot story show s-1" in story.err) == (2, True)


async def test_an_abstention_says_what_would_settle_it(platform: Platform) -> None:
    """In words, and in the document."""
    told = await platform.moot("result", "t-asks")
    assert (told.code, "? is a cent lost on purpose?" in told.out) == (3, True)
    assert json.loads((await platform.moot("result", "t-asks", "--json")).out)["settle"] == [
        "is a cent lost on purpose?"
    ]


async def test_solve_hands_on_limits_of_the_whole_task(platform: Platform, repository: Repository) -> None:
    """What is not given does not hold, and is not sent."""
    options = [
        "--rigor",
        "L2",
        "--max-agents",
        "4",
        "--agents",
        "2",
        "--superseded",
        "t::a",
        "--max-tokens",
        "1000",
        "--max-cost",
        "0.5",
    ]
    answer = await platform.moot("solve", "Count both.", "--json", *options, cwd=repository.folder)
    assert answer.code == 0, answer.err
    (asked,) = platform.planning.asked
    assert (asked.task.max_agents, list(asked.task.superseded)) == (4, ["t::a"])
    assert [(f.name, v) for f, v in asked.task.total.ListFields()] == [("tokens", 1000), ("cost_usd", 0.5)]

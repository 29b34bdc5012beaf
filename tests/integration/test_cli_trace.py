"""`moot trace` as a process against a platform that plays canned deliberations over real gRPC."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.cli_platform import Platform, playing
from tests.fixtures.cli_tasks import EVIL, decided, write_repository


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    repository, data = write_repository(tmp_path / "git"), tmp_path / "data"
    data.mkdir()
    tasks = {"t-decided": decided(repository), "t-evil": decided(repository, EVIL)}
    async with playing(data, tasks, [repository.bundle, repository.diff]) as running:
        yield running


async def test_a_trace_as_json_adds_up(platform: Platform) -> None:
    """One document: state, path, agents, and what is not known."""
    answer = await platform.moot("trace", "t-decided", "--json")
    document = json.loads(answer.out)
    assert (answer.code, document["state"]) == (0, "decided")
    assert sum(part["seconds"] for part in document["path"]) == pytest.approx(document["seconds"])
    assert [agent["agent_id"] for agent in document["agents"]] == ["dev-1", "dev-2", "dev-3", "dev-4"]


async def test_a_trace_for_people_has_a_row_for_each_part(platform: Platform) -> None:
    """The path first, then the agents; and nothing that steers a terminal."""
    answer = await platform.moot("trace", "t-evil")
    assert answer.code == 0
    path, agents = answer.out.split("Each agent")
    assert "examination" in path
    assert "dev-4 failed" in agents
    assert not set(EVIL) & {c for c in answer.out if not c.isprintable() and c != "\n"}


async def test_a_task_that_is_not_there_is_not_found(platform: Platform) -> None:
    """As everywhere."""
    assert (await platform.moot("trace", "t-nobody")).code == 6

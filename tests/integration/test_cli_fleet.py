"""`moot council`, `agent`, `parked` and `status` as processes against a fleet that keeps what it was given."""

import json
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import pytest

from tests.fixtures.cli_fleet import LOST
from tests.fixtures.cli_platform import Platform, playing


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    data = tmp_path / "data"
    data.mkdir()
    async with playing(data, {}, []) as running:
        yield running


async def test_councils_and_agents_are_listed(platform: Platform) -> None:
    """For people by name and role, as JSON whole; one council with the profiles of its agents."""
    listed = await platform.moot("council", "list")
    assert re.search(r"dev  default, ships +DEV +dev-careful", listed.out)
    document = json.loads((await platform.moot("council", "show", "dev", "--json")).out)
    assert (document["council"]["agents"], document["agents"][0]["persona"]) == (["dev-careful"], "careful")
    agents = json.loads((await platform.moot("agent", "list", "--role", "QA", "--json")).out)
    assert agents == {"agents": []}
    unknown = await platform.moot("council", "show", "nowhere", "--json")
    assert (unknown.code, json.loads(unknown.out)["error"]["kind"]) == (6, "NotFound")


async def test_a_council_is_set_from_a_file(platform: Platform, tmp_path: Path) -> None:
    """Agents that stand whole in the file are registered first, with all that it says of them."""
    file = tmp_path / "council.yaml"
    file.write_text(
        "name: mine\nrole: QA\nagents:\n  - dev-careful\n"
        "  - {name: bold, role: QA, temperature: 0.7, model: big, model_url: 'http://m/v1', budget: {steps: 5}}\n"
    )
    answer = await platform.moot("council", "set", str(file), "--json")
    assert (answer.code, json.loads(answer.out)["council"]["agents"]) == (0, ["dev-careful", "bold"])
    bold = platform.orchestrator.agents["bold"]
    assert (bold.temperature, bold.model, bold.budget.steps) == (0.7, "big", 5)
    assert platform.orchestrator.actors != [""]
    assert (await platform.moot("council", "delete", "mine")).code == 0
    assert "mine" not in platform.orchestrator.councils


async def test_a_council_that_ships_can_be_copied(platform: Platform, tmp_path: Path) -> None:
    """What comes with Folkmoot is what `set` takes, and so is what `show --json` prints of a council."""
    shipped = resources.files("folkmoot.agents") / "data" / "councils" / "qa.toml"
    file = tmp_path / "qa.toml"
    file.write_bytes(shipped.read_bytes())
    assert (await platform.moot("council", "set", str(file))).code == 0
    shown = json.loads((await platform.moot("council", "show", "qa", "--json")).out)["council"]
    again = await platform.moot("council", "set", "-", stdin=json.dumps(shown).encode())
    assert again.code == 0


async def test_what_is_wrong_in_a_file_is_named(platform: Platform) -> None:
    """By us where it is no council, by the platform where it cannot be one."""
    ours = await platform.moot("council", "set", "-", stdin=b"name: x\nagents: [{name: a, role: QA, tempratur: 1}]")
    assert (ours.code, "agents[0]: " in ours.err, "tempratur" in ours.err) == (2, True, True)
    theirs = await platform.moot("council", "set", "-", stdin=b"name: x\nagents: [nobody]")
    assert (theirs.code, "council.agents[0]" in theirs.err) == (2, True)


async def test_agents_are_registered_and_forgotten(platform: Platform) -> None:
    """Several from one file; one that a council names is kept."""
    file = b"agents:\n  - {name: one, role: QA}\n  - {name: two, role: DEV, tools: [read_file]}"
    assert (await platform.moot("agent", "set", "-", stdin=file)).code == 0
    assert list(platform.orchestrator.agents["two"].tools) == ["read_file"]
    assert (await platform.moot("agent", "delete", "one")).code == 0
    used = await platform.moot("agent", "delete", "dev-careful")
    assert (used.code, "in_use" in used.err) == (2, True)


async def test_parked_messages_are_listed_and_replayed(platform: Platform) -> None:
    """One by its number, or all that were not yet; what is refused is said, and stops none of the others."""
    listed = await platform.moot("parked", "list")
    for piece in ("deliberation.requests.t-5", "nobody could read it", "replayed"):
        assert piece in listed.out
    assert (await platform.moot("parked", "replay", "5")).code == 0
    platform.orchestrator.messages[5].replayed = False
    every = await platform.moot("parked", "replay", "--all", "--json")
    document = json.loads(every.out)
    assert (every.code, document["replayed"]) == (2, [5])
    assert document["refused"] == [{"sequence": 7, "problem": f"replay: {LOST}"}]
    assert (await platform.moot("parked", "replay", "99")).code == 6


@pytest.mark.parametrize("arguments", [[], ["5", "--all"]])
async def test_replay_wants_one_or_all(platform: Platform, arguments: list[str]) -> None:
    """Neither and both are usage."""
    answer = await platform.moot("parked", "replay", *arguments)
    assert (answer.code, "--all" in answer.err) == (2, True)


async def test_status_is_a_view_of_the_moment(platform: Platform) -> None:
    """Queue, deliberations, tokens against the quota, parked messages."""
    said = await platform.moot("status")
    for piece in ("4 tasks", "2 deliberations, 8 at once", "12.3k of 50.0k", "3; `moot parked list`"):
        assert piece in said.out
    assert json.loads((await platform.moot("status", "--json")).out)["tokens_per_day"] == 50_000
    assert "refusing" not in said.out
    platform.orchestrator.refusing = "the queue is full"
    assert "new tasks: the queue is full; there may be room again in" in (await platform.moot("status")).out


async def test_completion_knows_the_commands(platform: Platform) -> None:
    """Within a group too."""
    shown = await platform.moot(_MOOT_COMPLETE="complete_bash", COMP_WORDS="moot story s", COMP_CWORD="2")
    assert {"submit", "show", "send-back"} <= set(shown.out.split())

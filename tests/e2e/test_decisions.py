"""One story each, from text to decision, on a whole platform."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures import need
from tests.fixtures.golang import Warmed
from tests.fixtures.platform import Moot

BEHAVIOURS = ("right", "wrong", "cheat")


@pytest.mark.parametrize("order", [BEHAVIOURS, BEHAVIOURS[::-1]], ids="-".join)
def test_the_right_agent_wins_wherever_it_stands(moot: Moot, tmp_path: Path, order: tuple[str, ...]) -> None:
    """Wrong and cheating agents lose, each for the stated reason, whoever they are."""
    cast = {f"dev-{n}": behaviour for n, behaviour in enumerate(order, 1)}
    agent = {behaviour: name for name, behaviour in cast.items()}
    done = moot.solve("tally", cast, tmp_path)
    assert done.code == 0, done.err
    result = done.json
    reasons = {r["agent_id"]: " ".join(r["reasons"]) for r in result["ranking"]}
    assert result["winner"]["agent_id"] == agent["right"]
    assert "fails the check" in reasons[agent["wrong"]]
    assert "changed" in reasons[agent["cheat"]]


def test_with_only_wrong_agents_it_abstains(moot: Moot, tmp_path: Path) -> None:
    """An honest none, with exit code 3."""
    done = moot.solve("tally", {"dev-1": "wrong", "dev-2": "wrong", "dev-3": "cheat"}, tmp_path)
    assert done.code == 3, done.err
    assert done.json["state"] == "abstained"
    assert done.json["winner"] is None
    assert done.json["reasons"]


def test_a_go_module_is_tested_by_go(moot: Moot, tmp_path: Path, warmed_go: Warmed) -> None:
    """And its winner is the one that Go's own tests and the checks let through."""
    with warmed_go(moot.data / "runner"):
        _decided_in("versions", moot, tmp_path)


def test_a_node_package_is_tested_by_node(moot: Moot, tmp_path: Path) -> None:
    """As Go by Go's, by Node's own runner."""
    need(shutil.which("node"), "needs node")
    _decided_in("csvline", moot, tmp_path)


def _decided_in(shape: str, moot: Moot, folder: Path) -> None:
    done = moot.solve(shape, {"dev-1": "cheat", "dev-2": "right", "dev-3": "wrong"}, folder)
    assert done.code == 0, done.err
    assert done.json["winner"]["agent_id"] == "dev-2"


def test_agents_that_fail_do_not_stop_the_others(moot: Moot, tmp_path: Path) -> None:
    """Nonsense, a broken connection and silence are stated failures."""
    cast = {"dev-1": "nonsense", "dev-2": "stops", "dev-3": "hangs", "dev-4": "right"}
    done = moot.solve("tally", cast, tmp_path)
    assert done.code == 0, done.err
    assert done.json["winner"]["agent_id"] == "dev-4"
    said = " ".join(done.json["reasons"])
    assert all(agent in said for agent in ("dev-1", "dev-2", "dev-3"))


def test_when_every_agent_fails_the_task_fails(moot: Moot, tmp_path: Path) -> None:
    """Exit code 4, and each agent's reason."""
    done = moot.solve("tally", {"dev-1": "nonsense"}, tmp_path)
    assert done.code == 4, done.err
    assert done.json["state"] == "failed"
    assert "dev-1" in " ".join(done.json["reasons"])

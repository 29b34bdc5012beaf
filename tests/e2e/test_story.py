"""A story of three tasks, one behind another and two in conflict, from its text to an accepted commit."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.platform.demo.material import Material, write_repository
from folkmoot.rehearsal.script import bundled
from folkmoot.rehearsal.server import serving
from tests.fixtures.cli_platform import git
from tests.fixtures.platform import Done, Moot

SHOP = Material(
    name="shop",
    title="Two rates",
    text='Add the rates "reduced", 7 percent, and "exempt", 0 percent, with a test of the first.',
    checks=("python3 -c \"from shop.rates import RATES; assert (RATES['reduced'], RATES['exempt']) == (7, 0)\"",),
    files={
        "shop/__init__.py": "",
        "shop/rates.py": '"""Tax rates, in percent."""\n\nRATES = {\n    "standard": 20,\n}\n',
    },
)
"""What the rehearsal script `story` was written for."""
ONE_TASK = """\
summary: One task will do.
tasks:
  - name: both
    title: Add both rates
    text: Add "reduced", 7 percent, and "exempt", 0 percent, to RATES in shop/rates.py.
    paths: [shop/rates.py]
"""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`moot` at work on one story, in its repository."""

    moot: Moot
    repository: Path
    story: str = ""

    def __call__(self, *arguments: str) -> Done:
        return self.moot(*arguments, cwd=self.repository)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self("story", "show", self.story, "--json").json
        return found

    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["name"]: task for task in self.shown()["tasks"]}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(bundled("story")) as address:
        yield f"http://{address}/v1"


async def test_a_story_goes_from_its_text_to_an_accepted_commit(moot: Moot, url: str, tmp_path: Path) -> None:
    """Planned by a model, approved, merged over a conflict, sent back, planned anew by a person, accepted."""
    await asyncio.to_thread(whole_life, moot, url, tmp_path)


def whole_life(moot: Moot, url: str, folder: Path) -> None:
    write_repository(folder / "shop", SHOP)
    told = submitted(moot, url, folder)
    planned_and_approved(told)
    decided_over_a_conflict(told)
    sent_back_and_planned_anew(told)
    accepted(told)


def submitted(moot: Moot, url: str, folder: Path) -> Told:
    file = folder / "story.json"
    about = {"title": SHOP.title, "text": SHOP.text, "checks": SHOP.checks, "repository": "shop", "plan": "model"}
    file.write_bytes(msgspec.json.encode(about | {"rigor": "L0", "model_url": url, "model": "rehearsal"}))
    done = moot("story", "submit", str(file), "--wait", "--json")
    assert (done.code, done.json["state"]) == (0, "planned"), done.err
    assert done.json["assessment"]["score"] == 90
    return Told(moot=moot, repository=folder / "shop", story=done.json["story_id"])


def planned_and_approved(told: Told) -> None:
    """The merge of everything is in no plan, and among the tasks all the same."""
    assert list(told.tasks()) == ["reduced", "exempt", "tests", "merge-1"]
    assert {task["state"] for task in told.tasks().values()} == {"waiting"}
    assert told("plan", "approve", told.story, "--reason", "as it should be").code == 0


def decided_over_a_conflict(told: Told) -> None:
    watched = told("story", "watch", told.story)
    assert (watched.code, told.shown()["state"]) == (0, "decided"), watched.err
    tasks = told.tasks()
    assert all(task["commit"] for task in tasks.values())
    assert told.shown()["result_task_id"] == tasks["merge-1"]["task_id"]
    assert told("evidence", told.story, "--json").json["base"]["conflicts"] == ["shop/rates.py"]
    joined = taken(told)
    for task in tasks.values():
        git(told.repository, "merge-base", "--is-ancestor", task["commit"], joined)
    assert git(told.repository, "ls-tree", "-r", "--name-only", joined).splitlines() == [
        "shop/__init__.py",
        "shop/rates.py",
        "tests/test_rates.py",
    ]


def taken(told: Told) -> str:
    """The story's result, fetched, with what it was asked for in it."""
    commit: str = told("apply", told.story, "--json").json["commit"]
    rates = git(told.repository, "show", f"{commit}:shop/rates.py")
    assert '"reduced": 7' in rates
    assert '"exempt": 0' in rates
    return commit


def sent_back_and_planned_anew(told: Told) -> None:
    """Nothing can be planned while a result waits; once it is sent back, a person's own plan will do."""
    plan = told.repository.parent / "plan.yaml"
    plan.write_text(ONE_TASK)
    early = told("plan", "edit", told.story, "--file", str(plan))
    assert (early.code, "life_cycle" in early.err) == (2, True)
    assert told("story", "send-back", told.story, "--reason", "too many steps").code == 0
    assert told.shown()["state"] == "sent_back"
    assert told("plan", "edit", told.story, "--file", str(plan)).code == 0
    assert told("plan", "approve", told.story).code == 0


def accepted(told: Told) -> None:
    watched = told("story", "watch", told.story)
    assert watched.code == 0, watched.err
    done = told("story", "approve", told.story, "--json")
    assert (done.json["state"], done.json["round"]) == ("accepted", 2)
    taken(told)
    log = told("log", told.story).out
    steps = ("submitted", "assessed", "planned", "plan-approved", "sent-back", "planned", "plan-approved", "accepted")
    places: list[int] = []
    for step in steps:
        places.append(log.index(f"story.{step} ", places[-1] + 1 if places else 0))
    assert "too many steps" in log

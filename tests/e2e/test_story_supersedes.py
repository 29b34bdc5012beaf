"""A story that makes a test of base wrong: the coach proposes it, a person confirms it, the gate lets it go."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from folkmoot.platform.demo.material import Material, write_repository
from folkmoot.rehearsal.script import Script, Turn, bundled
from folkmoot.rehearsal.server import serving
from tests.fixtures.platform import Moot

CHECK = "python3 -c \"from shop.rates import RATES; assert RATES['reduced'] == 7\""
OLD = "tests.test_table::test_there_is_one_rate"
SHOP = Material(
    name="shop",
    title="A reduced rate",
    text='Add the rate "reduced", 7 percent, beside the one that there is.',
    checks=(CHECK,),
    files={
        "shop/__init__.py": "",
        "shop/rates.py": '"""Tax rates, in percent."""\n\nRATES = {\n    "standard": 20,\n}\n',
        "tests/test_table.py": (
            "from shop.rates import RATES\n\n\ndef test_the_standard_rate():\n    assert RATES['standard'] == 20\n\n\n"
            "def test_there_is_one_rate():\n    assert len(RATES) == 1\n"
        ),
    },
)
PLAN: Mapping[str, object] = {
    "summary": "One task will do.",
    "tasks": [
        {
            "name": "reduced", "title": "Add the reduced rate", "text": "Add it to RATES.", "role": "DATA",
            "paths": ["shop/rates.py"], "checks": [], "after": [],
        }
    ],
}  # fmt: skip


def assessed(test: str) -> Turn:
    """The coach's answer, with that test as the one which the story makes wrong."""
    words: dict[str, object] = {"summary": "Good.", "missing_checks": [], "questions": []}
    scores = dict.fromkeys(("clarity", "testability", "size", "score"), 90)
    return Turn(json={**words, **scores, "superseded": [{"test": test, "why": "there will be two rates"}]})


def script() -> Script:
    """A coach who does not know at first how tests are called here, and is told so once the platform knows it."""
    book = bundled("story")
    coach = {"assess": (assessed("test_there_is_one_rate"), assessed(OLD))}
    parts = {"coach": coach, "planner": {"plan": (Turn(json=dict(PLAN)),)}}
    return msgspec.structs.replace(book, behaviours={**book.behaviours, **parts})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(script()) as address:
        yield f"http://{address}/v1"


async def test_a_test_that_the_story_makes_wrong_gates_until_a_person_lets_it_go(
    moot: Moot, url: str, tmp_path: Path
) -> None:
    """Unconfirmed it turns the right change back. Confirmed by the name that base's own tests have, it gates nothing,
    the other test goes on gating, and the result says so."""
    await asyncio.to_thread(supersedes, moot, url, tmp_path)


def supersedes(moot: Moot, url: str, folder: Path) -> None:
    story = submitted(moot, url, folder)
    assert moot("plan", "approve", story).code == 0
    watched = moot("story", "watch", story)
    assert watched.code == 3, watched.out + watched.err
    (task,) = moot("story", "show", story, "--json").json["tasks"]
    reasons = moot("result", task["task_id"], "--json").json["reasons"]
    assert any(f"breaks 1 test of base: `{OLD}`" in reason for reason in reasons), reasons
    assert moot("story", "send-back", story, "--reason", "there are to be two rates").code == 0
    assert moot("story", "revise", story, "--title", "A second rate").code == 0
    again = moot("story", "watch", story)
    assert again.code == 0, again.out + again.err
    assert proposed(moot, story) == OLD
    assert moot("plan", "approve", story, "--superseded-as-proposed").code == 0
    assert moot("story", "watch", story).code == 0
    result = moot("result", story, "--json").json
    assert result["state"] == "decided"
    assert f"1 test of base superseded by the story, which gates nothing: `{OLD}`" in result["reasons"]
    assert any("keeps 1 test of base" in reason for reason in result["ranking"][0]["reasons"])
    assert moot("story", "approve", story).code == 0
    learns(moot, story, folder)


def learns(moot: Moot, story: str, folder: Path) -> None:
    """What was accepted is counted in a policy file, by which decisions can be replayed; no file is written over."""
    file = folder / "learned.toml"
    argv = ("policy", "learn", "--repo", str(folder / "shop"), "-o", str(file))
    done = moot(*argv, "--json")
    assert done.code == 0, done.err
    assert [done.json[k] for k in ("accepted", "sent_back", "unread")] == [1, 0, 0]
    assert "FOLKMOOT_ORCHESTRATOR_POLICIES" in done.err
    replayed = moot("evidence", story, "--replay", "--policy", str(file), "--json")
    assert (replayed.code, replayed.json["policy"]) == (0, done.json["policy"]), replayed.err
    assert (moot(*argv).code, moot("policy", "learn", "--repo", str(folder / "none")).code) == (2, 2)


def submitted(moot: Moot, url: str, folder: Path) -> str:
    write_repository(folder / "shop", SHOP)
    file = folder / "story.json"
    about = {"title": SHOP.title, "text": SHOP.text, "checks": SHOP.checks, "repository": "shop", "plan": "model"}
    file.write_bytes(msgspec.json.encode(about | {"rigor": "L0", "model_url": url, "model": "rehearsal"}))
    done = moot("story", "submit", str(file), "--wait", "--json")
    assert (done.code, done.json["state"]) == (0, "planned"), done.err
    story: str = done.json["story_id"]
    assert proposed(moot, story) == "test_there_is_one_rate"
    return story


def proposed(moot: Moot, story: str) -> str:
    (only,) = moot("story", "show", story, "--json").json["assessment"]["superseded"]
    test: str = only["test"]
    return test

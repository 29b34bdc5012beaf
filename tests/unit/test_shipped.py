"""The data files: what ships is sound, and a copy that is not says where."""

import shutil
from importlib import resources
from pathlib import Path

import pytest

from folkmoot.agents import prompts
from folkmoot.agents.assignment import Assignment, ModelEndpoint, WorkspaceGrant
from folkmoot.agents.roles import LIBRARY, PERSONAS, permitted
from folkmoot.agents.shipped import load
from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.events import START
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, WorkspaceId
from folkmoot.kernel.task import Budget, Role

DATA = Path(str(resources.files("folkmoot.agents") / "data"))


def assignment(persona: str = "careful", **more: object) -> Assignment:
    values: dict[str, object] = {
        "task_id": TaskId("t-1"),
        "agent_id": AgentId("qa-1"),
        "attempt": 1,
        "role": "QA",
        "persona": persona,
        "title": "Add {n}",
        "text": "Text",
        "checks": ("true",),
        "base_commit": CommitId("a" * 40),
        "suite": None,
        "protected": (),
        "budget": Budget(),
        "model": ModelEndpoint(url="http://127.0.0.1:1/v1", name="m"),
        "workspace": WorkspaceGrant(workspace_id=WorkspaceId("ws-1"), endpoint="", token=""),
        "result_head": START,
    }
    return Assignment(**(values | more))  # type: ignore[arg-type]


def test_agents_of_a_council_differ() -> None:
    """Several of one mind would be one."""
    for council in LIBRARY.shipped.councils.values():
        personas = [LIBRARY.shipped.agents[name].persona for name in council.agents]
        assert len(set(personas)) == len(personas) >= 3


def test_every_persona_and_role_says_something() -> None:
    """Each once, none empty."""
    assert len({p.text for p in PERSONAS}) == len(PERSONAS)
    assert all(role.prompt.strip() and len(role.rubric) >= 3 for role in LIBRARY.roles.values())


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("roles/qa.toml", '"run_tests"', '"root_shell"', r"qa.toml: tools\[7\]: there is no tool 'root_shell'"),
        ("roles/qa.toml", '"commit", "submit"', '"commit"', "qa.toml: tools: 'submit' is missing"),
        ("roles/qa.toml", "title =", "titel =", "qa.toml: .*titel"),
        ("roles/qa.toml", 'name = "QA"', 'name = "QX"', "qa.toml: name"),
        ("councils/qa.toml", 'persona = "breaker"', 'persona = "nobody"', "qa.toml: agent.persona: 'nobody'"),
        ("councils/qa.toml", 'name = "qa-2"', 'name = "dev-2"', "qa.toml: agents: 'dev-2' stands in another file"),
        ("councils/qa.toml", "default = true", "default = false", "QA has 0 defaults"),
        ("personas.toml", "text =", "words =", r"personas.toml: personas\[0\]"),
        ("helpers.toml", 'name = "judge-1"', 'name = "judge"', "helpers.toml: agents: 'judge-1' is missing"),
        ("helpers.toml", 'persona = "sceptic"', 'persona = "nobody"', "helpers.toml: agent.persona: 'nobody'"),
        ("helpers.toml", 'name = "tester-2"', 'name = "qa-1"', "helpers.toml: agents: 'qa-1' stands in another file"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    """Whoever changed a copy finds the place."""
    shutil.copytree(DATA, tmp_path / "data")
    changed = tmp_path / "data" / file
    assert old in changed.read_text("utf-8")
    changed.write_text(changed.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(Misconfigured, match=words):
        load(tmp_path / "data")


def test_a_missing_role_is_named(tmp_path: Path) -> None:
    """A fleet without one would fail in the middle of a story."""
    shutil.copytree(DATA, tmp_path / "data")
    (tmp_path / "data" / "roles" / "data.toml").unlink()
    with pytest.raises(Misconfigured, match="no file for DATA"):
        load(tmp_path / "data")


def test_tools_are_the_roles_or_fewer() -> None:
    """In the role's order, which keeps prompts alike; never more."""
    assert "run" not in permitted("ARCHITECT", ())
    assert permitted("ARCHITECT", ("submit", "run", "read_file")) == ("read_file", "submit")
    with pytest.raises(InvalidInput, match="none of"):
        permitted("CHIEF", ())


def test_what_agents_share_comes_first() -> None:
    """Byte by byte up to what is the agent's own: a model server's prefix cache lives of that."""
    shared = {"context": "Earlier, {x}", "paths": ("src/a.py",)}
    one = prompts.opening(assignment("careful", **shared))
    two = prompts.opening(assignment("tester", instructions="Be brief.", **shared))
    assert one[0] == two[0]
    head, own = one[1]["content"].split("# You")
    assert two[1]["content"].startswith(head)
    assert "read widely" in own
    assert two[1]["content"].endswith("\n\nBe brief.\n")


def test_the_role_its_rubric_and_earlier_work_are_said() -> None:
    """Foreign words are marked as data, and braces in them stay."""
    system, user = (m["content"] for m in prompts.opening(assignment(context="Mind {this}", paths=("docs/",))))
    assert "# Your role: Quality engineer" in system
    assert all(line in system for line in LIBRARY.roles[Role.QA].rubric)
    assert "- docs/" in user
    assert "nothing between" in user.split("Mind {this}")[0]


def test_without_any_of_it_nothing_is_said() -> None:
    """No empty headings: an agent without persona, context and paths."""
    user = prompts.opening(assignment(""))[1]["content"]
    assert not any(heading in user for heading in ("# You", "# Earlier work", "# Files that"))

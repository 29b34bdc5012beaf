"""Scripts: what a person may write, and how a mistake is said."""

import itertools
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import AgentId
from folkmoot.rehearsal.script import Call, Turn, bundled, compose, dump, parse

GOOD = """
latency_s: 0.5
agents: {dev-1: right, "dev-*": other}
behaviours:
  right:
    propose:
      - {text: hello, calls: [{tool: read_file, arguments: {path: a.py}}]}
      - {status: 429, times: 2, text: at last}
    judge:
      - json: {winner: first}
  other: {}
"""


def test_a_script_is_read() -> None:
    """Every field arrives where its name says."""
    script = parse(GOOD)
    assert script.latency_s == 0.5
    first, second = script.behaviours["right"]["propose"]
    assert first == Turn(text="hello", calls=(Call(tool="read_file", arguments={"path": "a.py"}),))
    assert (second.status, second.times, second.text) == (429, 2, "at last")


def test_what_everyone_does_is_said_once() -> None:
    """For behaviours that say nothing of a phase; an empty list is something."""
    everyone = "everyone: {propose: [{text: a}], judge: [{text: b}]}"
    script = parse(GOOD.replace("other: {}", "other: {propose: []}") + everyone)
    assert [t.text for t in script.turns("right", "propose")] == ["hello", "at last"]
    assert script.turns("other", "propose") == ()
    assert [t.text for t in script.turns("other", "judge")] == ["b"]
    assert script.turns("other", "test") == ()
    assert parse(dump(script)) == script


def test_what_yaml_cannot_make_a_value_of_is_said() -> None:
    """A date that is none, for instance."""
    with pytest.raises(InvalidInput, match="script: is no YAML"):
        parse("latency_s: 2024-13-45")


def test_the_first_pattern_that_matches_plays() -> None:
    """So a special case stands before the rule."""
    script = parse(GOOD)
    assert [script.behaviour(a) for a in ("dev-1", "dev-2", "qa-1")] == ["right", "other", None]


def test_a_script_that_is_written_out_reads_back_equal() -> None:
    """What `compose` made can be given to a process as a file."""
    for script in (parse(GOOD), bundled()):
        assert parse(dump(script)) == script


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("latency_s: 0.5", "latency_s: soon", "script.latency_s"),
        ("latency_s: 0.5", "latency_s: -1", "latency_s"),
        ("latency_s: 0.5", "latencies: 1", "script"),
        ('"dev-*": other', '"dev-*": nobody', "agents.dev-*"),
        ("propose:", "prose:", "behaviours.right.prose"),
        ("status: 429", "status: 200", "behaviours.right.propose[1]"),
        ("status: 429", "status: many", "behaviours.right.propose[1].status"),
        ("{text: hello, ", "{txt: hello, ", "behaviours.right.propose[0]"),
        ("{tool: read_file", "{tool: 5", "behaviours.right.propose[0].calls[0].tool"),
        ("arguments: {path: a.py}", "arguments: [a.py]", "behaviours.right.propose[0].calls[0].arguments"),
        ("json: {winner: first}", "hang: false", "behaviours.right.judge[0]"),
        ("json: {winner: first}", "{html: true, hang: true}", "behaviours.right.judge[0]"),
        ("times: 2, text: at last", "times: 2", "behaviours.right.propose[1]"),
        ("behaviours:", "behaviours: [", "script"),
        ("other: {}", "other: {}\neveryone: {reviews: []}", "everyone.reviews"),
        ("other: {}", "other: {}\neveryone: {review: [{txt: hello}]}", "everyone.review[0]"),
    ],
)
def test_a_mistake_is_said_with_its_place(old: str, new: str, field: str) -> None:
    """The path of the field, as one would look for it in the file."""
    with pytest.raises(InvalidInput) as caught:
        parse(GOOD.replace(old, new, 1))
    assert caught.value.field == field


def test_a_script_that_is_no_mapping_is_refused() -> None:
    """An empty file too."""
    for text in ("", "[]", "just words"):
        with pytest.raises(InvalidInput, match="script"):
            parse(text)


def test_parts_are_given_out_in_any_order() -> None:
    """So a test can show that the order of the agents decides nothing."""
    for order in itertools.permutations(("right", "wrong", "cheat")):
        cast = {AgentId(f"dev-{i}"): name for i, name in enumerate(order, start=1)}
        script = compose(cast)
        assert [script.behaviour(agent) for agent in cast] == list(order)


def test_helpers_keep_their_parts() -> None:
    """Unless they are given one; whoever else is named nowhere has none."""
    script = compose({AgentId("dev-1"): "wrong", AgentId("tester-2"): "toxic"})
    cast = {agent: script.behaviour(agent) for agent in ("dev-1", "dev-2", "tester-1", "tester-2", "judge-1")}
    assert cast == {"dev-1": "wrong", "dev-2": None, "tester-1": "sealed", "tester-2": "toxic", "judge-1": "judges"}


def test_a_part_that_does_not_exist_is_refused() -> None:
    """With the names that do."""
    with pytest.raises(InvalidInput, match="plausible, right, sealed"):
        compose({AgentId("dev-1"): "genius"})


def test_an_unknown_bundled_script_is_refused() -> None:
    """A typing error does not become an empty script."""
    with pytest.raises(InvalidInput, match="there are demo, "):
        bundled("demon")


def test_the_example_in_the_documentation_is_a_script() -> None:
    """What people copy works, and shows every field of a turn."""
    page = (Path(__file__).parents[2] / "docs" / "rehearsal.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    turns = [t for phases in parse(example).behaviours.values() for turns in phases.values() for t in turns]
    shown = {f.name for f in msgspec.structs.fields(Turn) for t in turns if getattr(t, f.name) != f.default}
    assert shown == set(Turn.__struct_fields__)
    assert all(f"| `{name}` |" in page or name == "times" for name in Turn.__struct_fields__)

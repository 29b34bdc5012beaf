"""Scripts name candidates by what is in them: each reader has other names for them."""

import json

import pytest

from folkmoot.agents.prompts import diffs
from folkmoot.rehearsal import play
from folkmoot.rehearsal.places import filled
from folkmoot.rehearsal.script import Call, Script, Turn

SHOWN = (("candidate-1", "+shares[0] += 1"), ("candidate-2", '+x = "by_fraction"\n+shares = 2'))


def argument(text: str) -> object:
    turn = Turn(calls=(Call(tool="t", arguments={"a": {"b": [text, 1]}}),))
    (call,) = filled(turn, SHOWN).calls
    assert isinstance(call.arguments, dict)
    inner = call.arguments["a"]
    assert isinstance(inner, dict)
    return inner["b"][0]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("{candidate with: shares[0] +=}", "candidate-1"),
        ('{candidate with: "by_fraction"}', "candidate-2"),
        ("{candidate with: shares}", "candidate-1"),
        ("is {candidate with: shares =}, {candidate with: shares[0]}", "is candidate-2, candidate-1"),
        ("{candidate with: nothing}", "{candidate with: nothing}"),
        ("{candidate: shares}", "{candidate: shares}"),
        ("{x} and { }", "{x} and { }"),
    ],
)
def test_a_candidate_is_named_by_a_piece_of_its_diff(text: str, becomes: str) -> None:
    """The first that has it, wherever in the arguments; where none has it, the words stay, and the tool refuses."""
    assert argument(text) == becomes


def test_arguments_that_are_sent_as_they_stand_are_filled_too() -> None:
    """And those that are no JSON."""
    (call,) = filled(Turn(calls=(Call(tool="t", arguments='{"a": "{candidate with: shares =}"'),)), SHOWN).calls
    assert call.arguments == '{"a": "candidate-2"'


def test_a_judge_says_which_of_two_stands_first() -> None:
    """By the prompt that judges get, in either order."""
    script = Script(
        behaviours={"b": {"judge": (Turn(json={"better": "{order of: by_fraction}"}),)}}, agents={"judge-1": "b"}
    )
    for first, second, better in [("by_fraction", "x", "first"), ("x", "by_fraction", "second")]:
        prompt = f"# The two\n\n{diffs({'first': first, 'second': second})}\n"
        messages = [{"role": "system", "content": diffs({"third": "by_fraction"})}, {"role": "user", "content": prompt}]
        ask = play.understand(json.dumps({"messages": messages, "user": "t-1/judge-1"}).encode(), "judge")
        assert play.turn_for(script, ask).json == {"better": better}

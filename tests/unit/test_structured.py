"""Asking a model for one value: whatever it says, a value or a reason comes out."""

import asyncio
from typing import Annotated, Any

import msgspec
import pytest

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import ModelRequest, Reply, Tokens
from folkmoot.agents.errors import ModelError
from folkmoot.agents.structured import SHOWN_CHARS, Question, Unusable, ask, strict_schema_of
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.result import Usage
from folkmoot.planning.coach import AssessmentForm
from folkmoot.planning.planner import PlanForm

ENDPOINT = ModelEndpoint(url="http://m/v1", name="m")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=0)]


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: list[Part]


class Played:
    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.asked: list[ModelRequest] = []

    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        self.asked.append(request)
        if not self._replies:
            raise ModelError("nothing is left to say")
        return self._replies.pop(0)


def total(whole: Whole) -> int:
    if not whole.parts:
        raise InvalidInput("whole.parts", "is empty")
    return sum(part.size for part in whole.parts)


QUESTION: Question[int] = Question(
    name="whole", phase="plan", user="s-1/who", messages=({"role": "user", "content": "go"},), form=Whole, accept=total
)
GOOD = Reply(text='{"parts": [{"size": 2}, {"size": 3}]}')


def asked(model: Played, repairs: int = 2) -> tuple[int, int]:
    answer = asyncio.run(ask(model, ENDPOINT, QUESTION, repairs=repairs))
    return answer.value, answer.repairs


@pytest.mark.parametrize("around", ["{}", "\n {}\n", "```json\n{}\n```", "```\n{}\n```"])
def test_a_good_answer_is_its_value(around: str) -> None:
    """Also in the fence that chat models like to put around it."""
    model = Played(Reply(text=around.replace("{}", GOOD.text)))
    assert asked(model) == (5, 0)
    assert (model.asked[0].user, model.asked[0].phase) == ("s-1/who", "plan")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(problem="no chat completion"), "answer: no chat completion"),
        (Reply(text=GOOD.text, cut_off=True), "answer: was cut off"),
        (Reply(text=" \n"), "answer: is empty"),
        (Reply(text="Sure! Here it is."), "answer: is no JSON"),
        (Reply(text="{" * 200_000), "answer: is no JSON"),
        (Reply(text="\ud800"), "answer: is no JSON"),
        (Reply(text='{"parts": [{"size": -1}]}'), "whole.parts[0].size: Expected `int` >= 0"),
        (Reply(text='{"parts": [], "more": 1}'), "whole: Object contains unknown field `more`"),
        (Reply(text='{"parts": []}'), "whole.parts: is empty"),
    ],
)
def test_a_bad_answer_goes_back_with_what_is_wrong(reply: Reply, words: str) -> None:
    """The model sees its own answer, cut to a length, and the place of the mistake; the next answer counts."""
    model = Played(reply, GOOD)
    assert asked(model) == (5, 1)
    said, correction = model.asked[1].messages[-2:]
    assert said["role"] == "assistant"
    assert 0 < len(said["content"].encode()) <= SHOWN_CHARS
    assert words in correction["content"]


@pytest.mark.parametrize("repairs", [0, 2])
def test_corrections_are_counted(repairs: int) -> None:
    """Then it is over, and the last problem is told."""
    model = Played(*[Reply(text="no")] * 5)
    with pytest.raises(Unusable, match=rf"no usable whole in {repairs + 1} answers; of the last: answer: is no JSON"):
        asked(model, repairs)
    assert len(model.asked) == repairs + 1


def test_all_answers_are_paid_for() -> None:
    """Also those that could not be used, and also when none could."""
    bad, good = Reply(text="no", tokens=Tokens(prompt=5, completion=1)), Reply(text=GOOD.text, tokens=Tokens(prompt=7))
    answer = asyncio.run(ask(Played(bad, good), ENDPOINT, QUESTION, repairs=2))
    assert answer.usage == Usage(model_calls=2, prompt_tokens=12, completion_tokens=1)
    with pytest.raises(Unusable) as caught:
        asyncio.run(ask(Played(bad, bad), ENDPOINT, QUESTION, repairs=1))
    assert caught.value.usage == Usage(model_calls=2, prompt_tokens=10, completion_tokens=2)


def test_what_was_answered_before_the_model_went_away_is_paid_for() -> None:
    """A story's budget counts it."""
    bad = Reply(text="no", tokens=Tokens(prompt=5, completion=1))
    with pytest.raises(Unusable, match="nothing is left to say; of the last answer: answer: is no JSON") as caught:
        asyncio.run(ask(Played(bad), ENDPOINT, QUESTION, repairs=2))
    assert caught.value.usage == Usage(model_calls=1, prompt_tokens=5, completion_tokens=1)


def test_a_model_that_is_away_is_no_bad_answer() -> None:
    """Its own error comes out."""
    with pytest.raises(ModelError, match="nothing is left"):
        asked(Played())


@pytest.mark.parametrize("form", [Whole, AssessmentForm, PlanForm])
def test_a_schema_is_as_strict_servers_want_it(form: Any) -> None:
    """An object at the root; in every object all fields required, and no others."""
    schema = strict_schema_of(form)
    objects = [schema, *schema.get("$defs", {}).values()]
    for part in objects:
        if "properties" in part:
            assert part["type"] == "object"
            assert set(part["required"]) == set(part["properties"])
            assert part["additionalProperties"] is False
    assert "properties" in schema

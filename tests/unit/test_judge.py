"""Judging: both orders, and nothing is guessed."""

from collections.abc import Sequence

import msgspec
import pytest

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import ModelRequest, Reply, Tokens
from folkmoot.agents.errors import ModelError
from folkmoot.agents.judge import Pair, compare, impartial
from folkmoot.agents.quoting import diffs_in
from folkmoot.agents.roles import LIBRARY
from folkmoot.kernel.evidence import Verdict
from folkmoot.kernel.ids import AgentId, ProposalId
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import ModelChoice, Role

ONE, OTHER = ProposalId("dev-1-r1"), ProposalId("dev-2-r1")
PAIR = Pair(
    one=ONE,
    other=OTHER,
    judge=AgentId("judge-1"),
    role="DEV",
    title="Split {it}",
    text="Cents must add up.",
    checks=("true",),
    diffs=("+good", "+bad"),
    evidence=("first passes", "second passes"),
)
ENDPOINT = ModelEndpoint(url="http://127.0.0.1:1/v1", name="m")


def said(better: str, reason: str = "because") -> Reply:
    body = msgspec.json.encode({"reason": reason, "better": better}).decode()
    return Reply(text=body, tokens=Tokens(prompt=10, completion=1))


class Judge:
    """Answers by which diff stands first; replies to one order come in their own order."""

    def __init__(self, straight: Sequence[Reply | ModelError], swapped: Sequence[Reply | ModelError]) -> None:
        self._replies = {"+good": list(straight), "+bad": list(swapped)}
        self.asked: list[ModelRequest] = []

    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        self.asked.append(request)
        (_, first), _ = diffs_in(request.messages[1]["content"])
        reply = self._replies[first].pop(0)
        if isinstance(reply, ModelError):
            raise reply
        return reply


async def judged(
    straight: Sequence[Reply | ModelError], swapped: Sequence[Reply | ModelError]
) -> tuple[Verdict, Usage]:
    return await compare(Judge(straight, swapped), ENDPOINT, PAIR, user="t-1/judge-1", repairs=1)


@pytest.mark.parametrize(
    ("straight", "swapped", "better", "consistent"),
    [
        ("first", "second", ONE, True),
        ("second", "first", OTHER, True),
        ("tie", "tie", None, True),
        ("first", "first", None, False),
        ("second", "second", None, False),
        ("first", "tie", None, False),
    ],
)
async def test_only_what_holds_in_both_orders_counts(
    straight: str, swapped: str, better: ProposalId | None, consistent: bool
) -> None:
    """A judge who goes by position says nothing."""
    verdict, usage = await judged([said(straight, "one")], [said(swapped, "two")])
    assert (verdict.one, verdict.other, verdict.better) == (ONE, OTHER, better)
    assert (verdict.consistent, verdict.judge, verdict.model) == (consistent, "judge-1", "m")
    assert (verdict.reasons, verdict.problem) == (("one", "two"), "")
    assert usage == Usage(model_calls=2, prompt_tokens=20, completion_tokens=2)


@pytest.mark.parametrize(
    "broken",
    [
        Reply(text="I like the first."),
        Reply(text='{"winner": "first"}'),
        said("both"),
        Reply(text='{"reason": "x", "better": "fir', cut_off=True),
        Reply(problem="no chat completion"),
        Reply(),
    ],
)
async def test_a_malformed_verdict_is_no_verdict(broken: Reply) -> None:
    """Never the first one, whatever the other order says; the answers are paid for all the same."""
    verdict, usage = await judged([broken, broken], [said("second", "clear")])
    assert (verdict.better, verdict.consistent) == (None, False)
    assert "no usable verdict in 2 answers" in verdict.problem
    assert verdict.reasons == ("clear",)
    assert usage.model_calls == 3


async def test_a_malformed_verdict_is_corrected_first() -> None:
    """As often as is allowed."""
    verdict, usage = await judged([Reply(text="Hm."), said("first")], [said("second")])
    assert (verdict.better, verdict.problem, usage.model_calls) == (ONE, "", 3)


async def test_a_judge_that_cannot_be_reached_is_no_verdict() -> None:
    """A task does not fail by it."""
    verdict, usage = await judged([ModelError("http://x refuses")], [said("second")])
    assert (verdict.better, verdict.consistent, verdict.problem) == (None, False, "http://x refuses")
    assert usage.model_calls == 1


async def test_what_a_judge_is_asked() -> None:
    """The phase, a schema that demands all of it, both diffs without their ids, and the rubric at the end."""
    judge = Judge([said("tie")], [said("tie")])
    await compare(judge, ENDPOINT, PAIR, user="t-1/judge-1", repairs=0)
    straight, swapped = sorted(judge.asked, key=lambda r: "first passes" not in r.messages[1]["content"])
    for request, diffs, seen in [
        (straight, ["+good", "+bad"], "first passes"),
        (swapped, ["+bad", "+good"], "second passes"),
    ]:
        text = request.messages[1]["content"]
        assert list(diffs_in(text)) == [("first", diffs[0]), ("second", diffs[1])]
        assert seen in text
        assert text.rstrip().endswith(f"- {LIBRARY.roles[Role.DEV].rubric[-1]}")
        assert not any(word in text for word in ("dev-1", "dev-2", "judge-1"))
        assert "Split {it}" in text
        assert (request.user, request.phase, request.tools) == ("t-1/judge-1", "judge", ())
        assert request.form is not None
        assert request.form.name == "verdict"
        assert request.form.schema["required"] == ["reason", "better"]
    assert straight.messages[0] == swapped.messages[0]


async def test_long_reasons_are_cut() -> None:
    """A verdict stands in an event."""
    verdict, _ = await judged([said("first", "\x1b[1m" + "r" * 9_000)], [said("second")])
    assert verdict.reasons[0] == "r" * 1_000


def test_a_judge_that_wrote_neither_is_preferred() -> None:
    """Another model, else the same one elsewhere, else what there is; in the order that is given."""
    a, b, c = (ModelChoice(url="http://h/v1", name=name) for name in "abc")
    elsewhere = ModelChoice(url="http://i/v1", name="a")
    assert impartial([a, b, c], [a]) == b
    assert impartial([a, b, c], [c]) == a
    assert impartial([a, elsewhere], [a]) == elsewhere
    assert impartial([a], [a]) == a

"""The agent's loop, replayed with scripted answers."""

import itertools
import json
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.agents import loop
from folkmoot.agents.chat import Call, Reply, Tokens
from folkmoot.agents.wire import MOST_TOKENS, Assembly, Events, ServerError, Unreadable
from folkmoot.kernel.fleet import NO_LIMIT
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget
from folkmoot.tools.table import TOOLS

OPENING = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
LOOK = Call(id="1", name="git_status", arguments="{}")
SUBMIT = Call(id="9", name="submit", arguments='{"summary": "done"}')


def _rules(**limits: float) -> loop.Rules:
    budget = Budget(
        steps=int(limits.get("steps", 50)),
        tokens=int(limits.get("tokens", 10**9)),
        cost_usd=limits.get("cost_usd", 1e9),
        wall_s=limits.get("wall_s", 1e9),
    )
    return loop.Rules(tools=tuple(TOOLS), budget=budget, price_prompt_usd=limits.get("price", 0.0))


def _play(replies: Iterable[Reply], rules: loop.Rules, *, error: str = "", step_s: float = 1.0) -> loop.Finish:
    running, source, elapsed = loop.run(OPENING, rules), iter(replies), 0.0
    effect = next(running)
    while not isinstance(effect, loop.Finish):
        elapsed += step_s
        event: loop.Event
        if isinstance(effect, loop.CallModel):
            event = loop.Answered(reply=next(source, Reply(calls=(SUBMIT,))), elapsed_s=elapsed)
        else:
            event = loop.Done(results=tuple(_done(call, error) for call in effect.calls), elapsed_s=elapsed)
        effect = running.send(event)
    with pytest.raises(StopIteration):
        next(running)
    return effect


def _done(call: loop.ToolCall, error: str) -> loop.ToolDone:
    summary = json.loads(call.arguments)["summary"] if call.name == "submit" else None
    return loop.ToolDone(text="{}", error=error, summary=summary)


def _calls(*calls: Call, cut_off: bool = False) -> Reply:
    return Reply(calls=calls, cut_off=cut_off, tokens=Tokens(prompt=100, completion=10))


def test_a_submit_ends_the_run() -> None:
    """The reason is `submitted`, the summary is the agent's, and usage is summed."""
    end = _play([_calls(LOOK), _calls(SUBMIT)], _rules())
    assert (end.submitted, end.reason, end.summary) == (True, "submitted", "done")
    assert (end.usage.model_calls, end.usage.prompt_tokens, end.usage.completion_tokens) == (2, 200, 20)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (_calls(Call(id="1", name="rm", arguments="{}")), "no tool 'rm'"),
        (_calls(Call(id="1", name="read_file", arguments='{"path": ')), "not valid JSON"),
        (_calls(Call(id="1", name="read_file", arguments='{"path": 3}')), "path: Expected `str`"),
        (Reply(), "empty"),
        (Reply(text="All done!"), "no tool"),
        (Reply(text="half", cut_off=True), "cut off"),
        (_calls(Call(id="1", name="read_file", arguments='{"pa'), cut_off=True), "cut off"),
        (Reply(problem="no chat completion"), "could not be read: no chat completion"),
    ],
)
def test_three_useless_replies_in_a_row_end_the_run_with_that_reason(reply: Reply, said: str) -> None:
    """Each is answered with a correction; one that is good in between starts the count anew."""
    end = _play([reply, reply, _calls(LOOK), reply, reply, reply], _rules())
    assert not end.submitted
    assert end.reason.startswith("3 replies in a row could not be used")
    assert said in end.reason
    assert end.usage.model_calls == 6
    assert sum(said in json.dumps(m, ensure_ascii=False).replace("\\", "") for m in end.messages) >= 5


def test_a_complete_call_counts_whatever_the_finish_reason_says() -> None:
    """vLLM may say `length` in the middle of a run of good calls."""
    assert _play([_calls(SUBMIT, cut_off=True)], _rules()).submitted


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"steps": 3}, "step limit"),
        ({"tokens": 250}, "token limit"),
        ({"cost_usd": 0.0002, "price": 1.0}, "cost limit"),
        ({"wall_s": 5}, "wall time limit"),
    ],
)
def test_every_limit_ends_the_run_and_is_named(limits: dict[str, float], named: str) -> None:
    """The first limit that is hit is the reason."""
    looks = [_calls(Call(id="1", name="read_file", arguments=f'{{"path": "{n}"}}')) for n in range(40)]
    end = _play(looks, _rules(**limits))
    assert not end.submitted
    assert end.reason.startswith(named)


def test_an_agent_in_circles_is_warned_once_then_ended() -> None:
    """Four identical calls, or three identical errors."""
    end = _play([_calls(LOOK)] * 20, _rules())
    assert end.reason.startswith("stuck: the same call 4 times")
    assert end.usage.model_calls == 8
    reads = [_calls(Call(id="1", name="read_file", arguments=f'{{"path": "{n}"}}')) for n in range(20)]
    assert _play(reads, _rules(), error="boom").reason.startswith("stuck: the same error 3 times")
    both = [_calls(LOOK), _calls(Call(id="1", name="git_log", arguments="{}"))] * 20
    assert "alternate" in _play(both, _rules()).reason


def test_every_tool_call_in_the_conversation_has_an_answer() -> None:
    """Good and bad calls in one reply: servers refuse a conversation with a call left open."""
    bad = Call(id="2", name="nope", arguments="not json")
    end = _play([_calls(LOOK, bad), _calls(SUBMIT)], _rules())
    asked = [c["id"] for m in end.messages for c in m.get("tool_calls", ())]
    assert asked == [m["tool_call_id"] for m in end.messages if m["role"] == "tool"]
    assert end.submitted


@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
def test_no_bytes_of_a_server_crash_the_loop(bodies: list[bytes], stream: bool) -> None:
    """Any bytes are a reply, or a reason why there is none; either way the run goes on or ends."""
    end = _play([_heard(body, stream=stream) for body in bodies], _rules(steps=10))
    assert end.reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "message", "delta", "tool_calls", "function", "name", "arguments", "content", "usage"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_json_of_a_server_crashes_the_loop(body: object) -> None:
    """The same for JSON that looks nearly right."""
    assert _play([_heard(json.dumps(body).encode(), stream=False)] * 3, _rules(steps=10)).reason


def test_what_a_server_claims_to_have_counted_stays_in_bounds() -> None:
    """Counts are summed up and sent as 64 bits: one absurd claim must not make a task, or the status, unreadable."""
    usage = {"prompt_tokens": 10**30, "completion_tokens": -5, "prompt_tokens_details": {"cached_tokens": 10**30}}
    reply = _heard(json.dumps({"choices": [], "usage": usage}).encode(), stream=False)
    assert reply.tokens == Tokens(prompt=MOST_TOKENS, completion=0, cached=MOST_TOKENS)


@given(st.lists(st.sampled_from([b"data: a", b"b", b"\n", b"data:", b": comment", b" \n\n"]), max_size=12))
def test_a_stream_says_the_same_however_it_is_cut(pieces: list[bytes]) -> None:
    """Servers and networks cut it where they like."""
    whole, cut = Events(), Events()
    heard = [data for piece in pieces for data in cut.feed(piece)] + cut.rest()
    assert heard == whole.feed(b"".join(pieces)) + whole.rest()


def _heard(body: bytes, *, stream: bool) -> Reply:
    assembly = Assembly()
    try:
        if stream:
            events = Events()
            for data in events.feed(b"data: " + body) + events.rest():
                assembly.event(data)
        else:
            assembly.body(body)
    except (Unreadable, ServerError) as problem:
        return Reply(problem=str(problem) or "?")
    return assembly.reply(Tokens())


# --- what the whole task may use -----------------------------------------------------------------------------------


def _shared(replies: Iterable[Reply], *, tokens: int, others: Iterable[int], last: str = "submit") -> loop.Finish:
    """A run in a task that may use so many tokens; `others`: what the other agents have used, event by event."""
    total = msgspec.structs.replace(NO_LIMIT, tokens=tokens)
    rules = msgspec.structs.replace(_rules(), total=total, last=last)
    running, source, used, own = loop.run(OPENING, rules), iter(replies), iter(others), 0
    effect = next(running)
    while not isinstance(effect, loop.Finish):
        if isinstance(effect, loop.CallModel):
            reply = next(source)
            own += reply.tokens.prompt + reply.tokens.completion
            event: loop.Event = loop.Answered(reply=reply, elapsed_s=1.0, shared=Usage(prompt_tokens=own + next(used)))
        else:
            results = tuple(_done(call, "") for call in effect.calls)
            event = loop.Done(results=results, elapsed_s=1.0, shared=Usage(prompt_tokens=own + next(used)))
        effect = running.send(event)
    return effect


def _looks() -> Iterable[Reply]:
    return (_calls(Call(id="1", name="read_file", arguments=f'{{"path": "{n}"}}')) for n in itertools.count())


def test_an_agent_hands_in_when_the_task_has_used_up_what_it_may() -> None:
    """What it has done counts; the model is not asked again, and the reason is the task's."""
    end = _shared(_looks(), tokens=1_000, others=[0, 0, 300, 900, 900])
    assert (end.submitted, end.usage.model_calls) == (True, 2)
    assert end.reason == "the task's token limit is reached: 1120 of 1000"
    assert end.summary.startswith("The task's token limit is reached")


def test_an_agent_is_told_in_time() -> None:
    """Before the call that will probably be its last, once; in words that name how to hand in."""
    end = _shared(_looks(), tokens=500, others=itertools.repeat(0))
    told = [n for n, m in enumerate(end.messages) if "may be your last answer" in m["content"]]
    assert len(told) == 1
    assert "with submit" in end.messages[told[0]]["content"]
    assert end.usage.model_calls == 5  # 110 each: the fifth crosses it
    assert _shared([*itertools.islice(_looks(), 4), _calls(SUBMIT)], tokens=500, others=itertools.repeat(0)).reason == (
        "submitted"
    )


@given(st.integers(1, 3_000), st.lists(st.integers(0, 2_000), max_size=10))
def test_no_agent_calls_its_model_when_the_task_is_known_to_be_over(tokens: int, others: list[int]) -> None:
    """So that each goes beyond by one call at most."""
    end = _shared(_looks(), tokens=tokens, others=itertools.chain(sorted(others), itertools.repeat(2_000)))
    mine = end.usage.prompt_tokens + end.usage.completion_tokens
    assert mine - 110 < tokens
    assert end.reason.startswith("the task's token limit is reached")

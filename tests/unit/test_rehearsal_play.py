"""Which turn is played, and what is counted."""

import json

import msgspec
import pytest

from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.rehearsal import play, wire
from folkmoot.rehearsal.script import Call, Script, Turn

SCRIPT = Script(
    behaviours={"b": {"propose": (Turn(text="one"), Turn(text="two"))}},
    agents={"dev-*": "b"},
)
SYSTEM: dict[str, object] = {"role": "system", "content": "you are an agent"}
SAID: dict[str, object] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "run", "arguments": "{}"}}],
}
ANSWER: dict[str, object] = {"role": "tool", "tool_call_id": "c1", "content": "{}"}


def _ask(*messages: dict[str, object], phase: str = "propose", **more: object) -> play.Ask:
    return play.understand(json.dumps({"messages": messages, "user": "task-1/dev-1", **more}).encode(), phase)


def test_the_turn_is_counted_in_the_conversation() -> None:
    """A retry and a restarted server play the same turn."""
    assert play.turn_for(SCRIPT, _ask(SYSTEM)).text == "one"
    assert play.turn_for(SCRIPT, _ask(SYSTEM, SAID, ANSWER)).text == "two"


@pytest.mark.parametrize("phase", ["propose", "judge"])
def test_past_the_last_turn_it_says_so(phase: str) -> None:
    """No call, no submission: the agent has to notice."""
    said: dict[str, object] = {"role": "assistant", "content": "x"}
    turn = play.turn_for(SCRIPT, _ask(SYSTEM, said, said, phase=phase))
    assert turn.text is not None
    assert "script is over" in turn.text
    assert not turn.calls


def test_an_agent_without_a_part_is_said() -> None:
    """With the patterns that there are."""
    with pytest.raises(NotFound, match=r"'qa-1'.*dev-\*"):
        play.turn_for(SCRIPT, _ask(SYSTEM, user="task-1/qa-1"))


@pytest.mark.parametrize("user", ["dev-1", "", "/dev-1", "task-1/"])
def test_a_user_without_task_and_agent_is_refused(user: str) -> None:
    """The part cannot be guessed."""
    with pytest.raises(InvalidInput, match="user"):
        _ask(SYSTEM, user=user)


def test_a_call_without_result_is_refused() -> None:
    """As a hosted server does, so that an agent's mistake shows here first."""
    with pytest.raises(InvalidInput, match="c1"):
        _ask(SYSTEM, SAID)
    with pytest.raises(InvalidInput, match="c1"):
        _ask(SYSTEM, SAID, {"role": "user", "content": "go on"}, ANSWER)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": 1, "user": "t/a"}', b'{"messages": []}', b"\xff"])
def test_a_broken_request_is_refused(body: bytes) -> None:
    """Whatever it is, the answer is a clear one."""
    with pytest.raises(InvalidInput):
        play.understand(body, "propose")


def test_an_unknown_phase_is_refused() -> None:
    """By the header's name."""
    with pytest.raises(InvalidInput, match="X-Folkmoot-Phase"):
        _ask(SYSTEM, phase="ponder")


def test_usage_follows_the_stated_rule() -> None:
    """Four bytes a token, rounded up per message; what the call before this one sent is cached."""
    ask = _ask(SYSTEM, SAID, ANSWER)
    sizes = [-(-len(json.dumps(m)) // 4) for m in (SYSTEM, SAID, ANSWER)]
    assert ask.prompt_tokens == sum(sizes)
    assert ask.cached_tokens == sizes[0]
    usage = wire.usage(Turn(text="12345"), ask)
    assert usage["completion_tokens"] == 2
    assert usage["total_tokens"] == sum(sizes) + 2


def test_a_stream_says_what_a_whole_answer_says() -> None:
    """Put together again: text, every call, the finish reason, and usage when asked for."""
    turn = Turn(
        text="a text that is longer than one piece, überall",
        calls=(Call(tool="run", arguments={"command": "echo " + "x" * 80}), Call(tool="no such", arguments='{"bro')),
    )
    ask = _ask(SYSTEM, stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(e.removeprefix(b"data: ")) for e in list(wire.events(turn, ask))[:-1]]
    text, calls, finish = "", [dict[str, str](), dict[str, str]()], None
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        text += choice["delta"].get("content", "")
        finish = choice["finish_reason"] or finish
        for piece in choice["delta"].get("tool_calls", []):
            call, function = calls[piece["index"]], piece["function"]
            call["id"] = piece.get("id", call.get("id"))
            call["name"] = function.get("name", call.get("name"))
            call["arguments"] = call.get("arguments", "") + function["arguments"]
    whole = json.loads(msgspec.json.encode(wire.completion(turn, ask)))
    (choice,) = whole["choices"]
    assert text == choice["message"]["content"]
    assert calls == [{"id": c["id"], **c["function"]} for c in choice["message"]["tool_calls"]]
    assert finish == choice["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"] == whole["usage"]

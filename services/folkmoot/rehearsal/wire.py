"""The shapes of an OpenAI-compatible answer, whole and as a stream. Pure."""

from collections.abc import Iterator

import msgspec

from folkmoot.kernel.ids import derived
from folkmoot.rehearsal.play import Ask, tokens
from folkmoot.rehearsal.script import Call, Turn

PIECE_CHARS = 24
"""Texts and arguments are streamed in pieces of this size, so that clients must put them together."""


def completion(turn: Turn, ask: Ask) -> dict[str, object]:
    """The body of an answer that is not streamed."""
    message: dict[str, object] = {"role": "assistant", "content": content(turn)}
    if turn.calls:
        message["tool_calls"] = _calls(turn, ask)
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(turn), "logprobs": None}
    return _envelope("chat.completion", ask) | {"choices": [choice], "usage": usage(turn, ask)}


def events(turn: Turn, ask: Ask) -> Iterator[bytes]:
    """The same answer as server-sent events, `[DONE]` included."""
    yield _chunk(ask, {"role": "assistant", "content": ""})
    for piece in _pieces(content(turn) or ""):
        yield _chunk(ask, {"content": piece})
    for i, call in enumerate(_calls(turn, ask)):
        yield from _call_chunks(ask, i, call)
    yield _chunk(ask, {}, finish_reason(turn))
    if ask.stream_usage:
        yield _event(_envelope("chat.completion.chunk", ask) | {"choices": [], "usage": usage(turn, ask)})
    yield b"data: [DONE]\n\n"


def content(turn: Turn) -> str | None:
    if turn.json is not None:
        return msgspec.json.encode(turn.json).decode()
    return turn.text


def finish_reason(turn: Turn) -> str:
    return turn.finish_reason or ("tool_calls" if turn.calls else "stop")


def usage(turn: Turn, ask: Ask) -> dict[str, object]:
    """Counted by the rule of `play.BYTES_PER_TOKEN`."""
    said = [(content(turn) or "").encode(), *((c.tool + arguments(c)).encode() for c in turn.calls)]
    completion_tokens = tokens(said)
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": ask.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": ask.cached_tokens},
    }


def arguments(call: Call) -> str:
    """The arguments as the wire has them: a string of JSON, or of whatever the script says."""
    if isinstance(call.arguments, str):
        return call.arguments
    return msgspec.json.encode(call.arguments).decode()


def error(message: str, kind: str) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def models() -> dict[str, object]:
    return {"object": "list", "data": [{"id": "rehearsal", "object": "model", "created": 0, "owned_by": "folkmoot"}]}


def _calls(turn: Turn, ask: Ask) -> list[dict[str, object]]:
    return [
        {
            "id": f"call_{ask.turn}_{i}",
            "type": "function",
            "function": {"name": call.tool, "arguments": arguments(call)},
        }
        for i, call in enumerate(turn.calls)
    ]


def _call_chunks(ask: Ask, index: int, call: dict[str, object]) -> Iterator[bytes]:
    function = call["function"]
    assert isinstance(function, dict)
    yield _chunk(ask, {"tool_calls": [call | {"index": index, "function": function | {"arguments": ""}}]})
    for piece in _pieces(str(function["arguments"])):
        yield _chunk(ask, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


def _pieces(text: str) -> Iterator[str]:
    return (text[i : i + PIECE_CHARS] for i in range(0, len(text), PIECE_CHARS))


def _chunk(ask: Ask, delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _event(_envelope("chat.completion.chunk", ask) | {"choices": [choice]})


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _envelope(kind: str, ask: Ask) -> dict[str, object]:
    """The id and the time are the same for the same turn: a retry gets the same answer, byte by byte."""
    return {
        "id": derived("chatcmpl", ask.user, ask.phase, str(ask.turn)),
        "object": kind,
        "created": 0,
        "model": ask.model,
    }

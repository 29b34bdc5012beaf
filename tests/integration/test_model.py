"""The model client against real HTTP servers that behave badly."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

import msgspec
import pytest

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import Form, ModelRequest, Reply
from folkmoot.agents.errors import ModelError
from folkmoot.agents.model import model_client
from folkmoot.runtime.log.server import free_port
from folkmoot.runtime.settings import ModelSettings

REQUEST = ModelRequest(messages=({"role": "user", "content": "hi"},), user="t-1/dev-1", phase="propose")
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
PLAIN = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()


def _http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _events(*data: object, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(d)}\n\n" for d in data] + (["data: [DONE]\n\n"] if done else [])
    return _http("".join(lines).encode(), kind="text/event-stream")


class _Stalled(bytes):
    """An answer that is sent, and then nothing: neither more of it nor its end."""


@asynccontextmanager
async def _serving(*answers: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Plays raw answers, the last one for ever; None hangs. Yields the base URL, and what was asked."""
    asked: list[bytes] = []
    handling: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        asked.append(head + await reader.readexactly(length))
        answer = answers[min(len(asked), len(answers)) - 1]
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        if answer is None or isinstance(answer, _Stalled):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://me:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", asked
        for task in handling:
            assert task is not None
            await task


async def _ask(
    url: str,
    *,
    stream: bool = False,
    slept: list[float] | None = None,
    key: str = "k",
    monotonic: Callable[[], float] = lambda: 0.0,
) -> Reply:
    async def sleep(seconds: float) -> None:
        (slept if slept is not None else []).append(seconds)

    settings = ModelSettings(attempts=3, timeout_s=0.5, stream=stream)
    async with model_client(settings, sleep, monotonic) as client:
        return await client.complete(ModelEndpoint(url=url, name="m", api_key=key), REQUEST)


async def test_an_answer_and_what_was_asked() -> None:
    """User, phase and key go with the request."""
    async with _serving(_http(PLAIN)) as (url, asked):
        assert (await _ask(url)).text == "hello"
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert b"x-folkmoot-phase: propose" in head.lower()
    assert json.loads(body)["user"] == "t-1/dev-1"


async def test_a_form_is_asked_for_as_strict_servers_want_it() -> None:
    """Name and schema, so that the server can hold the model to it; without a form nothing is said of one."""
    request = msgspec.structs.replace(REQUEST, form=Form(name="plan", schema={"type": "object"}))
    async with _serving(_http(PLAIN)) as (url, asked), model_client(ModelSettings(), asyncio.sleep) as client:
        for each in (request, REQUEST):
            await client.complete(ModelEndpoint(url=url, name="m"), each)
    formed, plain = (json.loads(body.partition(b"\r\n\r\n")[2]) for body in asked)
    schema = {"name": "plan", "strict": True, "schema": {"type": "object"}}
    assert formed["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert "response_format" not in plain


async def test_an_agents_own_temperature_goes_before_the_configured_one() -> None:
    """Zero too, which is one; whoever has none gets the configured one."""
    cool = msgspec.structs.replace(REQUEST, temperature=0.0)
    configured = ModelSettings(temperature=0.9)
    async with _serving(_http(PLAIN)) as (url, asked), model_client(configured, asyncio.sleep) as client:
        for each in (cool, REQUEST):
            await client.complete(ModelEndpoint(url=url, name="m"), each)
    bodies = [json.loads(body.partition(b"\r\n\r\n")[2]) for body in asked]
    assert [b["temperature"] for b in bodies] == [0.0, 0.9]


async def test_a_streamed_tool_call_is_put_together() -> None:
    """Deltas by index, usage at the end with what was cached."""
    async with _serving(
        _events(
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "run"}}]}}]},
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"command"'}}]}}]},
            {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ': "ls"}'}}]}}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {
                "choices": [],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
            },
        )
    ) as (url, _):
        reply = await _ask(url, stream=True)
    assert [(c.id, c.name, c.arguments) for c in reply.calls] == [("a", "run", '{"command": "ls"}')]
    assert (reply.tokens.prompt, reply.tokens.completion, reply.tokens.cached) == (9, 2, 4)


async def test_what_may_pass_is_tried_again() -> None:
    """429 with the wait that was asked for, then 500, then an answer."""
    slept: list[float] = []
    busy = _http(b"{}", status="429 Too Many Requests", more="retry-after: 7\r\n")
    async with _serving(busy, _http(b"{}", status="500 Oops"), _http(PLAIN)) as (url, asked):
        assert (await _ask(url, slept=slept)).text == "hello"
    assert len(asked) == 3
    assert 7 <= slept[0] < 12


@pytest.mark.parametrize(
    ("answer", "said", "tries"),
    [
        (None, "hangs", 1),
        (_http(b"<html>hi</html>", kind="text/html"), "web page", 1),
        (_http(b"{}", status="401 No"), "401: the key", 1),
        (_http(b"{}", status="403 No"), "403: the key", 1),
        (_http(b'{"error": {"message": "no such model"}}', status="404 No"), "404: wrong base URL.*no such model", 1),
        (_http(b"{}", status="500 Oops"), r"500.*after 3 attempts", 3),
        (_events({"choices": [{"delta": {"content": "ha"}}]}, done=False), "broke off", 3),
        (b"", "connection broke", 3),
        (b"SSH-2.0-OpenSSH\r\n", "connection broke", 3),
        (_http(PLAIN)[:-20], "connection broke", 3),
    ],
)
async def test_a_server_that_cannot_be_used_is_told_in_words(answer: bytes | None, said: str, tries: int) -> None:
    """The reason names the URL without credentials; only what may pass is tried again."""
    async with _serving(answer) as (url, asked):
        with pytest.raises(ModelError, match=said) as error:
            await _ask(url, stream=True)
    assert len(asked) == tries
    assert "127.0.0.1" in str(error.value)
    assert "hush" not in str(error.value)


async def test_a_process_that_overslept_asks_again() -> None:
    """A time-out that comes seconds late is no silence of the model: its answer may have come meanwhile."""
    asleep = count(step=10.0)
    async with _serving(None, _http(PLAIN)) as (url, asked):
        assert (await _ask(url, monotonic=lambda: next(asleep))).text == "hello"
    assert len(asked) == 2


async def test_a_wait_begins_anew_with_each_piece_of_an_answer() -> None:
    """However long an answer took so far, a server that is silent in the middle of it hangs."""
    moments = iter([0.0, 20.0, 40.0, 40.5])
    """The call, the request that is out, a piece, the time-out."""
    begun = _events({"choices": [{"delta": {"content": "ha"}}]})
    async with _serving(_Stalled(begun[:-1])) as (url, asked):
        with pytest.raises(ModelError, match="hangs"):
            await _ask(url, stream=True, monotonic=lambda: next(moments))
    assert len(asked) == 1


async def test_a_process_that_oversleeps_each_time_gives_up() -> None:
    """After as many attempts as any call has, in words that do not blame the server."""
    asleep = count(step=10.0)
    async with _serving(None) as (url, asked):
        with pytest.raises(ModelError, match=r"this process slept.*after 3 attempts"):
            await _ask(url, monotonic=lambda: next(asleep))
    assert len(asked) == 3


async def test_a_refused_connection_is_told_in_words() -> None:
    """Nobody listens."""
    with pytest.raises(ModelError, match="refuses the connection"):
        await _ask(f"http://127.0.0.1:{free_port()}/v1")


@pytest.mark.parametrize("url", ["http://xn--/v1", "http://[::1/v1", "http://\u0660:x/v1"])
async def test_a_url_that_is_none_is_told_in_words(url: str) -> None:
    """Whoever asks for a task names it: it is that task's problem, never a fault."""
    with pytest.raises(ModelError, match="no usable URL"):
        await _ask(url)


@pytest.mark.parametrize(
    "body", [b'{"choices": [', b"{}", b"", b"\xff\xfe", b"[" * 100_000, b'{"choices": [{"message": 3}]}']
)
async def test_a_body_that_is_no_completion_is_a_reply_with_a_problem(body: bytes) -> None:
    """The loop corrects the model, and gives up after three."""
    async with _serving(_http(body)) as (url, _):
        assert (await _ask(url)).problem


KEY = "sk-123456-abcdef"


@pytest.mark.parametrize(
    "answer",
    [
        _http(json.dumps({"error": {"message": f"{'x' * 490} {KEY} is wrong"}}).encode(), status="401 No"),
        _http(f"Bearer {KEY} has no credit".encode(), status="500 Oops"),
        _events({"choices": []}, {"error": {"message": f"{'x' * 490} {KEY} is out of credit"}}),
    ],
)
async def test_an_error_that_repeats_the_key_does_not_reveal_it(answer: bytes) -> None:
    """Reasons are kept in the log for ever: no part of the key gets there, wherever the words are cut."""
    async with _serving(answer) as (url, _):
        with pytest.raises(ModelError) as error:
            await _ask(url, stream=True, key=KEY)
    assert "[redacted:key" in str(error.value) or "xxx" in str(error.value)
    assert KEY[:6] not in str(error.value)
    assert KEY[:6] not in str(error.value.__cause__)


async def test_an_answer_that_repeats_the_key_is_kept_without_it() -> None:
    """Text and arguments of calls go to the transcript and the steps."""
    call = {"id": "a", "function": {"name": "run", "arguments": json.dumps({"command": f"echo {KEY}"})}}
    message = {"content": f"Your key {KEY} is not valid", "tool_calls": [call]}
    async with _serving(_http(json.dumps({"choices": [{"message": message}]}).encode())) as (url, _):
        reply = await _ask(url, key=KEY)
    assert reply.text == "Your key [redacted:key] is not valid"
    assert reply.calls[0].arguments == '{"command": "echo [redacted:key]"}'

"""The rehearsal model as a real server and as a real process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.rehearsal.script import Script, parse
from folkmoot.rehearsal.server import serving

SCRIPT = """
agents: {right: right, flaky: flaky, hangs: hangs, html: html, raw: raw, drops: drops, judge: judge, cut: cut}
behaviours:
  right: {propose: [{text: hi, calls: [{tool: run, arguments: {command: ls}}]}]}
  flaky: {propose: [{status: 500, times: 2, text: better}, {status: 401}]}
  hangs: {propose: [{hang: true}]}
  html: {propose: [{html: true}]}
  raw: {propose: [{raw: '{"choices": ['}]}
  drops: {propose: [{text: a text that is cut in the middle, drop: true}]}
  judge: {judge: [{json: {winner: first}}]}
  cut: {propose: [{text: half a, finish_reason: length}]}
"""


@pytest.fixture
def script() -> Script:
    return parse(SCRIPT)


@pytest.fixture
async def client(script: Script) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(script) as address, httpx.AsyncClient(base_url=f"http://{address}/v1", timeout=10) as client:
        yield client


async def _ask(client: httpx.AsyncClient, agent: str, *, phase: str = "propose", **more: object) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "go"}], "user": f"task-1/{agent}", "model": "m", **more}
    return await client.post("/chat/completions", json=body, headers={"X-Folkmoot-Phase": phase})


async def test_an_answer_has_the_usual_shape(client: httpx.AsyncClient) -> None:
    """Message, tool calls, finish reason and usage; byte for byte the same when asked again."""
    answer = await _ask(client, "right")
    (choice,) = answer.json()["choices"]
    assert choice["message"]["content"] == "hi"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "run", "arguments": '{"command":"ls"}'}
    assert choice["finish_reason"] == "tool_calls"
    assert answer.json()["usage"]["prompt_tokens"] > 0
    assert (await _ask(client, "right")).content == answer.content


async def test_a_stream_ends_as_streams_do(client: httpx.AsyncClient) -> None:
    """Server-sent events with `[DONE]` at the end."""
    answer = await _ask(client, "right", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.rstrip().endswith("data: [DONE]")


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    """What clients ask first."""
    assert [m["id"] for m in (await client.get("/models")).json()["data"]] == ["rehearsal"]


async def test_a_schema_phase_gets_its_object(client: httpx.AsyncClient) -> None:
    """As the text of the answer, since that is where structured output stands."""
    answer = await _ask(client, "judge", phase="judge")
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == {"winner": "first"}


async def test_a_cut_off_answer_says_so(client: httpx.AsyncClient) -> None:
    """`length` is the finish reason that clients must notice."""
    assert (await _ask(client, "cut")).json()["choices"][0]["finish_reason"] == "length"


async def test_a_status_is_answered_as_often_as_the_script_says(client: httpx.AsyncClient) -> None:
    """Twice 500, then the answer; a retry that gives up too soon is noticed."""
    statuses = [(await _ask(client, "flaky")).status_code for _ in range(4)]
    assert statuses == [500, 500, 200, 200]


async def test_a_status_without_a_count_stays(client: httpx.AsyncClient) -> None:
    """With an error body of the usual shape."""
    said: list[dict[str, object]] = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "better"}]
    for _ in range(3):
        answer = await _ask(client, "flaky", messages=said)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_api_key"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dropped_line_is_seen_by_the_client(client: httpx.AsyncClient, stream: bool) -> None:
    """The connection closes with the answer half sent, streamed or not."""
    with pytest.raises(httpx.RemoteProtocolError):
        await _ask(client, "drops", stream=stream)
    assert (await _ask(client, "right")).status_code == 200


async def test_a_page_and_a_broken_body_are_sent_as_they_are(client: httpx.AsyncClient) -> None:
    """With status 200: only the body shows that something is wrong."""
    page, body = await _ask(client, "html"), await _ask(client, "raw")
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert (body.status_code, body.text) == (200, '{"choices": [')


async def test_a_hanging_answer_holds_nobody_else(client: httpx.AsyncClient) -> None:
    """The one waits until it gives up, the other is served."""
    async with asyncio.TaskGroup() as tasks:
        hanging = tasks.create_task(_gives_up(client))
        assert (await _ask(client, "right")).status_code == 200
    assert hanging.result()


async def test_a_hanging_answer_does_not_hold_the_end(script: Script) -> None:
    """The server ends though a client still waits, and the client is not left waiting."""
    async with asyncio.timeout(8):
        async with serving(script) as address:
            reader, writer = await _hang(address)
            async with httpx.AsyncClient(base_url=f"http://{address}/v1") as client:
                await client.get("/models")
        await reader.read()
        writer.close()


async def test_an_error_in_the_block_comes_out_as_it_is(script: Script) -> None:
    """Not inside a group: who serves for a while need not know how."""
    with pytest.raises(KeyError):
        async with serving(script):
            raise KeyError
    with pytest.raises(InvalidInput, match="listen"):
        async with serving(script, "nowhere"):
            pass


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"user": "task-1/right"}, 400, "messages"),
        ({"user": "right", "messages": [{"role": "user"}]}, 400, "user"),
        ({"user": "task-1/nobody", "messages": [{"role": "user"}]}, 404, "nobody"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    client: httpx.AsyncClient, body: dict[str, object], status: int, word: str
) -> None:
    """In the shape of the API's errors."""
    answer = await client.post("/chat/completions", json=body)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


async def _gives_up(client: httpx.AsyncClient) -> bool:
    with pytest.raises(httpx.ReadTimeout):
        await client.post(
            "/chat/completions",
            json={"messages": [{"role": "user"}], "user": "task-1/hangs"},
            timeout=0.3,
        )
    return True


async def _hang(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the answer is awaited that never comes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"messages": [{"role": "user"}], "user": "task-1/hangs"}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def _process(*arguments: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "folkmoot.rehearsal",
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_process_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    """One line of JSON when ready; SIGTERM ends it with 0 and no noise."""
    process = await _process("--script", "demo", "--cast", "dev-1=wrong", folder=tmp_path)
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["service"] == "rehearsal"
    async with httpx.AsyncClient(base_url=ready["url"]) as client:
        first = await _ask(client, "dev-1")
        assert "The story names" in first.json()["choices"][0]["message"]["content"]
        assert (await _ask(client, "dev-2")).status_code == 404
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_the_process_refuses_a_wrong_script(tmp_path: Path) -> None:
    """With the field, and the exit code that says that another start changes nothing."""
    (tmp_path / "bad.yaml").write_text("agents: {a: b}\nbehaviours: {}\n")
    process = await _process("--script", "bad.yaml", folder=tmp_path)
    _, err = await process.communicate()
    assert process.returncode == 78
    assert err.startswith(b"rehearsal: agents.a:")


async def test_a_command_is_accompanied(tmp_path: Path) -> None:
    """It gets the server's URL, its exit code is ours, and nothing of ours stands on its output."""
    ask = "import sys, httpx; print(httpx.get(sys.argv[1] + '/models').json()['data'][0]['id']); sys.exit(3)"
    process = await _process("--script", "demo", "--", sys.executable, "-c", ask, "{url}", folder=tmp_path)
    assert (*await process.communicate(), process.returncode) == (b"rehearsal\n", b"", 3)


async def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    """By its name, before anything is served."""
    process = await _process("--script", "demo", "--", "no-such-program", folder=tmp_path)
    _, err = await process.communicate()
    assert process.returncode == 78
    assert b"command: no-such-program is no program" in err


async def test_the_end_is_passed_on_to_the_command(tmp_path: Path) -> None:
    """SIGTERM ends both, and the exit code says how the command ended."""
    wait = "import sys; print('here', flush=True); sys.stdin.read()"
    process = await _process("--script", "demo", "--", sys.executable, "-c", wait, folder=tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await process.wait() == 128 + signal.SIGTERM


async def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Though nobody tells it: the pipe that only it holds is closed."""
    start = (
        "import subprocess, sys, os\n"
        "child = subprocess.Popen([sys.executable, '-m', 'folkmoot.rehearsal', '--script', 'demo'])\n"
        "os.read(0, 1)\n"
        "os._exit(0)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        start,
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),  # noqa: TID251 -- a child like any other
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    await parent.stdout.readline()
    parent.stdin.close()
    async with asyncio.timeout(10):
        assert await parent.stdout.read() == b""
        assert await parent.wait() == 0

"""The rehearsal model's HTTP side: OpenAI-compatible, and every fault that a script asks for."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.rehearsal import play, wire
from folkmoot.rehearsal.script import Script, Turn
from folkmoot.runtime.supervise import first_leaf

_PAGE = "<!doctype html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>"
_KINDS = {401: "invalid_api_key", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_exceeded"}
_GRACE_S = 1
"""Given to running answers at shutdown; a hanging one would hold the process for ever."""
_KEEP_ALIVE_S = 75
"""As hosted servers have it: an agent may run tests for a while between two calls."""


class Rehearsal:
    """One script on stage. Its only memory is how often a turn's `status` was answered."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._refused: Counter[tuple[str, str, int]] = Counter()

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        try:
            ask = play.understand(await request.body(), request.headers.get("X-Folkmoot-Phase", "propose"))
            turn = play.turn_for(self._script, ask)
        except InvalidInput as error:
            return _json(wire.error(str(error), "invalid_request_error"), 400)
        except NotFound as error:
            return _json(wire.error(str(error), "not_found_error"), 404)
        await asyncio.sleep(self._script.latency_s + turn.delay_s)
        status = self._status(turn, ask)
        return _json(wire.error(f"scripted status {status}", _kind(status)), status) if status else _answer(turn, ask)

    def _status(self, turn: Turn, ask: play.Ask) -> int | None:
        key = (ask.user, ask.phase, ask.turn)
        if turn.status is None or (turn.times is not None and self._refused[key] >= turn.times):
            return None
        self._refused[key] += 1
        return turn.status


def application(script: Script) -> Starlette:
    rehearsal = Rehearsal(script)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", rehearsal.complete, methods=["POST"]),
            Route("/v1/models", _models),
        ]
    )


@asynccontextmanager
async def serving(script: Script, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve `script` at `listen` (port 0: any) inside the block; gives the address as `host:port`.

    Raises InvalidInput when `listen` is no address that can be had.
    """
    with _listening(listen) as sock:
        host, port = sock.getsockname()[:2]
        config = uvicorn.Config(
            application(script),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        server = _Server(config)
        with _plain_errors():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[sock]), name="rehearsal-http")
                try:
                    yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                finally:
                    server.should_exit = True


@contextmanager
def _plain_errors() -> Iterator[None]:
    """The block's own error, without the group that a TaskGroup puts around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise first_leaf(group) from None


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to a server in it."""
        yield


class _Hanging(Response):
    """No byte until the client goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class _Dropped(Response):
    """The first half of an answer; the server closes a connection whose answer was not completed."""

    def __init__(self, whole: bytes, media_type: str, *, stream: bool) -> None:
        super().__init__(whole, media_type=media_type)
        if stream:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        half = bytes(self.body)[: max(1, len(self.body) // 2)]
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _answer(turn: Turn, ask: play.Ask) -> Response:
    if turn.hang:
        return _Hanging()
    if turn.drop:
        return _dropped(turn, ask)
    if turn.html:
        return HTMLResponse(_PAGE)
    if turn.raw is not None:
        return Response(turn.raw, media_type="application/json")
    if ask.stream:
        return StreamingResponse(_each(wire.events(turn, ask)), media_type="text/event-stream")
    return _json(wire.completion(turn, ask))


def _dropped(turn: Turn, ask: play.Ask) -> Response:
    if ask.stream:
        return _Dropped(b"".join(wire.events(turn, ask)), "text/event-stream", stream=True)
    return _Dropped(msgspec.json.encode(wire.completion(turn, ask)), "application/json", stream=False)


async def _each(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


async def _models(_: Request) -> Response:
    return _json(wire.models())


def _json(body: dict[str, object], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def _kind(status: int) -> str:
    return _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidInput("listen", f"{listen!r} is not host:port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host.strip("[]"), int(port)), family=family)
    except (OSError, OverflowError) as error:
        raise InvalidInput("listen", f"{listen}: {error}") from error
    # Connections inherit it. asyncio does so itself only where a socket names its protocol, which this one does not:
    # an answer in two pieces would then wait 40 ms for the client's acknowledgement of the first.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server

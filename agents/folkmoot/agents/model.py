"""Client of an OpenAI-compatible model server: time-outs, retries, and errors in words that a person can act on."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx
import msgspec
import tenacity

from folkmoot.agents.assignment import ModelEndpoint
from folkmoot.agents.chat import ModelRequest, Reply, Tokens
from folkmoot.agents.errors import ModelBusy, ModelError
from folkmoot.agents.observed import observed_model
from folkmoot.agents.wire import Assembly, Events, ServerError, Unreadable, error_words, looks_like_html
from folkmoot.runtime.redact import redacted, without
from folkmoot.runtime.settings import ModelSettings

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A server that sends for ever must not fill the memory."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LONGEST_WAIT_S = 300.0
"""A server may ask for more patience than this; it does not get it."""
WORDS_CHARS = 500
"""Of what a server says about an error."""
KEY_CHARS = 12
"""A shorter key is a placeholder, as local servers want one, and may stand in an honest answer."""
OVERSLEPT_S = 0.25
"""A time-out that comes so much too late says that this process did not run: not that the model was silent."""

Sleep = Callable[[float], Awaitable[None]]
Monotonic = Callable[[], float]


class ModelClient:
    """Calls models over one shared HTTP client; `sleep` waits between attempts."""

    def __init__(self, http: httpx.AsyncClient, settings: ModelSettings, sleep: Sleep, monotonic: Monotonic) -> None:
        self._http = http
        self._settings = settings
        self._sleep = sleep
        self._monotonic = monotonic

    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        """One answer; one that cannot be read is a Reply with `problem`. Raises ModelError, whose message names the
        URL without credentials."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(ModelBusy),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._settings.attempts),
            sleep=self._sleep,
            retry_error_callback=_out_of_attempts,
        )
        with observed_model(endpoint, self._settings) as call:
            reply: Reply = await retrying(self._once, endpoint, request)
            call.reply = reply
        return reply

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jittered = tenacity.wait_random_exponential(multiplier=0.5, max=self._settings.backoff_max_s)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ModelBusy) else None
        return jittered if asked is None else min(asked, LONGEST_WAIT_S) + jittered / 10

    async def _once(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        body = msgspec.json.encode(_body(endpoint, request, self._settings))
        where, silence = shown(endpoint.url), _Silence(self._monotonic)
        with _mapped(where, self._settings, silence):
            async with self._http.stream(
                "POST",
                f"{endpoint.url.rstrip('/')}/chat/completions",
                content=body,
                headers=_headers(endpoint, request),
                timeout=httpx.Timeout(self._settings.timeout_s, connect=self._settings.connect_timeout_s),
                extensions={"trace": silence.trace},
            ) as response:
                pieces = _pieces(response, silence)
                if response.status_code != httpx.codes.OK:
                    raise _refused(response, await _whole(pieces), endpoint)
                reply = await _read(response, pieces, endpoint, Tokens(prompt=len(body) // 4))
                return _without_key(reply, endpoint.api_key)


@asynccontextmanager
async def model_client(
    settings: ModelSettings, sleep: Sleep, monotonic: Monotonic = time.monotonic
) -> AsyncIterator[ModelClient]:
    """A client with connections of its own. The environment's proxies are not asked: a URL means what it says."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(limits=limits, trust_env=False, follow_redirects=False) as http:
        yield ModelClient(http, settings, sleep, monotonic)


def shown(url: str) -> str:
    """`url` without credentials, query and fragment."""
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))
    except (httpx.InvalidURL, ValueError):
        return "the model's URL"


def _body(endpoint: ModelEndpoint, request: ModelRequest, settings: ModelSettings) -> dict[str, object]:
    body: dict[str, object] = {
        "model": endpoint.name,
        "messages": request.messages,
        "user": request.user,
        "temperature": settings.temperature if request.temperature is None else request.temperature,
        "max_tokens": settings.max_output_tokens,
        "stream": settings.stream,
    }
    if settings.stream:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = request.tools
    if request.form:
        schema = {"name": request.form.name, "strict": True, "schema": request.form.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _headers(endpoint: ModelEndpoint, request: ModelRequest) -> dict[str, str]:
    headers = {"content-type": "application/json", "x-folkmoot-phase": request.phase}
    return headers | {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else headers


class _Silence:
    """For how long nothing has come, by the clock of this process."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._since = monotonic()

    def broken(self) -> None:
        self._since = self._monotonic()

    async def trace(self, event: str, _: Mapping[str, object]) -> None:
        """httpx tells what it does: the request is out."""
        if event.endswith(".receive_response_headers.started"):
            self.broken()

    def overslept(self, timeout_s: float) -> bool:
        """Whether a time-out that has just ended a wait came too late."""
        return self._monotonic() - self._since > timeout_s + OVERSLEPT_S


async def _read(
    response: httpx.Response, pieces: AsyncIterator[bytes], endpoint: ModelEndpoint, estimate: Tokens
) -> Reply:
    assembly, where = Assembly(), shown(endpoint.url)
    try:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            await _read_events(pieces, assembly)
            if not assembly.done:
                raise ModelBusy(f"{where}: the answer broke off in the middle")
        else:
            body = await _whole(pieces)
            if looks_like_html(body):
                raise ModelError(f"{where} answered with a web page instead of JSON: is this the base URL of the API?")
            assembly.body(body)
    except Unreadable as problem:
        return Reply(problem=_words(problem, endpoint), tokens=estimate)
    except ServerError as error:
        raise ModelBusy(f"{where} reports an error: {_words(error, endpoint)}") from None  # its own text is uncut
    return assembly.reply(estimate)


def _words(said: object, endpoint: ModelEndpoint) -> str:
    """What a server said, for the log: short, and without the key, which some repeat."""
    words = str(said)
    return redacted(words, endpoint.api_key)[:WORDS_CHARS]


def _without_key(reply: Reply, key: str) -> Reply:
    """Some gateways answer a wrong key as if the model said it; transcripts are kept."""
    body, secret = msgspec.json.encode(reply).decode(), msgspec.json.encode(key).decode()[1:-1]
    if len(key) < KEY_CHARS or secret not in body:
        return reply
    return msgspec.json.decode(without(body, secret), type=Reply)


async def _read_events(pieces: AsyncIterator[bytes], assembly: Assembly) -> None:
    events = Events()
    async for piece in pieces:
        for data in events.feed(piece):
            assembly.event(data)
    for data in events.rest():
        assembly.event(data)


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def _pieces(response: httpx.Response, silence: _Silence) -> AsyncIterator[bytes]:
    size = 0
    async for piece in response.aiter_bytes():
        silence.broken()
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise ModelError(f"{shown(str(response.url))} sent more than {MAX_ANSWER_BYTES} bytes")
        yield piece


@contextmanager
def _mapped(where: str, settings: ModelSettings, silence: _Silence) -> Iterator[None]:
    """Turns what httpx raises into our errors."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
        raise _in_words(error, where, settings, silence) from error


def _in_words(error: Exception, where: str, settings: ModelSettings, silence: _Silence) -> ModelError:
    match error:
        case httpx.ConnectTimeout():
            return ModelBusy(f"{where}: no connection within {settings.connect_timeout_s:g} s")
        case httpx.ConnectError() if "[Errno -" in str(error):  # of getaddrinfo; those of connect are positive
            return ModelBusy(f"{where}: nobody knows this host name")
        case httpx.ConnectError():
            return ModelBusy(f"{where} refuses the connection: is a model server running there?")
        case httpx.ReadTimeout() if silence.overslept(settings.timeout_s):  # the answer may lie unread
            return ModelBusy(f"{where}: this process slept while it waited for an answer")
        case httpx.ReadTimeout():
            return ModelError(f"{where} hangs: nothing came for {settings.timeout_s:g} s")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return ModelError(f"{where} is no usable URL, or the key no usable header: {type(error).__name__}")
        case httpx.DecodingError():
            return ModelError(f"{where} sent an answer whose compression is broken")
        case _:
            return ModelBusy(f"{where}: the connection broke ({type(error).__name__})")


def _refused(response: httpx.Response, body: bytes, endpoint: ModelEndpoint) -> ModelError:
    where, status, said = shown(endpoint.url), response.status_code, _words(error_words(body), endpoint)
    tail = f": {said}" if said else ""
    if status in RETRIED:
        return ModelBusy(f"{where} answers {status}{tail}", _retry_after(response))
    if status in (401, 403):
        return ModelError(f"{where} answers {status}: the key is missing or wrong (FOLKMOOT_MODEL_API_KEY){tail}")
    if status == 404:
        return ModelError(f"{where} answers 404: wrong base URL, or no model {endpoint.name!r} there{tail}")
    return ModelError(f"{where} answers {status}{tail}")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; a date is not worth a parser, our own back-off will do."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _out_of_attempts(state: tenacity.RetryCallState) -> Reply:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert error is not None
    raise ModelError(f"{error} (after {state.attempt_number} attempts)") from error

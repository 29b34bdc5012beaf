"""Asking a model server which models it has: so that nobody must name the only one."""

import asyncio

import httpx
import msgspec

from folkmoot.cli.codes import Code, Stopped

ASK_S = 5.0
"""Longest wait for the list of models."""
LIST_BYTES = 4 * 1024**2
"""A server that sends for ever must not fill the memory."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class NoAnswer(Exception):
    """The server does not answer as an OpenAI-compatible one; the message says how."""


async def listed(url: str, api_key: str) -> list[str]:
    """Names of the models at `url`; raises NoAnswer."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with asyncio.timeout(ASK_S):
            status, body = await _got(f"{url.rstrip('/')}/models", headers)
    except httpx.ConnectError as error:
        raise NoAnswer("nobody answers there; is a model server running?") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise NoAnswer(f"nothing came for {ASK_S:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    if status in (404, 405):
        return []  # no list of models is no fault: the API proper is chat/completions
    if status in (401, 403):
        raise NoAnswer(f"answers {status}: the key is missing or wrong (FOLKMOOT_MODEL_API_KEY)")
    if status != httpx.codes.OK:
        raise NoAnswer(f"answers {status}")
    try:
        return [m.id for m in msgspec.json.decode(body, type=_Models).data]
    except msgspec.MsgspecError as error:
        raise NoAnswer(f"its list of models cannot be read ({error}): is this the base URL of the API?") from error


async def _got(url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """As the agents ask: no proxy of the environment, no redirect that would carry the key elsewhere."""
    body = bytearray()
    async with (
        httpx.AsyncClient(timeout=ASK_S, headers=headers, trust_env=False, follow_redirects=False) as client,
        client.stream("GET", url) as reply,
    ):
        async for piece in reply.aiter_bytes():
            body += piece
            if len(body) > LIST_BYTES:
                raise NoAnswer(f"sends more than {LIST_BYTES} bytes: is this the base URL of the API?")
        return reply.status_code, bytes(body)


async def only(url: str, api_key: str) -> str:
    """The name of the one model at `url`. Raises Stopped when there is none or a choice."""
    hint = "name it with --model or FOLKMOOT_MODEL_NAME"
    try:
        names = await listed(url, api_key)
    except NoAnswer as error:
        raise Stopped(
            Code.USAGE, f"no model name is given, and {url} does not list its models: {error}", hint
        ) from error
    if len(names) == 1:
        return names[0]
    found = f"has {len(names)} models: {', '.join(names[:10])}" if names else "does not list its models"
    raise Stopped(Code.USAGE, f"no model name is given, and {url} {found}", hint)

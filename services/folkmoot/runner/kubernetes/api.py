"""The API server, as far as workspaces need it: JSON over HTTPS, and what it refuses mapped to our errors, once.

kubernetes_asyncio brings credentials, TLS and their renewal; its models would cost more than they tell.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from folkmoot.kernel.errors import (
    Conflict,
    FolkmootError,
    InvalidInput,
    Misconfigured,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from folkmoot.runner.kubernetes.wire import Status
from folkmoot.runtime.settings import KubernetesSettings

Json = dict[str, Any]
"""An object of the API, read part by part where it is known what it holds."""

_RETRY_S = 2.0
_PAUSE_S = 0.25
_WATCH_S = 300.0
"""Longer than a server lets a watch be: one that is silent for so long is dead."""
_MERGE = {"Content-Type": "application/merge-patch+json"}
_FRAME_BYTES = 16 * 1024**2
_PARTING_S = 0.25
"""For TLS connections to end: aiohttp's own documentation asks for it, since its session does not wait."""


class Api:
    """Of one namespace."""

    def __init__(self, configuration: Configuration, settings: KubernetesSettings) -> None:
        self.namespace = settings.namespace
        self.server = str(configuration.host)
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._session: aiohttp.ClientSession = self._client.rest_client.pool_manager
        self._request_s = settings.request_s

    async def close(self) -> None:
        await self._client.close()
        await asyncio.sleep(_PARTING_S)

    # --- objects

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Asked again while the server is away. Raises what `failure` says, Unavailable."""
        return await self._patiently("GET", path, query=query)

    async def create(self, *path: str, body: object) -> Json:
        """Repeated while the server is away: names are derived, and the second meets the first (Conflict)."""
        return await self._patiently("POST", path, body=body)

    async def patch(self, *path: str, body: object) -> Json:
        """A merge patch: repeating it changes nothing."""
        return await self._patiently("PATCH", path, body=body, headers=_MERGE)

    async def delete(self, *path: str, version: str = "") -> None:
        """With what belongs to it, at once; fine where it is gone already. Raises Conflict where it is not as it was at
        `version`, if one is said."""
        body: Json = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        if version:
            body["preconditions"] = {"resourceVersion": version}
        with contextlib.suppress(NotFound):
            await self._patiently("DELETE", path, body=body)

    async def watch(self, *path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """Events until the server ends them. Raises Unavailable, and what `failure` says (410 as Conflict)."""
        url = self._url(path, {**query, "watch": "1"})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._request_s, sock_read=_WATCH_S)
        try:
            async with self._session.get(url, headers=await self._headers(), timeout=timeout) as answer:
                await _check(answer)
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise failure(int(event["object"].get("code", 500)), json.dumps(event["object"]).encode(), {})
                    yield event
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _away(error) from error

    async def _patiently(
        self,
        method: str,
        path: Sequence[str],
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        until = asyncio.get_running_loop().time() + self._request_s
        while True:
            try:
                return await self._once(method, path, query or {}, body, headers or {})
            except Unavailable:
                if asyncio.get_running_loop().time() >= until:
                    raise
                await asyncio.sleep(_PAUSE_S)

    async def _once(
        self, method: str, path: Sequence[str], query: Mapping[str, str], body: object, headers: Mapping[str, str]
    ) -> Json:
        data = None if body is None else json.dumps(body)
        content = {} if body is None else {"Content-Type": "application/json"}
        sent = {**await self._headers(), **content, **headers}
        timeout = aiohttp.ClientTimeout(total=self._request_s)
        try:
            async with self._session.request(
                method, self._url(path, query), data=data, headers=sent, timeout=timeout
            ) as answer:
                await _check(answer)
                found: Json = await answer.json(content_type=None)
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _away(error) from error

    # --- exec

    @contextlib.asynccontextmanager
    async def exec(
        self, pod: str, container: str, argv: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A websocket of `v5.channel.k8s.io`. Raises what `failure` says, Unavailable: then nothing has begun."""
        query = [("container", container), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
        query += [("command", part) for part in argv]
        url = f"{self._url(('v1', 'pods', pod, 'exec'), {})}?{urlencode(query)}"
        try:
            socket = await asyncio.wait_for(self._connected(url), self._request_s)
        except aiohttp.WSServerHandshakeError as error:
            raise failure(error.status, b"", error.headers or {}) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from error
        try:
            yield socket
        finally:
            await socket.close()

    async def _connected(self, url: str) -> aiohttp.ClientWebSocketResponse:
        timeout = aiohttp.ClientWSTimeout(ws_close=2.0)
        socket = await self._session.ws_connect(
            url,
            protocols=("v5.channel.k8s.io",),
            headers=await self._headers(),
            timeout=timeout,
            max_msg_size=_FRAME_BYTES,
        )
        if socket.protocol != "v5.channel.k8s.io":
            await socket.close()
            raise Misconfigured("the API server does not speak v5.channel.k8s.io: it needs Kubernetes 1.30 or later")
        return socket

    # --- both

    def _url(self, path: Sequence[str], query: Mapping[str, str]) -> str:
        """`path` is the API's group and version (`v1`, `batch/v1`), then the parts behind the namespace; or all of it,
        if it begins with a slash."""
        if path[0].startswith("/"):
            return self.server + path[0]
        version, *rest = path
        root = "api" if "/" not in version else "apis"
        place = "/".join(quote(part, safe="") for part in rest)
        tail = f"?{urlencode(query)}" if query else ""
        parts = (self.server, root, version, "namespaces", self.namespace, place)
        return "/".join(filter(None, parts)) + tail

    async def _headers(self) -> dict[str, str]:
        """Tokens of a service account are renewed behind our back."""
        settings = await self._configuration.auth_settings()
        return {str(s["key"]): str(s["value"]) for s in settings.values() if s["in"] == "header" and s["value"]}


@contextlib.asynccontextmanager
async def connected(settings: KubernetesSettings) -> AsyncIterator[Api]:
    """Closed at the end. Raises Misconfigured where nothing says where the cluster is."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # each command under way holds a connection
    try:
        if settings.kubeconfig:
            await load_kube_config(str(Path(settings.kubeconfig).expanduser()), client_configuration=configuration)
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise Misconfigured(
            f"no cluster for workspaces: {error}; set FOLKMOOT_KUBERNETES_KUBECONFIG, or run the runner in the cluster"
        ) from error
    api = Api(configuration, settings)
    try:
        yield api
    finally:
        await api.close()


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        raise failure(answer.status, await answer.read(), answer.headers)


def failure(code: int, body: bytes, headers: Mapping[str, str]) -> FolkmootError:
    """What an answer of the API server means to us."""
    said = explained(body) or f"the API server answered {code}"
    match code:
        case 401 | 403 if "exceeded quota" in said:
            return ResourceExhausted(said, _retry_s(headers))
        case 401 | 403:
            return Misconfigured(f"the cluster refuses this to the runner: {said}")
        case 404:
            return NotFound(said)
        case 409 | 410:
            return Conflict(said)
        case 422 | 400:
            return InvalidInput("kubernetes", said)
        case 429:
            return ResourceExhausted(said, _retry_s(headers))
    return Unavailable(said, _retry_s(headers))


def explained(body: bytes) -> str:
    """The message of a `Status`; empty for anything else."""
    try:
        return msgspec.json.decode(body, type=Status).message[:1_000]
    except msgspec.DecodeError:
        return ""


def _retry_s(headers: Mapping[str, str]) -> float:
    said = headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else _RETRY_S


def _away(error: BaseException) -> Unavailable:
    return Unavailable(f"the API server cannot be reached: {error or type(error).__name__}", _RETRY_S)

"""Serving: the services given, health, reflection; a token check before, and our errors as statuses after."""

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import msgspec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from folkmoot.kernel.errors import FolkmootError, Misconfigured, Unauthenticated
from folkmoot.runtime.grpc.handlers import Handler, wrapped
from folkmoot.runtime.grpc.observed import PUBLIC, Context, Continuation, Observed
from folkmoot.runtime.grpc.status import to_status
from folkmoot.runtime.settings import GrpcSettings

__all__ = ["Context", "Service", "bearer", "serving"]

DRAIN_S = 5.0
"""Calls under way at shutdown may end within this time."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One gRPC service to be served."""

    name: str
    """Full name, as `folkmoot.api.planning.v1.PlanningService`."""
    servicer: Any
    add: Callable[[Any, grpc.aio.Server], None]
    """The generated `add_…_to_server`."""
    capability_methods: frozenset[str] = frozenset()
    """Methods that check a token of their own (a workspace's) instead of the service token."""


@asynccontextmanager
async def serving(settings: GrpcSettings, services: Sequence[Service]) -> AsyncIterator[str]:
    """Serve until the block ends; yields the address as host:port. Raises Misconfigured."""
    if not settings.token:
        raise Misconfigured("grpc.token is empty: set FOLKMOOT_GRPC_TOKEN to a secret that callers will show")
    open_methods = {f"/{s.name}/{m}" for s in services for m in s.capability_methods}
    server = grpc.aio.server(
        interceptors=[Observed(), _Errors(), _ServiceToken(settings.token, open_methods)],
        options=[
            ("grpc.max_receive_message_length", settings.message_bytes),
            ("grpc.max_send_message_length", settings.message_bytes),
            ("grpc.so_reuseport", 0),
        ],
    )
    for service in services:
        service.add(service.servicer, server)
    names = [s.name for s in services]
    vitals = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(vitals, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise Misconfigured(f"grpc.listen: cannot listen on {settings.listen}: {error}") from error
    await server.start()
    for name in ["", *names]:
        await vitals.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield f"{settings.listen.rpartition(':')[0]}:{port}"
    finally:
        await vitals.enter_graceful_shutdown()
        await server.stop(DRAIN_S)


def bearer(context: Context) -> str:
    """The token that the caller shows; raises Unauthenticated when there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ")
    raise Unauthenticated("no `authorization: Bearer …` metadata")


Guard = Callable[[Context], None]


class _ServiceToken(grpc.aio.ServerInterceptor):
    """Refuses calls without the service token; health, reflection and capability methods go by."""

    def __init__(self, token: str, open_methods: set[str]) -> None:
        self._token = token.encode()
        self._open = open_methods

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None or details.method in self._open or details.method.startswith(PUBLIC):
            return handler
        return _wrapped(handler, self._check)

    def _check(self, context: Context) -> None:
        if not hmac.compare_digest(bearer(context).encode(), self._token):
            raise Unauthenticated("this token is not the service's")


class _Errors(grpc.aio.ServerInterceptor):
    """Whatever kernel error comes out becomes its status."""

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        return handler if handler is None else _wrapped(handler, None)


def _wrapped(handler: Handler, guard: Guard | None) -> Handler:
    """The same handler, with `guard` before it (None: with errors mapped around it)."""
    return wrapped(handler, single=lambda i: _single(i, guard), streaming=lambda i: _streaming(i, guard))


def _single(inner: Any, guard: Guard | None) -> Any:
    async def call(request: Any, context: Context) -> Any:
        if guard is not None:
            guard(context)
            return await inner(request, context)
        try:
            return await inner(request, context)
        except FolkmootError as error:
            await _abort(context, error)

    return call


def _streaming(inner: Any, guard: Guard | None) -> Any:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        if guard is not None:
            guard(context)
            async for reply in inner(request, context):
                yield reply
            return
        try:
            async for reply in inner(request, context):
                yield reply
        except FolkmootError as error:
            await _abort(context, error)

    return call


async def _abort(context: Context, error: FolkmootError) -> None:
    status = to_status(error)
    code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
    await context.abort(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))

"""Calls as their callers' traces and as metrics: what comes in with a trace goes on in it, what has none begins one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc

from folkmoot.runtime.grpc.handlers import Handler, wrapped
from folkmoot.runtime.telemetry import context as trace
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import OpenSpan, count, spanned, timed

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

PUBLIC = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
"""Probes: asked by anybody, and not worth a trace."""

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Observed(grpc.aio.ServerInterceptor):
    """Outermost, so that it sees the status that the caller gets."""

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> "Handler | None":
        handler = await continuation(details)
        if handler is None or details.method.startswith(PUBLIC):
            return handler
        name = details.method.rpartition(".")[2]
        return wrapped(handler, single=lambda inner: _single(inner, name), streaming=lambda i: _streaming(i, name))


def _single(inner: Any, name: str) -> Any:
    async def call(request: Any, context: Context) -> Any:
        with _call(name, context):
            return await inner(request, context)

    return call


def _streaming(inner: Any, name: str) -> Any:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        with _call(name, context):
            async for reply in inner(request, context):
                yield reply

    return call


@contextmanager
def _call(name: str, context: Context) -> Iterator[None]:
    """`name` is `Service/Method`. Counts the call when it ends."""
    trace.enter(_asked(context))
    with spanned(name, {}, server=True) as opened, timed(meters.RPC_TIME, name):
        if not trace.current():
            trace.enter(trace.fresh())
        code = "UNKNOWN"
        try:
            yield
            code = _code(context)
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = _code(context)
            raise
        finally:
            _said(opened, name, code)


def _said(opened: OpenSpan, name: str, code: str) -> None:
    opened.note(code=code)
    count(meters.RPCS, name, code)


def _asked(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == trace.METADATA and isinstance(value, str):
            return trace.understood(value)
    return ""


def _code(context: Context) -> str:
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code, "OK" if code is None else "UNKNOWN")

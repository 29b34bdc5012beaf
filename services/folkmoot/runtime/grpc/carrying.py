"""A channel whose calls carry the trace of the task that makes them.

No client interceptor: grpc.aio runs those in a task of their own per call, and this is a tuple in the metadata.
"""

from types import TracebackType
from typing import Any, Self

import grpc

from folkmoot.runtime.telemetry import context


class CarryingChannel(grpc.aio.Channel):
    """`inner`, which it closes."""

    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Carrying(self._inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Carrying(self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Carrying(self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Carrying(self._inner.stream_stream(method, *args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.close(None)


class _Carrying:
    """A method of a stub."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, *args: Any, metadata: Any = None, **kwargs: Any) -> Any:
        if traceparent := context.current():
            metadata = (*(metadata or ()), (context.METADATA, traceparent))
        return self._method(*args, metadata=metadata, **kwargs)

"""Calls over real gRPC: whose trace they belong to, and how they are counted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from folkmoot.kernel.errors import Misconfigured, NotFound
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Context, Service, serving
from folkmoot.runtime.settings import GrpcSettings, TelemetrySettings
from folkmoot.runtime.telemetry import context as trace
from folkmoot.runtime.telemetry.start import telemetry

SHOWN = credentials("secret")


class Telling:
    """A service of bytes: says under which trace it is called."""

    async def tell(self, request: bytes, context: Context) -> bytes:
        return trace.current().encode()

    async def fail(self, request: bytes, context: Context) -> bytes:
        raise NotFound("nothing there")

    async def watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """Again and again."""
        while True:
            yield trace.current().encode()
            await asyncio.sleep(0)


def add(servicer: Telling, server: grpc.aio.Server) -> None:
    handlers: dict[str, Any] = {
        "Tell": grpc.unary_unary_rpc_method_handler(servicer.tell),
        "Fail": grpc.unary_unary_rpc_method_handler(servicer.fail),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.watch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Telling", handlers),))


SERVICE = Service(name="test.Telling", servicer=Telling(), add=add)


@pytest.fixture
async def caller() -> AsyncIterator[Any]:
    """A channel to it."""
    async with serving(GrpcSettings(token="secret"), [SERVICE]) as address, channel(address) as open_channel:
        yield open_channel


async def told(caller: Any, *more: tuple[str, str]) -> str:
    reply: bytes = await caller.unary_unary("/test.Telling/Tell")(b"", metadata=(*SHOWN, *more), timeout=5)
    return reply.decode()


async def test_a_call_belongs_to_its_callers_trace(caller: Any) -> None:
    """Without a collector, and without an SDK."""
    mine = trace.fresh()
    with trace.within(mine):
        assert await told(caller) == mine


async def test_a_call_without_a_trace_begins_one(caller: Any) -> None:
    """Each its own."""
    one, other = await told(caller), await told(caller)
    assert trace.understood(one)
    assert trace.trace_id(one) != trace.trace_id(other)


async def test_a_forged_trace_is_left_at_the_door(caller: Any) -> None:
    """What callers write there would otherwise stand in the log for ever."""
    assert trace.understood(await told(caller, ("traceparent", "00-my-own-words-01")))


async def test_a_stream_belongs_to_its_callers_trace(caller: Any) -> None:
    """From its first reply to the one at which the caller leaves."""
    mine = trace.fresh()
    with trace.within(mine):
        call = caller.unary_stream("/test.Telling/Watch")(b"", metadata=SHOWN, timeout=5)
        assert [await call.read() for _ in range(3)] == [mine.encode()] * 3
        call.cancel()


async def test_calls_are_counted_by_method_and_code() -> None:
    """At `/metrics`, over real HTTP, on a port that the system chose."""
    async with telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), "test") as metrics:
        async with serving(GrpcSettings(token="secret"), [SERVICE]) as address, channel(address) as open_channel:
            caller: Any = open_channel
            await told(caller)
            with pytest.raises(NotFound), mapped():
                await caller.unary_unary("/test.Telling/Fail")(b"", metadata=SHOWN, timeout=5)
        async with httpx.AsyncClient(trust_env=False) as http:
            shown = (await http.get(f"http://{metrics}/metrics")).text
    assert 'folkmoot_rpcs_total{code="OK",method="Telling/Tell"} 1.0' in shown
    assert 'folkmoot_rpcs_total{code="NOT_FOUND",method="Telling/Fail"} 1.0' in shown
    assert 'folkmoot_rpc_duration_seconds_count{method="Telling/Fail"} 1.0' in shown
    assert "process_resident_memory_bytes" in shown


async def test_an_address_that_is_taken_is_said() -> None:
    """By the setting's name, at the start."""
    async with telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), "one") as taken:
        with pytest.raises(Misconfigured, match="metrics_listen"):
            async with telemetry(TelemetrySettings(metrics_listen=taken), "two"):
                pass

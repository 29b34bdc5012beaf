"""Calls over real gRPC: whose trace they belong to, and how they are counted."""

from __future__ import annotations  # the stub types exist for the checker only

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.kernel.errors import Misconfigured, NotFound
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Context, Service, serving
from folkmoot.runtime.settings import GrpcSettings, TelemetrySettings
from folkmoot.runtime.telemetry import context as trace
from folkmoot.runtime.telemetry.start import telemetry

SHOWN = credentials("secret")
ASKED = pb.GetNeighbourhoodRequest(node_id="x")


class Telling(rpc.ContextServiceServicer):
    """Says under which trace it was called."""

    async def GetNeighbourhood(
        self, request: pb.GetNeighbourhoodRequest, context: Context
    ) -> pb.GetNeighbourhoodResponse:
        return pb.GetNeighbourhoodResponse(nodes=[pb.Node(node_id=trace.current())])

    async def Rebuild(self, request: pb.RebuildRequest, context: Context) -> pb.RebuildResponse:
        raise NotFound("nothing there")


class Watching:
    """A service of bytes: no message of ours streams alone."""

    async def watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """The trace, again and again."""
        while True:
            yield trace.current().encode()
            await asyncio.sleep(0)


def add_watch(servicer: Watching, server: grpc.aio.Server) -> None:
    handlers = {"Watch": grpc.unary_stream_rpc_method_handler(servicer.watch)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Watching", handlers),))


def services() -> list[Service]:
    return [
        Service(
            name="folkmoot.api.context.v1.ContextService",
            servicer=Telling(),
            add=rpc.add_ContextServiceServicer_to_server,
        ),
        Service(name="test.Watching", servicer=Watching(), add=add_watch),
    ]


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(GrpcSettings(token="secret"), services()) as found:
        yield found


async def asked(address: str) -> str:
    async with channel(address) as open_channel:
        stub: rpc.ContextServiceAsyncStub = rpc.ContextServiceStub(open_channel)
        reply = await stub.GetNeighbourhood(ASKED, metadata=SHOWN, timeout=5)
    return reply.nodes[0].node_id


async def test_a_call_belongs_to_its_callers_trace(address: str) -> None:
    """Without a collector, and without an SDK."""
    mine = trace.fresh()
    with trace.within(mine):
        assert await asked(address) == mine


async def test_a_call_without_a_trace_begins_one(address: str) -> None:
    """Each its own."""
    one, other = await asked(address), await asked(address)
    assert trace.understood(one)
    assert trace.trace_id(one) != trace.trace_id(other)


async def test_a_forged_trace_is_left_at_the_door(address: str) -> None:
    """What callers write there would otherwise stand in the log for ever."""
    async with channel(address) as open_channel:
        stub: rpc.ContextServiceAsyncStub = rpc.ContextServiceStub(open_channel)
        forged = (*SHOWN, ("traceparent", "00-my-own-words-01"))
        reply = await stub.GetNeighbourhood(ASKED, metadata=forged, timeout=5)
    assert trace.understood(reply.nodes[0].node_id)


async def test_a_stream_belongs_to_its_callers_trace(address: str) -> None:
    """From its first reply to the one at which the caller leaves."""
    mine = trace.fresh()
    open_channel: Any
    async with channel(address) as open_channel:
        with trace.within(mine):
            call = open_channel.unary_stream("/test.Watching/Watch")(b"", metadata=SHOWN, timeout=5)
            assert [await call.read() for _ in range(3)] == [mine.encode()] * 3
            call.cancel()


async def test_calls_are_counted_by_method_and_code() -> None:
    """At `/metrics`, over real HTTP, on a port that the system chose."""
    async with telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), "test") as metrics:
        async with serving(GrpcSettings(token="secret"), services()) as address, channel(address) as open_channel:
            stub: rpc.ContextServiceAsyncStub = rpc.ContextServiceStub(open_channel)
            await stub.GetNeighbourhood(ASKED, metadata=SHOWN, timeout=5)
            with pytest.raises(NotFound), mapped():
                await stub.Rebuild(pb.RebuildRequest(), metadata=SHOWN, timeout=5)
        async with httpx.AsyncClient(trust_env=False) as http:
            shown = (await http.get(f"http://{metrics}/metrics")).text
    assert 'folkmoot_rpcs_total{code="OK",method="ContextService/GetNeighbourhood"} 1.0' in shown
    assert 'folkmoot_rpcs_total{code="NOT_FOUND",method="ContextService/Rebuild"} 1.0' in shown
    assert 'folkmoot_rpc_duration_seconds_count{method="ContextService/Rebuild"} 1.0' in shown
    assert "process_resident_memory_bytes" in shown


async def test_an_address_that_is_taken_is_said() -> None:
    """By the setting's name, at the start."""
    async with telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), "one") as taken:
        with pytest.raises(Misconfigured, match="metrics_listen"):
            async with telemetry(TelemetrySettings(metrics_listen=taken), "two"):
                pass

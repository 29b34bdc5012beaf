"""Turning telemetry on for a process, as its settings say; what is off is not even imported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from folkmoot.runtime.settings import TelemetrySettings
from folkmoot.runtime.telemetry.ambient import OFF, Spans, Telemetry, ambient
from folkmoot.runtime.telemetry.meters import Meters


@asynccontextmanager
async def telemetry(settings: TelemetrySettings, service: str) -> AsyncIterator[str]:
    """On for the block and what it starts; yields where metrics are served, empty if nowhere. Raises Misconfigured."""
    if not settings.otlp_url and not settings.metrics_listen:
        yield ""
        return
    async with AsyncExitStack() as stack:
        address, meters = "", None
        if settings.metrics_listen:
            meters, address = _metrics(stack, settings.metrics_listen)
        on = Telemetry(spans=await _spans(stack, settings.otlp_url, service), meters=meters)
        stack.enter_context(ambient(on))
        yield address


@asynccontextmanager
async def spans_of(settings: TelemetrySettings, service: str, meters: Meters) -> AsyncIterator[Telemetry]:
    """For a host of agents: spans by itself, counts into `meters`, which somebody takes along."""
    if not settings.otlp_url and not settings.metrics_listen:
        yield OFF
        return
    async with AsyncExitStack() as stack:
        spans = await _spans(stack, settings.otlp_url, service)
        yield Telemetry(spans=spans, meters=meters if settings.metrics_listen else None)


def _metrics(stack: AsyncExitStack, listen: str) -> tuple[Meters, str]:
    from folkmoot.runtime.telemetry.prometheus import PrometheusMeters, served

    meters = PrometheusMeters()
    return meters, stack.enter_context(served(meters, listen))


async def _spans(stack: AsyncExitStack, url: str, service: str) -> Spans | None:
    if not url:
        return None
    from folkmoot.runtime.telemetry.otlp import OtlpSpans

    spans = OtlpSpans(url, service)
    stack.push_async_callback(asyncio.to_thread, spans.close)
    return spans

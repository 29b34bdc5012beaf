"""Spans by the OpenTelemetry SDK, sent by OTLP over HTTP. The only module that knows the SDK; imported when on."""

import logging
import os
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

from folkmoot.runtime.telemetry import context
from folkmoot.runtime.telemetry.ambient import ATTRIBUTES, Id

SEND_EVERY_MS = 500
"""A process that is killed loses what it had not sent."""
SEND_S = 1.0
"""For one batch, also of the last: a collector that hangs must not hold up the end of a service."""
SAY_EVERY_S = 60.0
"""That spans are lost."""


_EXPORTER_LOG = logging.getLogger(OTLPSpanExporter.__module__)


class OtlpSpans:
    """Spans of one process. Satisfies `ambient.Spans`."""

    def __init__(self, url: str, service: str) -> None:
        """`url` is the collector's base URL, as `http://host:4318`."""
        resource = Resource({"service.name": f"folkmoot-{service}", "service.instance.id": f"{service}-{os.getpid()}"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=SEND_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))
        self._tracer = self._provider.get_tracer("folkmoot")
        # That spans are lost is said; that they are sent again is not.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._seldom = _Seldom()
        _EXPORTER_LOG.addFilter(self._seldom)

    def open(self, name: str, parent: str, ids: dict[str, Id], *, server: bool) -> "OtlpSpan":
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        above = set_span_in_context(_remote(parent)) if parent else None
        return OtlpSpan(self._tracer.start_span(name, context=above, kind=kind), ids)

    def close(self) -> None:
        """Send what is left; blocks for at most twice `SEND_S` or so: a batch may be under way."""
        self._provider.shutdown()
        _EXPORTER_LOG.removeFilter(self._seldom)


class OtlpSpan:
    """Satisfies `ambient.OpenSpan`."""

    def __init__(self, span: Span, ids: dict[str, Id]) -> None:
        self._span = span
        found = span.get_span_context()
        flags = f"{int(found.trace_flags):02x}"
        self.traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{flags}"
        self.note(**ids)

    def note(self, **ids: Id) -> None:
        for name, value in ids.items():
            assert name in ATTRIBUTES, f"{name} is no attribute of ours"
            self._span.set_attribute(f"folkmoot.{name}", value)

    def end(self, error: str = "") -> None:
        if error:
            self.note(error=error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class _Seldom(logging.Filter):
    """A collector that is away is worth a line now and then, not one per batch."""

    def __init__(self) -> None:
        super().__init__()
        self._after = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self._after:
            return False
        self._after = now + SAY_EVERY_S
        return True


def _remote(traceparent: str) -> Span:
    """The span above, wherever it runs."""
    _, trace, span, flags = context.understood(traceparent).split("-")
    return NonRecordingSpan(
        SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    )

"""Metrics by prometheus_client, served at `/metrics`. The only module that knows the library; imported when on."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from folkmoot.kernel.errors import Misconfigured
from folkmoot.runtime.telemetry.meters import Instrument, Kind

MAX_VALUES = 50
"""Of one label: callers choose URLs and models invent tools; those that come later share one."""
OTHER = "other"


class PrometheusMeters:
    """All metrics of one process, in a registry of its own. Satisfies `meters.Meters`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._values: dict[tuple[str, str], set[str]] = defaultdict(set)

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        metric = self._made.get(instrument.name) or self._make(instrument)
        child = metric.labels(*self._bounded(instrument, labels)) if instrument.labels else metric
        if isinstance(child, Histogram):
            child.observe(value)
        elif isinstance(child, Gauge) and instrument.kind is Kind.GAUGE:
            child.set(value)
        else:
            child.inc(value)

    def _make(self, instrument: Instrument) -> Counter | Gauge | Histogram:
        name, words, labels = instrument.name, instrument.help, instrument.labels
        made: Counter | Gauge | Histogram
        match instrument.kind:
            case Kind.COUNTER:
                made = Counter(name, words, labels, registry=self.registry)
            case Kind.GAUGE | Kind.BALANCE:
                made = Gauge(name, words, labels, registry=self.registry)
            case Kind.HISTOGRAM:
                made = Histogram(name, words, labels, registry=self.registry, buckets=instrument.buckets)
        self._made[name] = made
        return made

    def _bounded(self, instrument: Instrument, labels: tuple[str, ...]) -> list[str]:
        return [self._known(instrument.name, *pair) for pair in zip(instrument.labels, labels, strict=True)]

    def _known(self, metric: str, label: str, value: str) -> str:
        seen = self._values[metric, label]
        if value in seen or len(seen) < MAX_VALUES:
            seen.add(value)
            return value
        return OTHER


@contextmanager
def served(meters: PrometheusMeters, listen: str) -> Iterator[str]:
    """Serve from a thread while the block runs; yields host:port. Raises Misconfigured."""
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), addr=host, registry=meters.registry)
    except OSError as error:
        raise Misconfigured(f"telemetry.metrics_listen: cannot listen on {listen}: {error}") from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

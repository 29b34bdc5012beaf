"""Metrics as values: the closed set of what is counted, and where counts go. No library here.

Labels come from small closed sets; what callers can choose freely (URLs, names of tools) is cut by the adapter.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of calls on one machine."""
LONG_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0)
"""Of work that waits for models and test suites."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    """Records set it."""
    BALANCE = "balance"
    """A gauge that records move up and down."""
    HISTOGRAM = "histogram"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One metric."""

    name: str
    """As Prometheus shows it, with its unit."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, words: str, *labels: str) -> Instrument:
    return Instrument(name=f"folkmoot_{name}_total", kind=Kind.COUNTER, help=words, labels=labels)


def _gauge(name: str, words: str, *labels: str) -> Instrument:
    return Instrument(name=f"folkmoot_{name}", kind=Kind.GAUGE, help=words, labels=labels)


def _balance(name: str, words: str) -> Instrument:
    return Instrument(name=f"folkmoot_{name}", kind=Kind.BALANCE, help=words)


def _seconds(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Instrument:
    name = f"folkmoot_{name}_duration_seconds"
    return Instrument(name=name, kind=Kind.HISTOGRAM, help=words, labels=labels, buckets=buckets)


RPCS = _counter("rpcs", "Calls that were answered, by gRPC code.", "method", "code")
RPC_TIME = _seconds("rpc", "From a call's arrival to its end.", SHORT_S, "method")

APPENDS = _counter("log_appends", "Appends: stored, conflict or failed.", "stream", "outcome")
APPEND_TIME = _seconds("log_append", "One append, retries included.", SHORT_S, "stream")
REDELIVERIES = _counter("redeliveries", "Deliveries of messages that had been delivered before.", "stream")
PARKED = _counter("messages_parked", "Messages that nobody could handle.", "stream")
WAITING = _gauge("queue_waiting", "Messages that nobody has taken yet, of all replicas.", "reader")
TAKEN = _gauge("queue_taken", "Messages that somebody works on, of all replicas.", "reader")

DELIBERATIONS = _counter("deliberations_ended", "Deliberations that this replica brought to their end.", "state")
RUNNING = _balance("deliberations_running", "Deliberations that this replica carries now.")
DELIBERATION_TIME = _seconds("deliberation", "From the request to the end.", LONG_S, "state")
PHASE_TIME = _seconds("phase", "One phase of a deliberation: one agent, one examination, …", LONG_S, "phase")
EXAMINATIONS = _counter("examinations", "Tests and checks of the platform's: passed or failed.", "kind", "outcome")

MODEL_CALLS = _counter("model_calls", "Calls: ok, unusable, cancelled or error.", "endpoint", "outcome")
MODEL_TIME = _seconds("model_call", "One answer, retries included.", LONG_S, "endpoint")
MODEL_TOKENS = _counter("model_tokens", "Tokens: prompt, cached (of the prompt), completion.", "endpoint", "kind")
TOOL_CALLS = _counter("tool_calls", "Calls of agents' tools: ok or failed.", "tool", "outcome")
TOOL_TIME = _seconds("tool_call", "One call.", LONG_S, "tool")

WORKSPACES_OPEN = _gauge("workspaces_open", "Open now.")
WORKSPACES_OPENED = _counter("workspaces_opened", "New ones.")
WORKSPACES_FAILED = _counter("workspaces_failed", "Openings that ended in an error, by its kind.", "error")
WORKSPACES_WARM = _gauge("workspaces_warm", "Ready before anybody asked for them.")
WARM_CLAIMS = _counter("workspaces_claimed", "Wishes that a warm one could serve: ready, waited or none.", "outcome")
WORKSPACE_TIME = _seconds("workspace_open", "From the wish to a workspace that is ready.", SHORT_S)

INSTRUMENTS = {i.name: i for i in list(globals().values()) if isinstance(i, Instrument)}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One count, measurement or level, on its way from one process to another."""

    name: str
    value: float
    labels: tuple[str, ...]


class Meters(Protocol):
    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        """Add to a counter or balance, measure into a histogram, or set a gauge. `labels` in the instrument's order."""
        ...


class Tally:
    """Keeps records for somebody else to take along. Satisfies `Meters`."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        self._records.append(Record(name=instrument.name, value=value, labels=labels))

    def drain(self) -> tuple[Record, ...]:
        """What came since the last time."""
        taken, self._records = tuple(self._records), []
        return taken

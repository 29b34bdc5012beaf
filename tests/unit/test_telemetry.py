"""What goes with the work that is done: its trace, its spans, its counts."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from folkmoot.kernel import subjects
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.facts import WorkspaceReady, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, CommitId, RepositoryId, TaskId, WorkspaceId
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.journal import Journal, request
from folkmoot.runtime.clock import VirtualClock
from folkmoot.runtime.log.consume import consume
from folkmoot.runtime.log.memory import MemoryBus
from folkmoot.runtime.log.port import Delivery
from folkmoot.runtime.settings import TelemetrySettings
from folkmoot.runtime.telemetry import context, meters
from folkmoot.runtime.telemetry.ambient import OFF, Id, Telemetry, ambient, count, on, phase, replay, span, timed
from folkmoot.runtime.telemetry.prometheus import MAX_VALUES, OTHER, PrometheusMeters
from folkmoot.runtime.telemetry.start import telemetry

ONE, OTHER_ONE = context.derived("one"), context.derived("other")
TASK, AGENT = TaskId("t-1"), AgentId("dev-1")
SPEC = TaskSpec(task_id=TASK, title="t", text="x", repository="/r", agents=1)


class Kept:
    """A span in memory."""

    def __init__(self, name: str, parent: str, ids: dict[str, Id], number: int) -> None:
        self.name = name
        self.parent = parent
        self.ids = ids
        self.error: str | None = None
        self.traceparent = context.made(context.trace_id(parent) or "f" * 32, f"{number:016x}")

    def note(self, **ids: Id) -> None:
        self.ids |= ids

    def end(self, error: str = "") -> None:
        self.error = error


class Spans:
    """All spans in the order of their beginnings. Satisfies `ambient.Spans`."""

    def __init__(self) -> None:
        self.all: list[Kept] = []

    def open(self, name: str, parent: str, ids: dict[str, Id], *, server: bool) -> Kept:
        self.all.append(Kept(name, parent, ids, len(self.all) + 1))
        return self.all[-1]


# --- the trace ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (ONE, ONE),
        (f"{ONE[:-2]}00", f"{ONE[:-2]}00"),
        (f"cc{ONE[2:]}-what-comes-later", ONE),
        (f"ff{ONE[2:]}", ""),
        (f"00-{'0' * 32}-{'1' * 16}-01", ""),
        (f"00-{'1' * 32}-{'0' * 16}-01", ""),
        (ONE.upper(), ""),
        (f"{ONE}\n", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_a_traceparent_from_outside_is_read_strictly(text: str, read: str) -> None:
    """W3C's form, any version but 255; what is none is left behind."""
    assert context.understood(text) == read


def test_work_is_under_one_trace_at_a_time() -> None:
    """The block's own, then again what was before; nothing given changes nothing."""
    with context.within(ONE):
        with context.within(OTHER_ONE):
            assert context.current() == OTHER_ONE
        with context.within(""):
            assert context.current() == ONE
    assert context.current() == ""


def test_who_is_deeper_in_a_trace_stays_there() -> None:
    """Belonging to a trace moves nobody up in it, and takes strangers to its beginning."""
    deeper = context.made(context.trace_id(ONE), "7" * 16)
    with context.within(deeper), context.belonging(ONE):
        assert context.current() == deeper
    with context.within(OTHER_ONE), context.belonging(ONE):
        assert context.current() == ONE


async def test_an_event_carries_its_writers_trace_and_its_reader_works_in_it() -> None:
    """From a request through a queue to what its handler writes; the next message is free of it."""
    bus, handled, done = MemoryBus(VirtualClock()), [], asyncio.Event()
    base = PreparedBase(
        repository_id=RepositoryId("r"),
        commit=CommitId("a" * 40),
        suite=None,
        protected=(),
        max_files=1,
        max_diff_lines=1,
    )

    async def answer(delivery: Delivery) -> None:
        handled.append(context.current())
        ready = WorkspaceReady(attempt=len(handled), workspace_id=WorkspaceId("w"), endpoint="h:1")
        agent = AgentId(delivery.stored.event.subject.rpartition(".")[2])
        await bus.log.append(subjects.agent_response(TASK, agent), ready, after=START)
        if len(handled) == 2:
            done.set()

    for number, trace in ((1, ONE), (2, "")):
        agent = AgentId(f"dev-{number}")
        wish = WorkspaceRequested(task_id=TASK, agent_id=agent, attempt=1, base=base, ttl_s=1.0)
        with context.within(trace):
            await bus.queues.put(subjects.agent_request(TASK, agent), wish, key=agent)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        loop = group.create_task(consume(bus.queues.deliveries("runner-requests"), answer, max_deliver=1))
        await done.wait()
        loop.cancel()
    last = await bus.log.last(subjects.agent_response(TASK, AgentId("dev-1")))
    assert last is not None
    assert (handled, last.event.traceparent) == ([ONE, ""], ONE)


async def test_all_events_of_a_task_carry_one_trace() -> None:
    """Whoever writes them: the caller, an owner that knows only the log, one that works in another trace."""
    bus = MemoryBus(VirtualClock())
    with context.within(ONE):
        await request(bus.log, SPEC)
    await Journal.take(bus.log, subjects.deliberation(TASK), "o-1")
    with context.within(OTHER_ONE):
        await Journal.take(bus.log, subjects.deliberation(TASK), "o-2")
    found = [e.event.traceparent for e in await bus.log.read(subjects.deliberation(TASK))]
    assert [context.trace_id(t) for t in found] == [context.trace_id(ONE)] * 3


# --- spans -------------------------------------------------------------------------------------------------------


def test_a_span_is_the_parent_of_what_it_holds() -> None:
    """The outermost hangs on the caller's; afterwards the caller's is current again."""
    spans = Spans()
    with ambient(Telemetry(spans=spans)), context.within(ONE), span("outer", task_id="t-1"), span("inner") as inner:
        inner.note(outcome="ok")
    outer, nested = spans.all
    assert (outer.parent, nested.parent) == (ONE, outer.traceparent)
    assert (outer.ids, nested.ids) == ({"task_id": "t-1"}, {"outcome": "ok"})
    assert (outer.error, nested.error, context.current()) == ("", "", "")


def test_what_went_wrong_is_named_by_its_kind() -> None:
    """Never by its words, which may be anybody's."""
    spans = Spans()
    with ambient(Telemetry(spans=spans)), pytest.raises(ValueError, match="secret"), span("x"):
        raise ValueError("secret words")
    assert spans.all[0].error == "ValueError"
    assert "secret" not in str(vars(spans.all[0]))


async def test_cancelling_is_no_error() -> None:
    """A client that leaves, a task that is called off."""
    spans, inside = Spans(), asyncio.Event()

    async def wait() -> None:
        with span("x"):
            inside.set()
            await asyncio.Event().wait()

    with ambient(Telemetry(spans=spans)):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(wait())
            await inside.wait()
            task.cancel()
    assert (spans.all[0].error, spans.all[0].ids) == ("", {"outcome": "cancelled"})


class Worker:
    @phase("working", lambda _, agent: {"agent_id": agent})
    async def work(self, agent: str) -> str:
        return f"{agent} in {context.current()}"


async def test_a_phase_is_a_span_and_a_measurement() -> None:
    """By its name; with telemetry off the method runs as it stands."""
    spans, tally = Spans(), meters.Tally()
    assert await Worker().work("a") == "a in "
    with ambient(Telemetry(spans=spans, meters=tally)):
        assert await Worker().work("a") == f"a in {spans.all[0].traceparent}"
    [record] = tally.drain()
    assert (spans.all[0].name, spans.all[0].ids) == ("working", {"agent_id": "a"})
    assert (record.name, record.labels) == (meters.PHASE_TIME.name, ("working",))


async def test_nothing_is_on_unless_it_is_asked_for() -> None:
    """No collector, no address: the process stays as it is."""
    async with telemetry(TelemetrySettings(), "test") as address:
        assert (address, on()) == ("", OFF)


# --- counts ------------------------------------------------------------------------------------------------------


def text(found: PrometheusMeters) -> str:
    return generate_latest(found.registry).decode()


def test_every_kind_of_instrument_is_shown() -> None:
    """Counters add up, gauges are set, balances move, histograms measure."""
    found = PrometheusMeters()
    with ambient(Telemetry(meters=found)):
        for by in (2, 3):
            count(meters.APPENDS, "AGILE", "stored", by=by)
            count(meters.WORKSPACES_OPEN, by=by)
            count(meters.RUNNING, by=by)
        with timed(meters.TOOL_TIME, "run"):
            pass
    shown = text(found)
    assert 'folkmoot_log_appends_total{outcome="stored",stream="AGILE"} 5.0' in shown
    assert "\nfolkmoot_workspaces_open 3.0" in shown
    assert "\nfolkmoot_deliberations_running 5.0" in shown
    assert 'folkmoot_tool_call_duration_seconds_count{tool="run"} 1.0' in shown


def test_a_label_that_callers_choose_stays_bounded() -> None:
    """A thousand model servers are not a thousand time series."""
    found = PrometheusMeters()
    with ambient(Telemetry(meters=found)):
        for number in range(1_000):
            count(meters.MODEL_CALLS, f"host-{number}", "ok")
    series = [line for line in text(found).splitlines() if line.startswith("folkmoot_model_calls_total{")]
    assert len(series) == MAX_VALUES + 1
    assert f'endpoint="{OTHER}",outcome="ok"}} 950.0' in "".join(series)


def test_counts_travel_from_process_to_process() -> None:
    """Once each; a name that only the sender knows is left out."""
    tally, found = meters.Tally(), PrometheusMeters()
    with ambient(Telemetry(meters=tally)):
        count(meters.TOOL_CALLS, "run", "ok")
    sent = (*tally.drain(), meters.Record(name="folkmoot_of_tomorrow_total", value=1, labels=()))
    with ambient(Telemetry(meters=found)):
        replay(sent)
    assert tally.drain() == ()
    assert 'folkmoot_tool_calls_total{outcome="ok",tool="run"} 1.0' in text(found)
    assert "tomorrow" not in text(found)


def test_names_say_their_unit_and_no_label_is_an_id() -> None:
    """As Prometheus wants them: `_total`, `_seconds`; ids would make a series per task."""
    for instrument in meters.INSTRUMENTS.values():
        if instrument.kind is meters.Kind.COUNTER:
            assert instrument.name.endswith("_total")
        if instrument.kind is meters.Kind.HISTOGRAM:
            assert instrument.name.endswith("_seconds")
            assert instrument.buckets
        assert not any(label.endswith("_id") for label in instrument.labels)


def test_the_documentation_names_every_metric_and_no_other() -> None:
    """With its labels and words, as the code has them."""
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text("utf-8")
    rows = {line for line in page.splitlines() if line.startswith("| `folkmoot_")}
    made = meters.INSTRUMENTS.values()
    assert rows == {f"| `{i.name}` | {', '.join(i.labels) or '-'} | {i.help} |" for i in made}

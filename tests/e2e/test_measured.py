"""One story on a platform that is measured: spans at a collector, counts at `/metrics`, its time in `moot trace`."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from folkmoot.runtime.telemetry import context
from folkmoot.runtime.telemetry.ambient import ATTRIBUTES
from tests.fixtures.collector import Collector, Span, collecting
from tests.fixtures.platform import KEY, Done, Moot
from tests.fixtures.small import CHECK, MEND, SMALL, Case

AGENTS = 2


class Measured:
    """What was seen of one story."""

    def __init__(self, moot: Moot, case: Case, collector: Collector) -> None:
        self.collector = collector
        self.token = moot.info.token
        done = case.solve(SMALL, MEND, "--check", CHECK, "--agents", str(AGENTS))
        assert done.code == 0, done.err
        self.task = done.json["task_id"]
        self.trace = moot("trace", self.task, "--json").json
        self.shown: Done = moot("trace", self.task)
        self.missing = moot("trace", "t-nobody")
        watched = moot("watch", self.task, "--json").out.splitlines()
        self.events = [json.loads(line)["event"] for line in watched]
        self.metrics = {name: _scraped(address) for name, address in moot.info.metrics.items()}
        # Actors are killed at the end, and what they had not sent goes with them.
        collector.until(lambda spans: sum(s.name == "agent run" for s in spans) == AGENTS)
        assert moot("down").code == 0
        mine = collector.until(lambda spans: any(s.name == "deliberation" for s in spans))
        self.spans = [s for s in mine if s.trace_id == self.trace["trace_id"]]
        self.by_id = {s.span_id: s for s in self.spans}

    def above(self, span: Span) -> list[str]:
        """Names on the way up to the root."""
        names = []
        while span.parent_id:
            span = self.by_id[span.parent_id]
            names.append(span.name)
        return names

    def named(self, name: str) -> list[Span]:
        found = [s for s in self.spans if s.name == name]
        assert found, f"no span {name} among {sorted({s.name for s in self.spans})}"
        return found


def _scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        body: bytes = answer.read()
    return body.decode()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    with collecting() as collector:
        moot = Moot(tmp_path_factory.mktemp("measured"))
        moot.env |= {
            "FOLKMOOT_TELEMETRY_OTLP_URL": collector.url,
            "FOLKMOOT_TELEMETRY_METRICS_LISTEN": "127.0.0.1:0",
        }
        up = moot("up", "--detach")
        assert up.code == 0, up.err
        try:
            yield Measured(moot, Case(moot, tmp_path_factory.mktemp("case")), collector)
        finally:
            moot("down")


# --- spans -------------------------------------------------------------------------------------------------------


def test_all_services_work_under_one_trace(measured: Measured) -> None:
    """From the caller's request to the last append: gRPC, the bus, Ray and the tools."""
    services = {s.service.removeprefix("folkmoot-") for s in measured.spans}
    assert services >= {"planning", "orchestrator", "context", "runner", "agents"}


def test_every_span_hangs_on_another_but_the_first(measured: Measured) -> None:
    """No hole between two processes: only the caller's own call has nothing above it."""
    roots = [s.name for s in measured.spans if s.parent_id not in measured.by_id]
    assert roots == ["PlanningService/CreateStory"]


@pytest.mark.parametrize(
    ("name", "service", "above"),
    [
        ("convening", "orchestrator", "deliberation"),
        ("ContextService/HydrateContext", "context", "convening"),
        ("agent", "orchestrator", "deliberation"),
        ("workspace request", "runner", "workspace"),
        ("workspace open", "runner", "workspace request"),
        ("agent run", "agents", "agent"),
        ("model call", "agents", "agent run"),
        ("tool call", "agents", "agent run"),
        ("WorkspaceService/WriteFile", "runner", "tool call"),
        ("RepositoryService/AdmitProposal", "runner", "admission"),
        ("WorkspaceService/Exec", "runner", "examination"),
        ("ranking", "orchestrator", "deliberation"),
        ("RepositoryService/PublishWinner", "runner", "publishing"),
        ("append", "agents", "agent run"),
        ("append", "runner", "workspace request"),
    ],
)
def test_what_is_done_hangs_on_what_it_is_done_for(measured: Measured, name: str, service: str, above: str) -> None:
    """Across processes."""
    mine = [s for s in measured.named(name) if s.service == f"folkmoot-{service}"]
    assert any(above in measured.above(span) for span in mine)


def test_each_agent_and_each_examination_has_its_span(measured: Measured) -> None:
    """With its id, and nothing but ids."""
    agents = {s.attributes["folkmoot.agent_id"] for s in measured.named("agent run")}
    subjects = {s.attributes["folkmoot.subject"] for s in measured.named("examination")}
    assert agents == {"dev-1", "dev-2"}
    assert subjects == {"base", "dev-1-r1", "dev-2-r1"}


def test_spans_hold_no_content_and_no_secret(measured: Measured) -> None:
    """Not the wish, not a file's name or text, not a check, not a key or token."""
    sent = b"".join(measured.collector.bodies)
    for word in ("Mend add", "calc.py", "return a", CHECK, KEY, measured.token):
        assert word.encode() not in sent
    keys = {key for span in measured.collector.spans for key in span.attributes}
    assert keys <= {f"folkmoot.{name}" for name in ATTRIBUTES}


def test_every_event_of_the_task_names_the_trace(measured: Measured) -> None:
    """Steps too: the log leads to the collector and back."""
    found = {context.trace_id(event["traceparent"]) for event in measured.events}
    assert found == {measured.trace["trace_id"]}


# --- metrics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "line"),
    [
        ("planning", 'folkmoot_rpcs_total{code="OK",method="PlanningService/CreateStory"} 1.0'),
        ("planning", 'folkmoot_queue_waiting{reader="planning-decisions"}'),
        ("orchestrator", 'folkmoot_deliberations_ended_total{state="decided"} 1.0'),
        ("orchestrator", "folkmoot_deliberations_running 0.0"),
        ("orchestrator", 'folkmoot_deliberation_duration_seconds_count{state="decided"} 1.0'),
        ("orchestrator", f'folkmoot_phase_duration_seconds_count{{phase="agent"}} {AGENTS}.0'),
        ("orchestrator", f'folkmoot_examinations_total{{kind="check",outcome="passed"}} {AGENTS}.0'),
        ("orchestrator", f'folkmoot_tool_calls_total{{outcome="ok",tool="write_file"}} {AGENTS}.0'),
        ("orchestrator", "folkmoot_model_calls_total{"),
        ("orchestrator", 'kind="completion"}'),
        ("orchestrator", 'folkmoot_log_appends_total{outcome="stored",stream="DELIBERATIONS"}'),
        ("orchestrator", 'folkmoot_queue_taken{reader="orchestrator-requests"}'),
        ("runner", "folkmoot_workspaces_open 0.0"),
        ("runner", "folkmoot_workspace_open_duration_seconds_count"),
        ("context", "process_cpu_seconds_total"),
    ],
)
def test_what_was_done_is_counted(measured: Measured, service: str, line: str) -> None:
    """Where it was done; what agents did, at the orchestrator's, who sent them."""
    assert line in measured.metrics[service]


def test_metrics_name_no_task(measured: Measured) -> None:
    """Ids would be a series each."""
    assert all(measured.task not in shown and "dev-1" not in shown for shown in measured.metrics.values())


# --- moot trace --------------------------------------------------------------------------------------------------


def test_the_path_is_the_whole_time(measured: Measured) -> None:
    """Of a real run: each phase is there, nothing is unknown, and the parts add up."""
    path = measured.trace["path"]
    assert [p["name"] for p in path] == [
        "queue",
        "convening",
        "workspace",
        "agent",
        "admission",
        "examination",
        "ranking",
        "publishing",
    ]
    assert sum(p["seconds"] for p in path) == pytest.approx(measured.trace["seconds"], abs=1e-5)
    assert {p["name"] for p in path[3]["parts"]} >= {"model", "tools"}
    assert measured.trace["unknown"] == []


def test_a_person_sees_parts_and_agents(measured: Measured) -> None:
    """A row each, the agent that the end waited for marked."""
    assert measured.shown.code == 0
    for words in ("examination", "command", "publishing", "dev-1", "dev-2", "▶ dev-", measured.trace["trace_id"]):
        assert words in measured.shown.out


def test_a_task_that_is_not_there_is_not_found(measured: Measured) -> None:
    """As everywhere: 6."""
    assert measured.missing.code == 6

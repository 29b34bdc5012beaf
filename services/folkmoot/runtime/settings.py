"""Settings: frozen, grouped, each with its unit and reason. The only module that reads the environment.

Order: defaults, then `folkmoot.toml`, then `FOLKMOOT_<GROUP>_<NAME>`. The file is the one that `FOLKMOOT_CONFIG` names,
else `folkmoot.toml` in the data folder; never one in the working directory, which may be a stranger's repository.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from folkmoot.kernel.errors import InvalidInput

MAX_PORT = 65_535

Count = Annotated[int, msgspec.Meta(ge=1)]
CountOrAuto = Annotated[int, msgspec.Meta(ge=0)]
"""0 means: choose for me."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Price = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Days = Annotated[float, msgspec.Meta(ge=0, le=36_500)]
GraceHours = Annotated[float, msgspec.Meta(ge=2, le=1e6)]
UnprivilegedId = Annotated[int, msgspec.Meta(ge=1, le=2**32 - 2)]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    """`nats://host:port`."""
    user: str = ""
    password: str = ""
    timeout_s: Seconds = 10.0
    """Per request; longer than a server's restart takes here (about 1 s), so that callers ride it out."""
    ack_wait_s: Seconds = 15.0
    """Lease of a queue message; heartbeats come at a third of it. Short enough that a dead owner is replaced soon."""
    max_deliver: Count = 10
    """Deliveries before a message is parked; an orderly restart in the middle of a deliberation costs one too."""
    artifact_bytes: Count = 256 * 1024 * 1024
    """Largest body in the artifact store."""


class GrpcSettings(msgspec.Struct, frozen=True, kw_only=True):
    listen: str = "127.0.0.1:0"
    """Loopback and a free port, unless told otherwise."""
    token: str = ""
    """Service token that callers must show; empty refuses to start."""
    planning: str = ""
    orchestrator: str = ""
    context: str = ""
    runner: str = ""
    """Addresses of the services, as host:port."""
    message_bytes: Count = 8 * 1024 * 1024
    """Largest message either way; bodies are streamed in pieces of 1 MiB."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    """Base URL of an OpenAI-compatible API, as `http://host/v1`."""
    name: str = ""
    api_key: str = ""
    """Belongs to `url` and is sent there only; where no `url` is configured, it belongs to the URL on the command line
    of `moot solve`. Never sent to a URL that came with somebody's request."""
    timeout_s: Seconds = 120.0
    """Between two bytes of an answer: a long generation streams, a hung server does not."""
    connect_timeout_s: Seconds = 10.0
    attempts: Count = 5
    """Per call, on 429, 5xx and broken connections, with jittered back-off."""
    backoff_max_s: Pause = 30.0
    stream: bool = True
    max_output_tokens: Count = 8_192
    """Asked for per call; a cut-off answer is noticed and said."""
    temperature: Temperature = 0.7
    """Some diversity is what several agents are for."""
    price_prompt_usd: Price = 0.0
    """Per million prompt tokens; with completion's, feeds the cost limit."""
    price_completion_usd: Price = 0.0


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    ray_address: str = ""
    """Of a running cluster; empty starts none: the platform passes its own."""
    log_password: str = ""
    """Of the bus user `agents`: actors publish steps and results themselves."""
    actors: Count = 2
    """Warm actors; each hosts many agents, so this is about cores, not about agents."""
    agents_per_actor: Count = 200
    """Concurrent runs in one actor; more wait their turn."""
    output_chars: Count = 10_000
    """A tool's output is shown whole up to this many characters, else head and tail."""
    tool_timeout_s: Seconds = 120.0
    """Default of `run`; `run_tests` takes the suite's own."""
    malformed_limit: Count = 3
    """Replies in a row that cannot be used before the run ends."""


class RunnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    backend: Literal["local", "kubernetes"] = "local"
    """Where workspaces are: in sandboxes of this machine, or in Jobs of a cluster (settings `kubernetes`)."""
    max_workspaces: Count = 64
    """Open at once; more wait, or are refused with a retry time."""
    warm_min: CountOrAuto = 0
    """Workspaces of a kind that are ready before anybody asks, however few were asked for lately: of a base that tasks
    work on, and in a cluster always. More are kept where more were wanted at once within the last five minutes."""
    warm_max: CountOrAuto = 8
    """Ready ones of all kinds together. They take places that nobody needs, a check-out's disk each, in a cluster a
    pod's share of a node. 0: none, whatever `warm_min` says."""
    max_commands: CountOrAuto = 0
    """Sandboxed commands that are in their first two seconds at once; 0 is twice the cores. Those that last longer are
    not counted, and the runner's own (check-outs, files) are counted by themselves."""
    ttl_s: Seconds = 7_200.0
    """Longest lease that is given."""
    sweep_s: Seconds = 10.0
    """Between two looks for what outlived its lease."""
    memory_bytes: Count = 4 * 1024**3
    """Resident, of a command and all its descendants together, looked at ten times a second; over it, all die."""
    sandbox_uid: UnprivilegedId = 65_534
    """User and group that a runner which is root gives its sandboxes to; a runner that is not keeps its own."""
    processes: Count = 512
    """Per command."""
    open_files: Count = 4_096
    file_bytes: Count = 512 * 1024**2
    """Largest single file."""
    disk_bytes: Count = 2 * 1024**3
    """Of one workspace, checked while commands run."""
    bundle_bytes: Count = 64 * 1024**2
    """Largest bundle that is taken from a workspace."""
    commits: Count = 200
    """Most commits in one candidate."""
    versions_s: Seconds = 14 * 86_400.0
    """That versions of files are kept, from an agent's last step on."""
    fetch_timeout_s: Seconds = 600.0
    """To bring a repository into its mirror."""
    pack_every: Count = 50
    """Candidates of one repository between two packings of its mirror: each is a pack and a ref that git looks through
    one by one, and a packing takes as long as a few admissions."""
    setup_hosts: str = "pypi.org,files.pythonhosted.org,registry.npmjs.org,proxy.golang.org,sum.golang.org"
    """`host` or `host:port`, with commas: where set-ups of environments (`.moot.toml`) may connect to, and the most
    that a repository may ask for; `*` besides: any public host that it names. Empty: nowhere."""
    setup_private_hosts: str = ""
    """Of those, host names that may have an address that is not public, as a mirror of packages in your own network."""
    setup_s: Seconds = 600.0
    """Of one set-up."""
    setup_disk_bytes: Count = 4 * 1024**3
    """Of one set-up, with what it builds on the way."""
    environments: Count = 16
    """Kept; beyond it those go first that were not used for longest."""
    environments_bytes: Count = 20 * 1024**3
    """Of all that are kept."""


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True):
    kubeconfig: str = ""
    """File that says where the cluster is and who we are; empty: the service account of the runner's own pod."""
    namespace: str = "folkmoot-workspaces"
    """As `deploy/kubernetes` makes it: Pod Security `restricted`, everything denied by a NetworkPolicy."""
    service_account: str = "folkmoot-workspace"
    """Of workspaces; has no rights, and no token is mounted."""
    image: str = ""
    """Of workspaces, by digest (`name@sha256:...`): a tag may become another image. See deploy/images/workspaces."""
    images: str = ""
    """Others that a repository may ask for, with commas: `name@sha256:...`, or `set=name@sha256:...` for a library set
    (`python=...`, `python-3.12=...`)."""
    pull: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    size: Literal["light", "medium", "heavy"] = "medium"
    """Share of a node for each workspace, requested and limited alike: a quarter, one or four cores; 0.5, 2 or 8 GiB of
    memory; 1, 2 or 8 GiB of disk for the repository, and for the home folder."""
    cpu_millis: CountOrAuto = 0
    """In place of the size's; 0: the size's. As the two behind it."""
    memory_bytes: CountOrAuto = 0
    disk_bytes: CountOrAuto = 0
    runtime_class: str = ""
    """RuntimeClass, as of gVisor or Kata; empty: the cluster's default."""
    node_selector: str = ""
    """`key=value,key=value`; empty: any node."""
    tolerations: str = ""
    """`key=value:NoSchedule,key:NoExecute`; empty: none."""
    ready_s: Seconds = 120.0
    """For a pod to be running; a node that has to fetch the image takes most of it."""
    request_s: Seconds = 10.0
    """Per request to the API server; and so long one that is away is asked again, where that is safe."""
    repository_bytes: Count = 256 * 1024**2
    """Largest repository, packed: each workspace gets a copy."""
    allow_open_network_this_is_unsafe: bool = False
    """Serve also where the cluster does not keep workspaces off the network: agents, and whatever they run, can then
    reach what the cluster's nodes reach."""


class OrchestratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    deliberations: Count = 8
    """At once in one orchestrator; more wait in the queue."""
    examinations: CountOrAuto = 0
    """At once in one orchestrator; 0 is the number of cores."""
    max_attempts: Count = 3
    """Of one agent, when its actor or workspace dies under it."""
    baseline_runs: Count = 2
    """Of base's own tests: a test that differs between runs is flaky and gates nothing."""
    check_timeout_s: Seconds = 600.0
    queue: Count = 10_000
    """Tasks that may wait or run; a further one is refused (RESOURCE_EXHAUSTED, with a time to come back)."""
    fleet_tokens_per_day: CountOrAuto = 0
    """Quota of all tasks together, over the last 24 hours; when it is spent, new ones are refused. 0: none."""
    fleet_usd_per_day: Price = 0.0
    """The same in US dollars, at the model's prices. 0: none."""
    fleet_agent_hours_per_day: Price = 0.0
    """The same in hours of agents: three that work for twenty minutes use one. 0: none."""
    context_tokens: CountOrAuto = 4_000
    """Of what an agent is told of earlier work; 0: nothing."""
    context_timeout_s: Seconds = 2.0
    """The context service may be away: then agents work without it."""
    attempt_grace_s: Seconds = 180.0
    """Added to an agent's wall limit before its attempt counts as lost: a new actor, the transcript, the bundle."""
    policy: str = ""
    """File with the jury's numbers, TOML as those that ship (`kernel/jury/policies`); empty: the newest of these."""
    policies: str = ""
    """Folder of such files, each of which names a `repository`, as `moot policy learn` writes them: tasks there are
    decided by it instead. Empty: none."""


class PlanningSettings(msgspec.Struct, frozen=True, kw_only=True):
    repairs: CountOrAuto = 2
    """Answers of the coach's or planner's model that may be unusable before the step fails; each gets a correction."""
    tasks_in_flight: Count = 4
    """Of one story at once: a story of many tasks leaves room for the others."""
    story_tokens: CountOrAuto = 0
    """Budget of a whole story, over all its agents, its coach and its planner; when it is spent no further task is
    released. 0: none."""


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True):
    stories_days: Days = 0.0
    """Stories, and tasks of no story, that ended and were left alone so long are forgotten, as by `moot forget`.
    0: they are kept for ever."""
    artifacts_hours: GraceHours = 24.0
    """An artifact that no event names is kept so long while tasks run: one of them may be about to name it."""
    sweep_s: Seconds = 21_600.0
    """Between two looks of `moot up` for what is over its time; each reads all logs."""


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    otlp_url: str = ""
    """Base URL of an OpenTelemetry collector (OTLP over HTTP), to which spans are sent; empty: nowhere."""
    metrics_listen: str = ""
    """host:port where a service serves Prometheus metrics at `/metrics`; port 0 chooses one. The embedded platform's
    services take this port and those behind it. Empty: nowhere."""


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True):
    shift_file: str = ""
    """A file with seconds that are added to this process's wall time, read again each time: for tests of clocks that
    jump. Empty: none."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    data: str = ""
    """The data folder; empty is the platform's user data folder (`data_folder`)."""
    clock: ClockSettings = ClockSettings()
    log: LogSettings = LogSettings()
    grpc: GrpcSettings = GrpcSettings()
    model: ModelSettings = ModelSettings()
    agents: AgentSettings = AgentSettings()
    runner: RunnerSettings = RunnerSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    planning: PlanningSettings = PlanningSettings()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    retention: RetentionSettings = RetentionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def data_folder(self) -> Path:
        return Path(self.data)


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises InvalidInput naming the setting that is wrong. `environment` defaults to the process's own."""
    env = os.environ if environment is None else environment  # noqa: TID251 -- the one place
    data = Path(env.get("FOLKMOOT_DATA") or _user_data(env)).expanduser().absolute()
    config = Path(env.get("FOLKMOOT_CONFIG") or data / "folkmoot.toml")
    values = _from_file(config, required="FOLKMOOT_CONFIG" in env)
    for name, value in env.items():
        _set_from_variable(values, name, value)
    values["data"] = str(data)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _named(error) from error
    _check_ports(settings)
    _check_collector(settings.telemetry.otlp_url)
    return settings


def inherited(*names: str) -> dict[str, str]:
    """The named variables of our own environment, those that are set: what a child process may know."""
    return {n: os.environ[n] for n in names if n in os.environ}  # noqa: TID251 -- the one place


def variables(settings: Settings) -> dict[str, str]:
    """The whole of `settings` as environment variables, for a child process."""
    tree = msgspec.to_builtins(settings)
    flat = {"FOLKMOOT_DATA": tree.pop("data")}
    for group, fields in tree.items():
        flat |= {f"FOLKMOOT_{group}_{name}".upper(): _text(value) for name, value in fields.items()}
    return flat


_META = {"FOLKMOOT_DATA", "FOLKMOOT_CONFIG", "FOLKMOOT_TESTBED"}
"""Read elsewhere; the last is where `deploy/testbed` keeps what it builds."""
_GROUPS: dict[str, type[msgspec.Struct]] = {
    f.name: f.type
    for f in msgspec.structs.fields(Settings)
    if isinstance(f.type, type) and issubclass(f.type, msgspec.Struct)
}


def _user_data(env: Mapping[str, str]) -> str:
    return str(Path(env.get("XDG_DATA_HOME") or Path(env.get("HOME", "/")) / ".local/share") / "folkmoot")


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise InvalidInput("FOLKMOOT_CONFIG", f"{path} is no file")
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), str(error)) from error
    for group, fields in values.items():
        _require_known(path, group, fields)
    return values


def _require_known(path: Path, group: str, fields: object) -> None:
    """A key that nobody reads is a mistake that nobody would notice."""
    if group not in _GROUPS or not isinstance(fields, dict):
        raise InvalidInput(f"{path}: {group}", "is no group of settings; see docs/settings.md")
    for name in fields:
        if name not in _GROUPS[group].__struct_fields__:
            raise InvalidInput(f"{path}: {group}.{name}", "is no setting; see docs/settings.md")


def _named(error: msgspec.ValidationError) -> InvalidInput:
    """`Expected … - at `$.group.name`` with the name in front."""
    problem, found, place = str(error).rpartition(" - at `$.")
    return InvalidInput(place.rstrip("`"), problem) if found else InvalidInput("settings", str(error))


def _check_ports(settings: Settings) -> None:
    """Raises InvalidInput for an address whose port is none."""
    names = ("listen", "planning", "orchestrator", "context", "runner")
    addresses = {f"grpc.{name}": getattr(settings.grpc, name) for name in names}
    addresses["agents.ray_address"] = settings.agents.ray_address
    addresses["telemetry.metrics_listen"] = settings.telemetry.metrics_listen
    for name, address in addresses.items():
        _, colon, port = address.rpartition(":")
        if address and not (colon and port.isdecimal() and int(port[:6]) <= MAX_PORT):
            raise InvalidInput(name, f"{address!r} is no host:port with a port up to {MAX_PORT}")


def _check_collector(url: str) -> None:
    """Raises InvalidInput: a URL goes into the log when the collector is away, so it holds no password."""
    if url and (not url.startswith(("http://", "https://")) or "@" in url or "?" in url):
        raise InvalidInput("telemetry.otlp_url", "must be as http://host:4318, without user, password and query")


def _set_from_variable(values: dict[str, Any], name: str, value: str) -> None:
    if not name.startswith("FOLKMOOT_") or name in _META:
        return
    group, _, field = name.removeprefix("FOLKMOOT_").lower().partition("_")
    if group not in _GROUPS or field not in _GROUPS[group].__struct_fields__:
        raise InvalidInput(name, "is no setting; see docs/settings.md")
    values.setdefault(group, {})[field] = value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""What a caller asks for: one task, its limits, its model."""

import hashlib
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from folkmoot.kernel import ids
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import CommitId, StoryId, TaskId

MAX_TEXT_CHARS = 32_000
"""A story must fit into one 64 KiB event with room for its checks."""
MAX_SPEC_BYTES = 48 * 1024
"""Of the task as JSON, where a line break takes two bytes and a Chinese letter three: it stands in several events."""
MAX_TITLE_CHARS = 200
MAX_CHECKS = 20
MAX_CHECK_CHARS = 1_000
MAX_AGENTS = 16
MAX_SUPERSEDED = 200
MAX_TEST_CHARS = 500
MAX_PATHS = 1_000
"""A merge task has those of all that it joins."""
MAX_PATH_CHARS = 500
MAX_BUDGET = 1e9
"""Of any limit: infinity cannot be written into the log."""


class Rigor(StrEnum):
    """How much evidence a decision needs (design, section 4)."""

    L0 = "L0"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


DEFAULT_AGENTS = {Rigor.L0: 1, Rigor.L1: 3, Rigor.L2: 3, Rigor.L3: 3}
JOINED = (Rigor.L2, Rigor.L3)
"""Where more agents may join: what they propose is weighed against the rest."""
DEFAULT_MAX_AGENTS = {Rigor.L0: 0, Rigor.L1: 0, Rigor.L2: 5, Rigor.L3: 5}
"""Where the caller leaves both numbers to the rigor."""


class TaskKind(StrEnum):
    CHANGE = "change"
    """Ends in a commit that agents wrote."""
    MERGE = "merge"
    """Brings decided commits together: the platform does it where they do not conflict, agents where they do."""
    ANALYSIS = "analysis"
    """Ends in a document, not a commit: a plan, a review, a root cause or a suggested patch."""


class Role(StrEnum):
    """What an agent sits in a council as; prompt, tools and rubric hang on it."""

    DEV = "DEV"
    QA = "QA"
    ARCHITECT = "ARCHITECT"
    DEVOPS = "DEVOPS"
    DATA = "DATA"


class ModelChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which model plays the agents. Empty fields mean the platform's configured one."""

    url: str = ""
    """Base URL of an OpenAI-compatible API, as `http://host/v1`."""
    name: str = ""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one agent's run; the first that is hit ends it and is named in its result."""

    steps: int = 60
    """Model calls."""
    tokens: int = 2_000_000
    """Prompt and completion tokens together."""
    cost_usd: float = 10.0
    """At the prices in the settings; 0 prices mean that this limit is never hit."""
    wall_s: float = 1_800.0


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One task, whole: a deliberation needs nothing else from its caller."""

    task_id: TaskId
    story_id: StoryId = StoryId("")
    title: str
    text: str
    repository: str
    """Path on the runner's machine, or URL."""
    base_ref: str = "HEAD"
    checks: tuple[str, ...] = ()
    """Acceptance: shell commands that exit with 0 on a good candidate."""
    agents: int
    rigor: Rigor = Rigor.L1
    model: ModelChoice = ModelChoice()
    workspace: str = "local"
    budget: Budget = Budget()
    kind: TaskKind = TaskKind.CHANGE
    role: Role = Role.DEV
    council: str = ""
    """Name of the council that sits; empty is the role's default."""
    paths: tuple[str, ...] = ()
    """Files and folders that the plan expects it to write; a hint to agents, not a gate."""
    depends_on: tuple[TaskId, ...] = ()
    """Tasks whose results it builds on."""
    merge: tuple[CommitId, ...] = ()
    """Decided commits that it starts from instead of `base_ref`; several only in a merge task."""
    max_agents: int = 0
    """More seats may be filled up to this number while evidence is short; 0: `agents` and no more."""
    superseded: tuple[str, ...] = ()
    """Ids of base's tests that the story makes wrong: they gate nothing."""
    total: Budget | None = None
    """Limits of the whole task, `steps` as model calls; the first that is hit ends it with the best so far."""
    continues: TaskId = TaskId("")
    """An ended task whose candidates are judged anew, without agents proposing again."""


_LATER: dict[str, object] = {
    "kind": "change",
    "role": "DEV",
    "council": "",
    "paths": (),
    "depends_on": (),
    "merge": (),
    "max_agents": 0,
    "superseded": (),
    "total": None,
    "continues": "",
}


def digest(spec: TaskSpec) -> str:
    """SHA-256 of the canonical form: equal for equal content, whatever the order of keys.

    Fields that came later are left out at their defaults, so that an old task keeps its digest.
    """
    content = {k: v for k, v in msgspec.to_builtins(spec).items() if _LATER.get(k, ...) != v}
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def asked(spec: TaskSpec) -> TaskSpec:
    """`validated`, and what is refused of new tasks only: logs hold some of before. Raises InvalidInput."""
    if spec.max_agents > spec.agents and spec.rigor not in JOINED:
        raise InvalidInput("max_agents", f"more join at L2 and L3 only, and this is {spec.rigor}: give `agents`")
    return validated(spec)


BACKENDS = ("local", "kubernetes")
"""Where workspaces may be."""


def validated(spec: TaskSpec) -> TaskSpec:
    """Return `spec`; raises InvalidInput naming the first field that is wrong."""
    _text("title", spec.title, MAX_TITLE_CHARS)
    _text("text", spec.text, MAX_TEXT_CHARS)
    _text("repository", spec.repository, 4_096)
    _without_credentials("repository", spec.repository)
    checked_model_url("model_url", spec.model.url)
    _text("base_ref", spec.base_ref, 256)
    if spec.base_ref.startswith("-"):
        raise InvalidInput("base_ref", "a ref does not start with '-'")
    if len(spec.checks) > MAX_CHECKS:
        raise InvalidInput("checks", f"{len(spec.checks)} checks; at most {MAX_CHECKS}")
    for i, check in enumerate(spec.checks):
        _text(f"checks[{i}]", check, MAX_CHECK_CHARS)
    _seats(spec)
    if spec.workspace not in BACKENDS:
        raise InvalidInput("workspace", f"{spec.workspace[:80]!r} is neither `local` nor `kubernetes`")
    checked_budget("budget", spec.budget)
    checked_budget("total", spec.total or Budget())
    _superseded(spec.superseded)
    if spec.kind is TaskKind.ANALYSIS:
        _analysis(spec)
    if spec.continues:
        ids.token(spec.continues, "continues")
    _paths(spec.paths)
    size = len(msgspec.json.encode(spec))
    if size > MAX_SPEC_BYTES:
        raise InvalidInput("text", f"with title and checks it takes {size} bytes; at most {MAX_SPEC_BYTES}")
    return spec


def checked_model_url(field: str, url: str) -> None:
    """Empty, or a base URL without credentials; raises InvalidInput naming `field`."""
    _without_credentials(field, url)
    if url and not url.startswith(("http://", "https://")):
        raise InvalidInput(field, f"{url[:200]!r} is no base URL of a model server, as http://host/v1")


def _without_credentials(field: str, address: str) -> None:
    """What a task says is kept in the log for ever; a user name alone is no secret where ssh wants one."""
    if "://" not in address:
        return
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InvalidInput(field, f"is no URL: {error}") from error
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise InvalidInput(field, "the URL holds credentials, which would be kept in the log; remove them")


def checked_budget(field: str, budget: Budget) -> None:
    """Raises InvalidInput naming the limit as `<field>.<limit>`."""
    for limit in Budget.__struct_fields__:
        value = getattr(budget, limit)
        if not 0 < value <= MAX_BUDGET:
            raise InvalidInput(f"{field}.{limit}", f"{value}; more than 0, at most {MAX_BUDGET:g}")


def _seats(spec: TaskSpec) -> None:
    if not 1 <= spec.agents <= MAX_AGENTS:
        raise InvalidInput("agents", f"{spec.agents}; from 1 to {MAX_AGENTS}")
    if spec.max_agents and not spec.agents <= spec.max_agents <= MAX_AGENTS:
        raise InvalidInput("max_agents", f"{spec.max_agents}; from {spec.agents} (the agents) to {MAX_AGENTS}")
    if spec.council:
        ids.token(spec.council, "council")


def _analysis(spec: TaskSpec) -> None:
    """What is about commits has no meaning where there is none."""
    for field in ("checks", "superseded", "continues"):
        if getattr(spec, field):
            raise InvalidInput(field, "an analysis ends in a document, and makes no commit that this could be asked of")
    if spec.max_agents:
        raise InvalidInput("max_agents", "an analysis asks all its agents at once: give `agents`")


def _superseded(tests: tuple[str, ...]) -> None:
    if len(tests) > MAX_SUPERSEDED:
        raise InvalidInput("superseded", f"{len(tests)} tests; at most {MAX_SUPERSEDED}")
    for i, test in enumerate(tests):
        _text(f"superseded[{i}]", test, MAX_TEST_CHARS)


def _paths(paths: tuple[str, ...]) -> None:
    """A hint, so that only what could do harm in a prompt or a file system is refused."""
    if len(paths) > MAX_PATHS:
        raise InvalidInput("paths", f"{len(paths)} paths; at most {MAX_PATHS}")
    for i, path in enumerate(paths):
        _text(f"paths[{i}]", path, MAX_PATH_CHARS)
        if path.startswith("/") or ".." in path.split("/") or not path.isprintable():
            raise InvalidInput(f"paths[{i}]", f"{path[:200]!r} is no plain path below the repository's root")


def _text(field: str, value: str, limit: int) -> None:
    if not value.strip():
        raise InvalidInput(field, "is empty")
    if len(value) > limit:
        raise InvalidInput(field, f"{len(value)} characters; at most {limit}")
    if "\x00" in value:
        raise InvalidInput(field, "holds a NUL character")

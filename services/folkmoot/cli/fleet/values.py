"""Agents, councils, parked messages and the status as `moot` shows them; what their files hold. No I/O here."""

from datetime import UTC

import msgspec

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel.events import timestamp


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of one agent's run; what is absent is the platform's own."""

    steps: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    wall_s: float | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile; empty fields are the platform's or the role's own."""

    name: str
    role: str = "DEV"
    persona: str = ""
    instructions: str = ""
    model_url: str = ""
    model: str = ""
    temperature: float | None = None
    tools: tuple[str, ...] = ()
    budget: Limits | None = None
    shipped: bool = False
    """Said by the platform; a file's word does not count."""


class Council(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    role: str = "DEV"
    agents: tuple[str, ...]
    default: bool = False
    description: str = ""
    shipped: bool = False
    """Said by the platform; a file's word does not count."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    stream: str
    subject: str
    deliveries: int
    reason: str
    parked_at: str
    replayed: bool
    body: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    waiting: int
    running: int
    capacity: int
    parked: int
    tokens_today: int
    tokens_per_day: int
    """0: no quota."""
    usd_today: float = 0.0
    usd_per_day: float = 0.0
    agent_hours_today: float = 0.0
    agent_hours_per_day: float = 0.0
    refusing: str = ""
    """Why a new task would be refused now, and one of a story waits; empty while there is room."""
    retry_after_s: float = 0
    """Until that may have changed."""


def agent(wire: pb.Agent) -> Agent:
    return Agent(
        name=wire.name,
        role=wire.role,
        persona=wire.persona,
        instructions=wire.instructions,
        model_url=wire.model_url,
        model=wire.model,
        temperature=wire.temperature if wire.HasField("temperature") else None,
        tools=tuple(wire.tools),
        budget=_limits(wire.budget) if wire.HasField("budget") else None,
        shipped=wire.shipped,
    )


def agent_to_wire(agent: Agent) -> pb.Agent:
    return pb.Agent(
        name=agent.name,
        role=agent.role,
        persona=agent.persona,
        instructions=agent.instructions,
        model_url=agent.model_url,
        model=agent.model,
        temperature=agent.temperature,
        tools=agent.tools,
        budget=limits_to_wire(agent.budget),
    )


def limits_to_wire(limits: Limits | None) -> pb.Budget | None:
    return pb.Budget(**msgspec.to_builtins(limits)) if limits else None


def _limits(wire: pb.Budget) -> Limits:
    return Limits(**{field.name: value for field, value in wire.ListFields()})


def council(wire: pb.Council) -> Council:
    return Council(
        name=wire.name,
        role=wire.role,
        agents=tuple(wire.agents),
        default=wire.default,
        description=wire.description,
        shipped=wire.shipped,
    )


def council_to_wire(council: Council) -> pb.Council:
    return pb.Council(
        name=council.name,
        role=council.role,
        agents=council.agents,
        default=council.default,
        description=council.description,
    )


def parked(wire: pb.Parked) -> Parked:
    return Parked(
        sequence=wire.sequence,
        stream=wire.stream,
        subject=wire.subject,
        deliveries=wire.deliveries,
        reason=wire.reason,
        parked_at=timestamp(wire.parked_at.ToDatetime(tzinfo=UTC)),
        replayed=wire.replayed,
        body=wire.body,
    )


def status(wire: pb.GetStatusResponse) -> Status:
    return Status(**{field.name: getattr(wire, field.name) for field in msgspec.structs.fields(Status)})

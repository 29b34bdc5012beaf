"""The operator's half of the gRPC front: agents and councils, the status, parked messages."""

from __future__ import annotations  # the generated stub types exist for the checker only

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel import ids
from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.kernel.facts import AgentRegistered, AgentUnregistered, CouncilCreated, CouncilDeleted
from folkmoot.kernel.fleet import NO_LIMIT, AgentProfile, Council
from folkmoot.kernel.limits import HOUR_S
from folkmoot.kernel.registry import Registry
from folkmoot.kernel.task import Budget, ModelChoice, Role
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import Gate
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.orchestrator.parked import Parked, ParkedMessages
from folkmoot.orchestrator.worker import Worker
from folkmoot.runtime.grpc.results import budget_from_wire, role_from_wire
from folkmoot.runtime.grpc.server import Context
from folkmoot.runtime.settings import OrchestratorSettings

MAX_ACTOR_CHARS = 200
MAX_PARKED = 1_000
BODY_CHARS = 4_000
"""A thousand of them fit into one answer."""


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator's calls are answered from."""

    fleet: Fleet
    parked: ParkedMessages
    gate: Gate
    ledger: Ledger
    worker: Worker
    settings: OrchestratorSettings


class OperationsServicer(rpc.OrchestratorServiceServicer):
    """Raises kernel errors only; the server maps them."""

    def __init__(self, operations: Operations) -> None:
        self._on = operations

    # --- agents ---------------------------------------------------------------------------------------------------

    async def RegisterAgent(self, request: pb.RegisterAgentRequest, context: Context) -> pb.RegisterAgentResponse:
        agent = _agent_from_wire(request.agent)
        registry = await self._on.fleet.record(AgentRegistered(actor=_actor(request.actor), agent=agent))
        return pb.RegisterAgentResponse(agent=_agent_to_wire(registry, registry.agents[agent.name]))

    async def UnregisterAgent(self, request: pb.UnregisterAgentRequest, context: Context) -> pb.UnregisterAgentResponse:
        name = ids.token(request.name, "name")
        await self._on.fleet.record(AgentUnregistered(actor=_actor(request.actor), name=name))
        return pb.UnregisterAgentResponse()

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        role, registry = _role_or_all(request.role), await self._on.fleet.registry()
        found = [a for _, a in sorted(registry.agents.items()) if role in (None, a.role)]
        return pb.ListAgentsResponse(agents=[_agent_to_wire(registry, a) for a in found])

    # --- councils -------------------------------------------------------------------------------------------------

    async def CreateCouncil(self, request: pb.CreateCouncilRequest, context: Context) -> pb.CreateCouncilResponse:
        council = _council_from_wire(request.council)
        registry = await self._on.fleet.record(CouncilCreated(actor=_actor(request.actor), council=council))
        return pb.CreateCouncilResponse(council=_council_to_wire(registry, registry.councils[council.name]))

    async def GetCouncil(self, request: pb.GetCouncilRequest, context: Context) -> pb.GetCouncilResponse:
        name, registry = ids.token(request.name, "name"), await self._on.fleet.registry()
        found = registry.councils.get(name)
        if found is None:
            raise NotFound(f"there is no council {name}")
        return pb.GetCouncilResponse(council=_council_to_wire(registry, found))

    async def ListCouncils(self, request: pb.ListCouncilsRequest, context: Context) -> pb.ListCouncilsResponse:
        role, registry = _role_or_all(request.role), await self._on.fleet.registry()
        found = [c for _, c in sorted(registry.councils.items()) if role in (None, c.role)]
        return pb.ListCouncilsResponse(councils=[_council_to_wire(registry, c) for c in found])

    async def DeleteCouncil(self, request: pb.DeleteCouncilRequest, context: Context) -> pb.DeleteCouncilResponse:
        name = ids.token(request.name, "name")
        await self._on.fleet.record(CouncilDeleted(actor=_actor(request.actor), name=name))
        return pb.DeleteCouncilResponse()

    # --- how things stand -----------------------------------------------------------------------------------------

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        await self._on.ledger.counted()
        full, spent, settings = await self._on.gate.refusal(), self._on.ledger.spent, self._on.settings
        return pb.GetStatusResponse(
            waiting=(await self._on.gate.load()).waiting,
            running=self._on.worker.running,
            capacity=settings.deliberations,
            parked=await self._on.parked.waiting(),
            tokens_today=spent.tokens,
            tokens_per_day=settings.fleet_tokens_per_day,
            usd_today=spent.usd,
            usd_per_day=settings.fleet_usd_per_day,
            agent_hours_today=spent.agent_s / HOUR_S,
            agent_hours_per_day=settings.fleet_agent_hours_per_day,
            refusing=full.problem if full else "",
            retry_after_s=full.retry_after_s if full else 0,
        )

    async def ListParked(self, request: pb.ListParkedRequest, context: Context) -> pb.ListParkedResponse:
        found = await self._on.parked.listed(request.stream)
        return pb.ListParkedResponse(messages=[_parked_to_wire(p) for p in found[:MAX_PARKED]])

    async def ReplayParked(self, request: pb.ReplayParkedRequest, context: Context) -> pb.ReplayParkedResponse:
        await self._on.parked.replay(request.sequence, actor="caller")
        return pb.ReplayParkedResponse()


def _actor(text: str) -> str:
    if len(text) > MAX_ACTOR_CHARS:
        raise InvalidInput("actor", f"{len(text)} characters; at most {MAX_ACTOR_CHARS}")
    return text or "caller"


def _role_or_all(text: str) -> Role | None:
    return role_from_wire(text, "role") if text else None


def _agent_from_wire(wire: pb.Agent) -> AgentProfile:
    return AgentProfile(
        name=wire.name,
        role=role_from_wire(wire.role, "agent.role"),
        persona=wire.persona,
        instructions=wire.instructions,
        model=ModelChoice(url=wire.model_url, name=wire.model),
        temperature=wire.temperature if wire.HasField("temperature") else None,
        tools=tuple(wire.tools),
        budget=budget_from_wire(wire.budget, NO_LIMIT) if wire.HasField("budget") else None,
    )


def _agent_to_wire(registry: Registry, agent: AgentProfile) -> pb.Agent:
    return pb.Agent(
        name=agent.name,
        role=agent.role,
        persona=agent.persona,
        instructions=agent.instructions,
        model_url=agent.model.url,
        model=agent.model.name,
        temperature=agent.temperature,
        tools=agent.tools,
        budget=_limits(agent.budget) if agent.budget else None,
        shipped=agent.name in registry.shipped.agents and agent.name not in registry.registered,
    )


def _limits(budget: Budget) -> pb.Budget:
    """Those that the profile names."""
    named = {n: getattr(budget, n) for n in Budget.__struct_fields__ if getattr(budget, n) != getattr(NO_LIMIT, n)}
    return pb.Budget(**named)


def _council_from_wire(wire: pb.Council) -> Council:
    return Council(
        name=wire.name,
        role=role_from_wire(wire.role, "council.role"),
        agents=tuple(wire.agents),
        default=wire.default,
        description=wire.description,
    )


def _council_to_wire(registry: Registry, council: Council) -> pb.Council:
    return pb.Council(
        name=council.name,
        role=council.role,
        agents=council.agents,
        default=council.default,
        description=council.description,
        shipped=council.name in registry.shipped.councils and council.name not in registry.created,
    )


def _parked_to_wire(parked: Parked) -> pb.Parked:
    stamp = Timestamp()
    stamp.FromDatetime(parked.stored.event.time)
    return pb.Parked(
        sequence=parked.stored.seq,
        subject=parked.fact.subject,
        stream=parked.fact.stream,
        deliveries=parked.fact.deliveries,
        reason=parked.fact.reason,
        parked_at=stamp,
        body=parked.fact.body[:BODY_CHARS],
        replayed=parked.replayed,
    )

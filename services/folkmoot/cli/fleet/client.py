"""Calls about who may sit, what lies parked, and how things stand."""

from typing import Any

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.cli.fleet import values
from folkmoot.runtime.grpc.client import mapped

CALL_S = 30.0
"""Longest wait for one answer."""


class Fleet:
    """The orchestrator's side of councils, with values of `moot` on ours. All calls raise kernel errors."""

    def __init__(self, orchestrator: Any, options: dict[str, Any]) -> None:
        self._orchestrator = orchestrator
        self._options = options

    async def agents(self, role: str) -> tuple[values.Agent, ...]:
        """Of one role; empty is all."""
        reply = await self._asked(self._orchestrator.ListAgents, pb.ListAgentsRequest(role=role))
        return tuple(values.agent(a) for a in reply.agents)

    async def register(self, agent: values.Agent, actor: str) -> values.Agent:
        request = pb.RegisterAgentRequest(agent=values.agent_to_wire(agent), actor=actor)
        return values.agent((await self._asked(self._orchestrator.RegisterAgent, request)).agent)

    async def unregister(self, name: str, actor: str) -> None:
        await self._asked(self._orchestrator.UnregisterAgent, pb.UnregisterAgentRequest(name=name, actor=actor))

    async def councils(self, role: str) -> tuple[values.Council, ...]:
        """Of one role; empty is all."""
        reply = await self._asked(self._orchestrator.ListCouncils, pb.ListCouncilsRequest(role=role))
        return tuple(values.council(c) for c in reply.councils)

    async def council(self, name: str) -> values.Council:
        reply = await self._asked(self._orchestrator.GetCouncil, pb.GetCouncilRequest(name=name))
        return values.council(reply.council)

    async def create(self, council: values.Council, actor: str) -> values.Council:
        request = pb.CreateCouncilRequest(council=values.council_to_wire(council), actor=actor)
        return values.council((await self._asked(self._orchestrator.CreateCouncil, request)).council)

    async def delete(self, name: str, actor: str) -> None:
        await self._asked(self._orchestrator.DeleteCouncil, pb.DeleteCouncilRequest(name=name, actor=actor))

    async def status(self) -> values.Status:
        return values.status(await self._asked(self._orchestrator.GetStatus, pb.GetStatusRequest()))

    async def parked(self, stream: str) -> tuple[values.Parked, ...]:
        """Of one stream; empty is all. The newest first."""
        reply = await self._asked(self._orchestrator.ListParked, pb.ListParkedRequest(stream=stream))
        return tuple(values.parked(p) for p in reply.messages)

    async def replay(self, sequence: int) -> None:
        await self._asked(self._orchestrator.ReplayParked, pb.ReplayParkedRequest(sequence=sequence))

    async def _asked(self, call: Any, request: Any) -> Any:
        with mapped():
            return await call(request, timeout=CALL_S, **self._options)

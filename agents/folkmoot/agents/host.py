"""What a host of agents holds: one connection to the log, one HTTP client, one channel to each runner."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import msgspec

from folkmoot.agents.assignment import Assignment, WorkspaceGrant
from folkmoot.agents.model import model_client
from folkmoot.agents.run import Bus, Model, run_assignment
from folkmoot.kernel.facts import AgentFinished
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.process import instance
from folkmoot.runtime.settings import GrpcSettings, Settings
from folkmoot.runtime.telemetry.ambient import OFF, Id, Telemetry, ambient, on, spanned
from folkmoot.runtime.telemetry.context import within
from folkmoot.runtime.telemetry.meters import Tally
from folkmoot.runtime.telemetry.start import spans_of
from folkmoot.runtime.workspace.port import Workspace


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What agents are run with; shared by all runs of one host."""

    model: Model
    bus: Bus
    clock: Clock
    workspace: Callable[[WorkspaceGrant], Workspace]
    telemetry: Telemetry = OFF
    """Of a host in a process of its own; one in ours has what we have."""
    tally: Tally | None = None
    """Counts of its runs, for whoever takes their results."""


Opening = Callable[[Settings], AbstractAsyncContextManager[Parts]]


@asynccontextmanager
async def real_parts(settings: Settings) -> AsyncIterator[Parts]:
    """NATS as the user `agents`, HTTP, gRPC. Raises Unavailable, Misconfigured."""
    from folkmoot.runtime.log.nats import connect

    clock, tally = SystemClock(settings.clock.shift_file), Tally()
    async with (
        spans_of(settings.telemetry, "agents", tally) as telemetry,
        connect(settings.log, source=f"/agents/{instance('agents')}", clock=clock) as bus,
        model_client(settings.model, clock.sleep) as model,
        _channels() as workspace,
    ):
        yield Parts(model=model, bus=bus, clock=clock, workspace=workspace, telemetry=telemetry, tally=tally)


@asynccontextmanager
async def _channels() -> AsyncIterator[Callable[[WorkspaceGrant], Workspace]]:
    """Workspaces by grant; the runners' channels are opened when first needed and kept."""
    import grpc

    from folkmoot.runtime.grpc.client import channel
    from folkmoot.runtime.workspace.client import GrpcWorkspace

    channels: dict[str, grpc.aio.Channel] = {}
    async with AsyncExitStack() as stack:

        def workspace(grant: WorkspaceGrant) -> Workspace:
            if grant.endpoint not in channels:
                channels[grant.endpoint] = channel(grant.endpoint)
                stack.push_async_callback(channels[grant.endpoint].close)
            return GrpcWorkspace(channels[grant.endpoint], workspace_id=grant.workspace_id, token=grant.token)

        yield workspace


async def hosted(assignment: Assignment, parts: Parts, settings: Settings) -> AgentFinished:
    """One run. Raises AttemptLost."""
    telemetry = on() if parts.telemetry is OFF else parts.telemetry
    ids: dict[str, Id] = {"task_id": assignment.task_id, "agent_id": assignment.agent_id, "attempt": assignment.attempt}
    with ambient(telemetry), within(assignment.traceparent), spanned("agent run", ids):
        return await run_assignment(
            assignment,
            workspace=parts.workspace(assignment.workspace),
            model=parts.model,
            bus=parts.bus,
            clock=parts.clock,
            settings=settings,
        )


def for_hosts(settings: Settings) -> Settings:
    """What a host may know: the bus user `agents`, and no secret of anybody else. A model's key comes with each
    assignment, for its own endpoint."""
    log = msgspec.structs.replace(settings.log, user="agents", password=settings.agents.log_password)
    agents = msgspec.structs.replace(settings.agents, log_password="")
    model = msgspec.structs.replace(settings.model, api_key="")
    return msgspec.structs.replace(settings, log=log, agents=agents, model=model, grpc=GrpcSettings())

"""`python -P -m folkmoot.orchestrator`: one replica of the orchestrator."""

import asyncio
import logging
import os
from collections.abc import Coroutine

import msgspec

from folkmoot.agents.errors import AttemptLost
from folkmoot.agents.model import model_client
from folkmoot.agents.pool import AgentPool, RayPool
from folkmoot.agents.roles import SHIPPED
from folkmoot.agents.structured import Model
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.kernel.errors import Misconfigured
from folkmoot.kernel.limits import Prices
from folkmoot.orchestrator import policies
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.desk import Desk
from folkmoot.orchestrator.earlier import Earlier, earlier_work
from folkmoot.orchestrator.examiner import Examiner
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.orchestrator.gate import Gate, quota_of
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.orchestrator.operations import Operations
from folkmoot.orchestrator.parked import ParkedMessages
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.runner import Runner, connected
from folkmoot.orchestrator.service import OrchestratorServicer
from folkmoot.orchestrator.worker import Worker
from folkmoot.runtime import ray
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import LogSettings, ModelSettings, OrchestratorSettings, Settings

log = logging.getLogger(__name__)

EXIT_CLUSTER_LOST = 75
"""EX_TEMPFAIL of sysexits.h: starting again helps."""

SPARE_DELIVERIES = 3
"""To write an end takes one; the others are for faults while doing so."""


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    name, clock = instance("orchestrator"), SystemClock(settings.clock.shift_file)
    if not settings.grpc.runner:
        raise Misconfigured("grpc.runner is empty: set FOLKMOOT_GRPC_RUNNER to the runner's host:port")
    if not settings.agents.ray_address:
        raise Misconfigured("agents.ray_address is empty: set FOLKMOOT_AGENTS_RAY_ADDRESS, or use `moot up`")
    async with (
        connect(_with_spare_deliveries(settings.log), source=f"/orchestrator/{name}", clock=clock) as bus,
        connected(settings.grpc.runner, settings.grpc.token) as runner,
        earlier_work(settings) as earlier,
        RayPool(settings) as pool,
        model_client(settings.model, clock.sleep) as judge,
    ):
        fleet, ledger = Fleet(bus.log, SHIPPED), Ledger(bus.log, clock, _prices(settings.model))
        parts = _parts(settings, bus, runner, pool, fleet, earlier, clock, judge)
        gate = _gate(settings.orchestrator, bus, ledger, clock)
        desk = Desk(bus.log, bus.queues, parts.councils, gate, backend=settings.runner.backend)
        worker = Worker(name, parts, desk, max_deliver=settings.log.max_deliver)
        operations = Operations(
            fleet=fleet,
            parked=ParkedMessages(bus.log, bus.queues),
            gate=gate,
            ledger=ledger,
            worker=worker,
            settings=settings.orchestrator,
        )
        servicer = OrchestratorServicer(operations, desk, bus.log, bus.artifacts, clock)
        async with serving(settings.grpc, [_service(servicer)]) as address, asyncio.TaskGroup() as group:
            owned = _owned(settings, worker, ledger, pool)
            tasks = [group.create_task(work, name=name) for name, work in owned.items()]
            announcement.ready(address)
            await stop.wait()
            for task in tasks:
                task.cancel()


def _service(servicer: OrchestratorServicer) -> Service:
    return Service(
        name="folkmoot.api.orchestrator.v1.OrchestratorService",
        servicer=servicer,
        add=rpc.add_OrchestratorServiceServicer_to_server,
    )


def _owned(settings: Settings, worker: Worker, ledger: Ledger, pool: RayPool) -> dict[str, Coroutine[None, None, None]]:
    """What runs for as long as the service, by name."""
    carrying = range(settings.orchestrator.deliberations)
    return {
        "stories": worker.follow_stories(),
        "replays": worker.follow_replays(),
        "ledger": ledger.follow(),
        "cluster": _end_with_cluster(pool, settings.agents.ray_address),
        **{f"deliberations {n}": worker.carry_requests() for n in carrying},
    }


def _with_spare_deliveries(log_settings: LogSettings) -> LogSettings:
    """A request that killed its owners is handed out once more, so that its task ends and says so."""
    return msgspec.structs.replace(log_settings, max_deliver=log_settings.max_deliver + SPARE_DELIVERIES)


async def _end_with_cluster(pool: RayPool, address: str) -> None:
    """Agents wait until the cluster is joined; everything else goes on meanwhile.

    Nobody can leave a dead cluster in good order: Ray waits for it a minute, then aborts. All that we know is in the
    log, so we end at once; a new process joins the new cluster and goes on."""
    try:
        await pool.start()
        await ray.gone(address)
        problem = f"no Ray cluster is at {address} any more"
    except (Misconfigured, AttemptLost) as error:
        problem = str(error)
    log.error("%s: this orchestrator ends, to be started again", problem)
    os._exit(EXIT_CLUSTER_LOST)


def _gate(settings: OrchestratorSettings, bus: NatsBus, ledger: Ledger, clock: SystemClock) -> Gate:
    return Gate(bus.queues, ledger, clock, queue=settings.queue, quota=quota_of(settings))


def _prices(model: ModelSettings) -> Prices:
    return Prices(prompt_usd=model.price_prompt_usd, completion_usd=model.price_completion_usd)


def _parts(
    settings: Settings,
    bus: NatsBus,
    runner: Runner,
    pool: AgentPool,
    fleet: Fleet,
    earlier: Earlier,
    clock: SystemClock,
    judge: Model,
) -> Parts:
    return Parts(
        log=bus.log,
        queues=bus.queues,
        artifacts=bus.artifacts,
        runner=runner,
        pool=pool,
        examiner=Examiner(
            runner,
            bus.artifacts,
            parallel=settings.orchestrator.examinations or os.cpu_count() or 1,
            check_timeout_s=settings.orchestrator.check_timeout_s,
        ),
        councils=Councils(fleet, settings.model),
        earlier=earlier,
        clock=clock,
        settings=settings.orchestrator,
        model=settings.model,
        policy=policies.of_all(settings.orchestrator.policy),
        policies=policies.by_repository(settings.orchestrator.policies),
        judge=judge,
    )


if __name__ == "__main__":
    main("orchestrator", serve)

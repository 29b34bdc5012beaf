"""`python -P -m folkmoot.planning`: the one writer of stories (replicas are safe: every append is fenced)."""

import asyncio

from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.planning.service import PlanningServicer
from folkmoot.planning.stories import Stories
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.nats import connect
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import Settings


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    async with connect(
        settings.log, source=f"/planning/{instance('planning')}", clock=SystemClock(settings.clock.shift_file)
    ) as bus:
        stories = Stories(bus.log, bus.queues, max_deliver=settings.log.max_deliver)
        await stories.resume()
        service = Service(
            name="folkmoot.api.planning.v1.PlanningService",
            servicer=PlanningServicer(stories),
            add=rpc.add_PlanningServiceServicer_to_server,
        )
        async with serving(settings.grpc, [service]) as address, asyncio.TaskGroup() as group:
            decisions = group.create_task(stories.follow_decisions(), name="decisions")
            announcement.ready(address)
            await stop.wait()
            decisions.cancel()


if __name__ == "__main__":
    main("planning", serve)

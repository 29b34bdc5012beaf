"""`python -P -m folkmoot.context`: the graph service over an embedded store in the data folder."""

import asyncio

from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.context.decisions import Recorder
from folkmoot.context.service import ContextServicer, Projector
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.graph.sqlite import open_sqlite
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.nats import connect
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import Settings


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    graph = await open_sqlite(settings.data_folder / "graph.sqlite3")
    try:
        async with connect(
            settings.log, source=f"/context/{instance('context')}", clock=SystemClock(settings.clock.shift_file)
        ) as bus:
            projector = Projector(bus.log, graph)
            service = Service(
                name="folkmoot.api.context.v1.ContextService",
                servicer=ContextServicer(graph, projector, Recorder(bus.log, graph, projector.reached)),
                add=rpc.add_ContextServiceServicer_to_server,
            )
            async with serving(settings.grpc, [service]) as address, asyncio.TaskGroup() as group:
                projection = group.create_task(projector.run(), name="projection")
                announcement.ready(address)
                await stop.wait()
                projection.cancel()
    finally:
        await graph.close()


if __name__ == "__main__":
    main("context", serve)

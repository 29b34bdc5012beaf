"""`python -P -m folkmoot.planning`: the one writer of stories (replicas are safe: every append is fenced)."""

import asyncio

from folkmoot.agents.model import model_client
from folkmoot.agents.roles import SHIPPED
from folkmoot.agents.structured import Model
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.kernel.due import Limits
from folkmoot.kernel.errors import Misconfigured
from folkmoot.planning.basetests import Examined
from folkmoot.planning.councils import Councils
from folkmoot.planning.journal import Journal
from folkmoot.planning.maker import Maker
from folkmoot.planning.repository import Repositories, connected
from folkmoot.planning.service import PlanningServicer
from folkmoot.planning.stories import Stories
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.nats import NatsBus, connect
from folkmoot.runtime.log.registry import Registered
from folkmoot.runtime.process import Announcement, instance, main
from folkmoot.runtime.settings import Settings

READERS = 8
"""Stories that are assessed and planned at once; a model may take minutes for each."""


async def serve(settings: Settings, announcement: Announcement, stop: asyncio.Event) -> None:
    if not settings.grpc.runner:
        raise Misconfigured("grpc.runner is empty: set FOLKMOOT_GRPC_RUNNER to the runner's host:port")
    clock = SystemClock(settings.clock.shift_file)
    async with (
        connect(settings.log, source=f"/planning/{instance('planning')}", clock=clock) as bus,
        model_client(settings.model, clock.sleep) as model,
        connected(settings.grpc.runner, settings.grpc.token) as runner,
    ):
        stories = _stories(settings, bus, model, runner)
        service = Service(
            name="folkmoot.api.planning.v1.PlanningService",
            servicer=PlanningServicer(stories, bus.log, backend=settings.runner.backend),
            add=rpc.add_PlanningServiceServicer_to_server,
        )
        async with serving(settings.grpc, [service]) as address, asyncio.TaskGroup() as group:
            owned = [
                group.create_task(stories.follow_decisions(), name="decisions"),
                group.create_task(stories.follow_replays(), name="replays"),
            ]
            owned += [group.create_task(stories.follow_stories(), name=f"stories {n}") for n in range(READERS)]
            announcement.ready(address)
            await stop.wait()
            for task in owned:
                task.cancel()


def _stories(settings: Settings, bus: NatsBus, model: Model, runner: Repositories) -> Stories:
    planning = settings.planning
    tests = Examined(bus.log, bus.artifacts)
    maker = Maker(model, runner, tests, settings.model, repairs=planning.repairs)
    limits = Limits(tasks_in_flight=planning.tasks_in_flight, story_tokens=planning.story_tokens)
    journal = Journal(bus.log, maker, limits)
    councils = Councils(Registered(bus.log, SHIPPED))
    return Stories(bus.log, bus.queues, journal, maker, councils, settings.model, max_deliver=settings.log.max_deliver)


if __name__ == "__main__":
    main("planning", serve)

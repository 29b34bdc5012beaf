"""gRPC front of planning: translates, and holds no rule of its own."""

from __future__ import annotations  # the generated stub types exist for the checker only

from collections.abc import AsyncIterator
from contextlib import aclosing

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import CODEC
from folkmoot.kernel.wishes import Wish
from folkmoot.planning import wire
from folkmoot.planning.stories import Stories
from folkmoot.planning.watch import Watch
from folkmoot.runtime.grpc import paging
from folkmoot.runtime.grpc.server import Context
from folkmoot.runtime.log.port import Log


class PlanningServicer(rpc.PlanningServiceServicer):
    """Raises kernel errors only; the server maps them."""

    def __init__(self, stories: Stories, log: Log, *, backend: str = "local") -> None:
        """`backend` is where the runner has its workspaces."""
        self._stories = stories
        self._backend = backend
        self._log = log

    async def CreateStory(self, request: pb.CreateStoryRequest, context: Context) -> pb.CreateStoryResponse:
        planning = wire.planning_from_wire(request.planning)
        story = await self._stories.create(
            wire.spec_of(request.task, self._stories.new_id(request.idempotency_key), backend=self._backend),
            actor=request.actor,
            planning=planning,
            autopilot=wire.autopilot_from_wire(request.approval, planning),
            plan=wire.plan_from_wire(request.plan) if request.HasField("plan") else None,
        )
        return pb.CreateStoryResponse(story=wire.story_to_wire(story))

    async def GetStory(self, request: pb.GetStoryRequest, context: Context) -> pb.GetStoryResponse:
        return pb.GetStoryResponse(story=wire.story_to_wire(await self._stories.find(request.story_id)))

    async def ListStories(self, request: pb.ListStoriesRequest, context: Context) -> pb.ListStoriesResponse:
        before, size = paging.before(request.page_token), paging.size(request.page_size)
        stories, following = await self._stories.newest(before=before, size=size)
        return pb.ListStoriesResponse(
            stories=[wire.listed_to_wire(s) for s in stories], next_page_token=str(following) if following else ""
        )

    async def TransitionStory(self, request: pb.TransitionStoryRequest, context: Context) -> pb.TransitionStoryResponse:
        wish = wire.wish_from_wire(request.transition)
        seen_round = request.expected_round if request.HasField("expected_round") else None
        if wish is Wish.REVISE:
            story = await self._stories.revise(
                request.story_id,
                actor=request.actor,
                reason=request.reason,
                title=request.title,
                text=request.text,
                checks=tuple(request.checks),
                superseded=tuple(request.superseded),
                gating=tuple(request.gating),
                seen_round=seen_round,
            )
        elif request.title or request.text or request.checks or request.superseded or request.gating:
            raise InvalidInput("transition", f"{wish} changes nothing that the story says; revise does")
        else:
            story = await self._stories.transition(
                request.story_id, wish, actor=request.actor, reason=request.reason, seen_round=seen_round
            )
        return pb.TransitionStoryResponse(story=wire.story_to_wire(story))

    async def AssessStory(self, request: pb.AssessStoryRequest, context: Context) -> pb.AssessStoryResponse:
        story = await self._stories.assess(request.story_id, actor=request.actor)
        return pb.AssessStoryResponse(story=wire.story_to_wire(story))

    async def DerivePlan(self, request: pb.DerivePlanRequest, context: Context) -> pb.DerivePlanResponse:
        plan = wire.plan_from_wire(request.plan) if request.HasField("plan") else None
        story = await self._stories.derive(
            request.story_id, actor=request.actor, plan=plan, seen_revision=_seen_revision(request)
        )
        return pb.DerivePlanResponse(story=wire.story_to_wire(story))

    async def ApprovePlan(self, request: pb.ApprovePlanRequest, context: Context) -> pb.ApprovePlanResponse:
        story = await self._stories.approve(
            request.story_id,
            actor=request.actor,
            reason=request.reason,
            superseded=tuple(request.superseded),
            seen_revision=_seen_revision(request),
        )
        return pb.ApprovePlanResponse(story=wire.story_to_wire(story))

    async def RejectPlan(self, request: pb.RejectPlanRequest, context: Context) -> pb.RejectPlanResponse:
        story = await self._stories.reject(
            request.story_id, actor=request.actor, reason=request.reason, seen_revision=_seen_revision(request)
        )
        return pb.RejectPlanResponse(story=wire.story_to_wire(story))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        return pb.ListTasksResponse(tasks=wire.tasks_to_wire(await self._stories.find(request.story_id)))

    async def WatchStory(self, request: pb.WatchStoryRequest, context: Context) -> AsyncIterator[pb.WatchStoryResponse]:
        story = await self._stories.find(request.story_id)
        watch = Watch(self._log, story.story_id, tasks=request.tasks, once=request.once)
        own = watch.subject
        async with aclosing(watch.events(after_seq=request.after_sequence)) as events:
            async for stored in events:
                sequence = stored.seq if stored.event.subject == own else 0
                yield pb.WatchStoryResponse(sequence=sequence, event=CODEC.encode(stored.event))


def _seen_revision(request: pb.DerivePlanRequest | pb.ApprovePlanRequest | pb.RejectPlanRequest) -> int | None:
    """Of the plan that the caller speaks of; None when he does not say."""
    return request.expected_revision if request.HasField("expected_revision") else None

"""gRPC front of planning: translates, and holds no rule of its own."""

from __future__ import annotations  # the generated stub types exist for the checker only

from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.api.planning.v1 import planning_pb2_grpc as rpc
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.story import Story, StoryState, Wish
from folkmoot.planning.stories import Stories
from folkmoot.runtime.grpc.server import Context

PAGE = 50
MAX_PAGE = 200

_STATES = {state: pb.StoryState.Value(f"STORY_STATE_{state.name}") for state in StoryState}
_WISHES = {pb.StoryTransition.Value(f"STORY_TRANSITION_{wish.name}"): wish for wish in Wish}


class PlanningServicer(rpc.PlanningServiceServicer):
    """Raises kernel errors only; the server maps them."""

    def __init__(self, stories: Stories) -> None:
        self._stories = stories

    async def CreateStory(self, request: pb.CreateStoryRequest, context: Context) -> pb.CreateStoryResponse:
        story = await self._stories.create(request.task, idempotency_key=request.idempotency_key, actor=request.actor)
        return pb.CreateStoryResponse(story=_to_wire(story))

    async def GetStory(self, request: pb.GetStoryRequest, context: Context) -> pb.GetStoryResponse:
        return pb.GetStoryResponse(story=_to_wire(await self._stories.find(request.story_id)))

    async def ListStories(self, request: pb.ListStoriesRequest, context: Context) -> pb.ListStoriesResponse:
        if request.page_token and not request.page_token.isdecimal():
            raise InvalidInput("page_token", "is none that we gave out")
        before = int(request.page_token) if request.page_token else None
        stories, following = await self._stories.newest(before=before, size=min(request.page_size or PAGE, MAX_PAGE))
        return pb.ListStoriesResponse(
            stories=[_to_wire(s) for s in stories], next_page_token=str(following) if following else ""
        )

    async def TransitionStory(self, request: pb.TransitionStoryRequest, context: Context) -> pb.TransitionStoryResponse:
        wish = _WISHES.get(request.transition)
        if wish is None:
            raise InvalidInput("transition", "must be accept, send_back or cancel")
        story = await self._stories.transition(request.story_id, wish, actor=request.actor, reason=request.reason)
        return pb.TransitionStoryResponse(story=_to_wire(story))


def _to_wire(story: Story) -> pb.Story:
    created = Timestamp()
    created.FromDatetime(story.created_at.astimezone(UTC))
    return pb.Story(
        story_id=story.story_id,
        title=story.submitted.title,
        state=_STATES[story.state],
        task_ids=story.tasks,
        created_at=created,
        reason=story.reason,
    )

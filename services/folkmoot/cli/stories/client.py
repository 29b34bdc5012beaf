"""Calls about stories."""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from folkmoot.api.planning.v1 import planning_pb2 as pb
from folkmoot.cli.stories import values
from folkmoot.cli.streams import Seen, resumed, seen
from folkmoot.kernel.facts import StoryAccepted, StoryCancelled, StoryCarriedOver
from folkmoot.runtime.grpc.client import mapped, mapped_stream

CALL_S = 30.0
"""Longest wait for one answer."""
MODEL_S = 1_800.0
"""The same where a model is asked first: a slow one is asked up to three times."""
LAST = (StoryAccepted, StoryCancelled, StoryCarriedOver)
"""Nothing follows these."""


class Stories:
    """Planning, with values of `moot` on our side. All calls raise kernel errors."""

    def __init__(self, planning: Any, options: dict[str, Any]) -> None:
        self._planning = planning
        self._options = options

    async def create(self, request: pb.CreateStoryRequest) -> values.Story:
        return await self._asked(self._planning.CreateStory, request)

    async def get(self, story_id: str) -> values.Story:
        return await self._asked(self._planning.GetStory, pb.GetStoryRequest(story_id=story_id))

    async def newest(self, limit: int) -> list[values.Story]:
        """At most `limit`, the newest first."""
        found: list[values.Story] = []
        token = ""
        while len(found) < limit:
            request = pb.ListStoriesRequest(page_size=min(limit - len(found), 200), page_token=token)
            with mapped():
                reply = await self._planning.ListStories(request, timeout=CALL_S, **self._options)
            found += [values.story(s) for s in reply.stories]
            token = reply.next_page_token
            if not token:
                break
        return found[:limit]

    async def tasks(self, story_id: str) -> tuple[values.Task, ...]:
        """In the order in which they may start."""
        with mapped():
            request = pb.ListTasksRequest(story_id=story_id)
            reply = await self._planning.ListTasks(request, timeout=CALL_S, **self._options)
        return tuple(values.task(t) for t in reply.tasks)

    async def transition(self, request: pb.TransitionStoryRequest) -> values.Story:
        return await self._asked(self._planning.TransitionStory, request)

    async def assess(self, story_id: str, actor: str) -> values.Story:
        request = pb.AssessStoryRequest(story_id=story_id, actor=actor)
        return await self._asked(self._planning.AssessStory, request, MODEL_S)

    async def derive(
        self, story_id: str, actor: str, plan: values.Plan | None, revision: int | None = None
    ) -> values.Story:
        """A plan by the planner, or the given one; only in the place of that `revision`, if there is one."""
        wire = values.plan_to_wire(plan) if plan else None
        request = pb.DerivePlanRequest(story_id=story_id, actor=actor, plan=wire, expected_revision=revision)
        return await self._asked(self._planning.DerivePlan, request, CALL_S if plan else MODEL_S)

    async def approve_plan(
        self, story_id: str, actor: str, reason: str, revision: int | None, superseded: tuple[str, ...]
    ) -> values.Story:
        request = pb.ApprovePlanRequest(
            story_id=story_id, actor=actor, reason=reason, expected_revision=revision, superseded=superseded
        )
        return await self._asked(self._planning.ApprovePlan, request)

    async def reject_plan(self, story_id: str, actor: str, reason: str, revision: int | None) -> values.Story:
        request = pb.RejectPlanRequest(story_id=story_id, actor=actor, reason=reason, expected_revision=revision)
        return await self._asked(self._planning.RejectPlan, request)

    def watch(self, story_id: str, after: int = 0) -> AsyncGenerator[Seen, None]:
        """The story's own events behind `after`, to its end."""
        return resumed(partial(self._watch_once, story_id), after, LAST, fresh=False)

    async def _watch_once(self, story_id: str, after: int) -> AsyncIterator[Seen]:
        async for told in self._stream(pb.WatchStoryRequest(story_id=story_id, after_sequence=after)):
            yield told

    def history(self, story_id: str, after: int = 0, *, tasks: bool = False) -> AsyncIterator[Seen]:
        """What is there now."""
        return self._stream(pb.WatchStoryRequest(story_id=story_id, after_sequence=after, once=True, tasks=tasks))

    async def _stream(self, request: pb.WatchStoryRequest) -> AsyncIterator[Seen]:
        async for reply in mapped_stream(self._planning.WatchStory(request, **self._options)):
            yield seen(reply.sequence, reply.event)

    async def _asked(self, call: Any, request: Any, timeout_s: float = CALL_S) -> values.Story:
        with mapped():
            reply = await call(request, timeout=timeout_s, **self._options)
        return values.story(reply.story)

"""Taking requests in: from callers and from released stories, all on one path into the queue and the log."""

import secrets

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.kernel import ids, subjects
from folkmoot.kernel import story as stories
from folkmoot.kernel.deliberation import Deliberation, apply, fold
from folkmoot.kernel.errors import AlreadyExists, Conflict, FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import CancelRequested, DeliberationQueued, DeliberationRequested
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.result import State
from folkmoot.kernel.task import TaskSpec, digest
from folkmoot.orchestrator.continuing import continued
from folkmoot.orchestrator.councils import Councils
from folkmoot.orchestrator.gate import Gate
from folkmoot.orchestrator.journal import request
from folkmoot.orchestrator.observed import trace_of
from folkmoot.runtime.grpc.results import spec_from_wire
from folkmoot.runtime.log.port import Log, Queues
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.context import belonging

MAX_KEY_CHARS = 200


class Desk:
    """Accepts, finds and calls off tasks. Any replica's desk does for any task."""

    def __init__(self, log: Log, queues: Queues, councils: Councils, gate: Gate, *, backend: str = "local") -> None:
        """`backend` is where the runner has its workspaces."""
        self._backend = backend
        self._log = log
        self._queues = queues
        self._councils = councils
        self._gate = gate

    async def submit(self, task: pb.Task, idempotency_key: str) -> TaskId:
        """A task asked for directly.

        Raises InvalidInput, AlreadyExists, ResourceExhausted; of a task that is to be continued NotFound,
        FailedPrecondition.
        """
        if len(idempotency_key) > MAX_KEY_CHARS:
            raise InvalidInput("idempotency_key", f"{len(idempotency_key)} characters; at most {MAX_KEY_CHARS}")
        task_id = TaskId(ids.derived("t", idempotency_key or secrets.token_hex(16)))
        spec = await self._specified(task, task_id)
        await self._councils.seated(spec)
        await self.accept(spec)
        return task_id

    async def _specified(self, task: pb.Task, task_id: TaskId) -> TaskSpec:
        if task.continues:
            earlier = await self.find(ids.token(task.continues, "continues"))
            return continued(earlier, task, task_id, await self._story_of(earlier, task_id))
        return spec_from_wire(task, task_id, backend=self._backend)

    async def _story_of(self, earlier: Deliberation, task_id: TaskId) -> StoryId:
        """The story in which `task_id` takes the place of `earlier`. Empty where there is none, where it is over, or
        where `earlier` has a commit."""
        nowhere, story_id = StoryId(""), earlier.spec.story_id
        if not story_id or earlier.state is State.DECIDED:
            return nowhere
        if await self._log.last(subjects.deliberation(task_id)) is not None:
            return (await self.find(task_id)).spec.story_id  # asked for again: as it was then
        try:
            story = stories.fold(await self._log.read(subjects.story(story_id)))
        except NotFound:
            return nowhere
        return story_id if story.may_continue(earlier.task_id) else nowhere

    async def accept(self, spec: TaskSpec) -> None:
        """Into the queue, then into the log; a worker that gets it first writes the log itself. Idempotent.

        Raises AlreadyExists, and ResourceExhausted for a task that is new.
        """
        known = await self._log.last(subjects.deliberation(spec.task_id))
        if known is not None:
            await self._require_same(spec)
            return
        await self._gate.require_room()
        await self._queues.put(
            subjects.request(spec.task_id), DeliberationQueued(spec=spec), key=f"{spec.task_id}/{digest(spec)}"
        )
        await request(self._log, spec)

    async def _require_same(self, spec: TaskSpec) -> None:
        first = (await self._log.read(subjects.deliberation(spec.task_id)))[0].event.data
        if not isinstance(first, DeliberationRequested) or first.digest != digest(spec):
            raise AlreadyExists(f"task {spec.task_id} exists with other content: use another idempotency key")

    async def find(self, task_id: str) -> Deliberation:
        """The fold of a task. Raises NotFound, InvalidInput."""
        events = await self._log.read(subjects.deliberation(TaskId(ids.token(task_id, "task_id"))))
        if not events:
            raise NotFound(f"there is no task {task_id}")
        return fold(events)

    async def cancel(self, task_id: str, *, actor: str, reason: str) -> None:
        """Write the wish down; its owner obeys it. Raises NotFound, FailedPrecondition when it has ended."""
        fact = CancelRequested(actor=actor, reason=reason)
        state = await patiently(lambda: self.find(task_id))
        while not await self._wished(state, fact):
            # Only what is new: whoever folds all of a long log again comes too late each time.
            for stored in await self._newer(state):
                state = apply(state, stored)

    async def _wished(self, state: Deliberation, fact: CancelRequested) -> bool:
        """False: somebody wrote first."""
        if state.end:
            raise FailedPrecondition("ended", f"task {state.task_id} is {state.state} already")
        subject = subjects.deliberation(state.task_id)
        try:
            with belonging(trace_of(state)):
                await patiently(lambda: self._log.append(subject, fact, after=state.head))
        except Conflict:
            return False
        return True

    async def _newer(self, state: Deliberation) -> list[Stored]:
        subject = subjects.deliberation(state.task_id)
        return await patiently(lambda: self._log.read(subject, after=state.head))

"""All that the log holds of one task, for whoever asks where its time went."""

from collections.abc import AsyncIterator, Iterator

from folkmoot.kernel import ids, subjects
from folkmoot.kernel.deliberation import fold
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Stored
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runtime.log.port import Log


async def trail(log: Log, task_id: str) -> AsyncIterator[Stored]:
    """The task's own events first, then agent by agent. Raises NotFound, InvalidInput."""
    task = TaskId(ids.token(task_id, "task_id"))
    own = await log.read(subjects.deliberation(task))
    if not own:
        raise NotFound(f"there is no task {task_id}")
    for stored in own:
        yield stored
    state = fold(own)
    for seat in (*state.seats, *state.helpers):
        for subject in _of_agent(task, seat.agent_id):
            for stored in await log.read(subject):
                yield stored


def _of_agent(task: TaskId, agent: AgentId) -> Iterator[str]:
    yield subjects.agent_response(task, agent)
    yield subjects.agent_steps(task, agent)
    yield subjects.agent_result(task, agent)

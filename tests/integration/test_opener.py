"""What the runner answers to requests for workspaces, with the log in this process."""

from contextlib import aclosing
from pathlib import Path

from folkmoot.kernel import subjects
from folkmoot.kernel.facts import WorkspaceReady, WorkspaceRefused, WorkspaceRequested
from folkmoot.kernel.ids import AgentId, TaskId
from folkmoot.runner.local.toolchain import Toolchains
from folkmoot.runner.opener import Opener
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.log.memory import MemoryBus
from tests.fixtures.workspace import Bench, bench, toolchains

__all__ = ["toolchains"]

TASK, AGENT = TaskId("t-1"), AgentId("a-1")


async def test_an_attempt_is_over_when_a_later_one_was_answered(tmp_path: Path, toolchains: Toolchains) -> None:
    """Also when the later request has left its queue, as it does once it is answered, and others were since."""
    bus = MemoryBus(SystemClock())
    async with bench(tmp_path, toolchains) as runner:
        opener = Opener(runner.registry, bus.log, runner.address, spare=0)
        async with aclosing(bus.queues.deliveries("runner-requests")) as requests:
            for attempt in (2, 3, 4):
                await bus.queues.put(subjects.agent_request(TASK, AGENT), _wish(runner, attempt), key=f"{attempt}")
            second, third, fourth = [await anext(requests) for _ in range(3)]
            await opener.answer(fourth)
            await fourth.ack()
            await opener.answer(second)
            await opener.answer(third)
    facts = [stored.event.data for stored in await bus.log.read(subjects.agent_response(TASK, AGENT))]
    assert [type(fact) for fact in facts] == [WorkspaceReady, WorkspaceRefused, WorkspaceRefused]


def _wish(runner: Bench, attempt: int) -> WorkspaceRequested:
    return WorkspaceRequested(task_id=TASK, agent_id=AGENT, attempt=attempt, base=runner.base, ttl_s=600.0)

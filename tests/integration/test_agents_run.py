"""One assignment from its prompt to its result on the log, over a real folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.agents import prompts
from folkmoot.agents.chat import Reply
from folkmoot.agents.errors import AttemptLost, ModelError
from folkmoot.agents.host import Parts, hosted
from folkmoot.agents.roles import PERSONAS
from folkmoot.kernel import subjects
from folkmoot.kernel.events import START
from folkmoot.kernel.facts import StepTaken
from folkmoot.kernel.ids import AgentId, CommitId, TaskId
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import Budget
from folkmoot.runner.border import bundle as bundles
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.settings import RunnerSettings, Settings
from folkmoot.runtime.telemetry.context import derived
from folkmoot.runtime.workspace.port import Completed
from tests.fixtures.agents import SUBMIT, WRITE, Case, Scripted, calling
from tests.folders import FolderWorkspace

LOOK = calling("git_status")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "repo")


async def test_a_run_leaves_bundle_transcript_steps_and_result(case: Case) -> None:
    """All on the log; a second result of the same round gives way to the one that stands."""
    finished = await case.run(WRITE, SUBMIT)
    assert (finished.submitted, finished.reason, finished.summary) == (True, "submitted", "Added n")
    assert finished.bundle is not None
    assert finished.transcript is not None
    assert (await case.bus.artifacts.get(finished.bundle)).startswith(b"# v2 git bundle")
    steps = [s.event.data for s in await case.bus.log.read(subjects.agent_steps(TaskId("t-1"), AgentId("dev-1")))]
    assert [(s.step, s.kind, s.ok) for s in steps if isinstance(s, StepTaken)] == [
        (1, "model", True),
        (2, "tool", True),
        (3, "model", True),
        (4, "tool", True),
    ]
    assert await case.run(SUBMIT) == finished


async def test_handing_in_is_one_command(case: Case) -> None:
    """Committing and packing share a sandbox; the bundle is that of an export, and brings the commit."""
    case.workspace = Counting(case.workspace.folder)
    finished = await case.run(WRITE, SUBMIT)
    assert case.workspace.calls == ["run"]
    assert finished.bundle is not None
    bundle = bundles.parsed(await case.bus.artifacts.get(finished.bundle))
    assert (bundle.tip, bundle.prerequisites) == (case.workspace.git("rev-parse", "HEAD"), (case.commit,))


async def test_what_is_not_packed_at_once_is_packed_afterwards(case: Case) -> None:
    """A bundle that is larger than what a command may write is asked for by itself, and that says what is wrong."""
    case.workspace = Counting(case.workspace.folder)
    case.settings = Settings(runner=RunnerSettings(bundle_bytes=100))
    finished = await case.run(WRITE, SUBMIT)
    assert case.workspace.calls == ["run", "export"]
    assert finished.bundle is not None


class Counting(FolderWorkspace):
    """Says what it was asked for that would have cost a sandbox, but for files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.calls: list[str] = []

    async def run(self, argv: Sequence[str], **how: Any) -> Completed:
        self.calls.append("run")
        return await super().run(argv, **how)

    async def export_bundle(self, base: CommitId) -> bytes:
        self.calls.append("export")
        return await super().export_bundle(base)


async def test_failures_are_stated(case: Case) -> None:
    """Nothing committed; a model that cannot be used."""
    assert (await case.run(SUBMIT)).reason.startswith("no commit")


async def test_a_model_that_cannot_be_used_is_the_reason(case: Case) -> None:
    """The client's words become the result's."""
    finished = await case.run(ModelError("http://x refuses the connection"))
    assert (finished.submitted, finished.reason) == (False, "http://x refuses the connection")


async def test_a_lost_workspace_loses_the_attempt(case: Case) -> None:
    """And leaves no result, so that the next attempt may."""
    case.workspace.lost = True
    with pytest.raises(AttemptLost):
        await case.run(WRITE, SUBMIT)
    assert await case.bus.log.last(subjects.agent_result(TaskId("t-1"), AgentId("dev-1"))) is None


def test_agents_of_a_task_share_their_prompt_up_to_the_persona(case: Case) -> None:
    """So that they hit the model server's prefix cache; a task's braces stay as they are."""
    first, second = (
        prompts.opening(msgspec.structs.replace(case.assignment, persona=p.name, agent_id=AgentId(p.name)))
        for p in PERSONAS[:2]
    )
    assert first[0] == second[0]
    assert first[1]["content"].partition("# You")[0] == second[1]["content"].partition("# You")[0]
    assert "Text with {braces}" in first[1]["content"]


async def test_a_run_writes_into_the_trace_that_it_was_given(case: Case) -> None:
    """Carried to its host by value, with the assignment; no collector is needed."""
    trace = derived("asked")
    parts = Parts(model=Scripted(WRITE, SUBMIT), bus=case.bus, clock=SystemClock(), workspace=lambda _: case.workspace)
    await hosted(msgspec.structs.replace(case.assignment, traceparent=trace), parts, Settings())
    task, agent = TaskId("t-1"), AgentId("dev-1")
    written = [*await case.bus.log.read(subjects.agent_steps(task, agent))]
    written += await case.bus.log.read(subjects.agent_result(task, agent))
    assert [e.event.traceparent for e in written] == [trace] * 5


# --- what the whole task may use -----------------------------------------------------------------------------------


async def test_what_others_use_counts_while_a_run_goes_on(case: Case) -> None:
    """Steps of another agent arrive between two calls: the work is handed in as it stands, committed, and the model is
    not asked again."""

    class Spending(FolderWorkspace):
        """While this agent writes, another one spends what is left."""

        async def write(self, path: str, content: bytes, **how: Any) -> None:
            await super().write(path, content, **how)
            step = StepTaken(
                agent_id=AgentId("dev-2"),
                attempt=1,
                step=1,
                kind="model",
                name="m",
                ok=True,
                duration_s=1.0,
                usage=Usage(model_calls=1, prompt_tokens=5_000),
            )
            await case.bus.log.append(subjects.agent_steps(TaskId("t-1"), AgentId("dev-2")), step, after=START)

    case.workspace = Spending(case.workspace.folder)
    look = msgspec.structs.replace(LOOK.calls[0], id="2")  # a process of its own: time for the step to arrive
    model = Scripted(Reply(calls=(*WRITE.calls, look)))
    finished = await case.played(model, total=Budget(tokens=5_000))
    assert (finished.submitted, len(model.asked)) == (True, 1)
    assert finished.reason == "the task's token limit is reached: 5000 of 5000"
    assert finished.bundle is not None
    assert case.workspace.git("show", "--name-only", "--format=", "HEAD") == "n.txt"


async def test_a_run_in_a_task_that_is_over_says_so(case: Case) -> None:
    """Nothing is changed by then: the limit is the reason."""
    finished = await case.played(Scripted(LOOK), total=Budget(steps=3), used=Usage(model_calls=2))
    assert not finished.submitted
    assert finished.reason.startswith("the task's limit of 3 model calls is reached; no commit")

"""Drives the loop of one assignment: model, tools and log on the one side, the loop's effects on the other."""

import asyncio
from typing import Protocol

import msgspec

from folkmoot.agents import loop, prompts
from folkmoot.agents.assignment import Assignment, ModelEndpoint
from folkmoot.agents.chat import ModelRequest, Reply
from folkmoot.agents.errors import AttemptLost, ModelError
from folkmoot.agents.loop import SUBMITTED
from folkmoot.agents.observed import observed_tool
from folkmoot.agents.purse import Purse, shared
from folkmoot.agents.results import kept, kept_document, publish
from folkmoot.agents.roles import permitted
from folkmoot.agents.steps import Steps, recording
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import CallerError, FailedPrecondition, RetryLater
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.facts import AgentFinished, StepTaken
from folkmoot.kernel.ids import CommitId
from folkmoot.kernel.registry import HANDS_IN
from folkmoot.kernel.result import Usage
from folkmoot.kernel.task import TaskKind
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.port import Artifacts, Log
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.supervise import first_leaf, patiently
from folkmoot.runtime.workspace.port import Workspace, WorkspaceLost
from folkmoot.tools.answer import Setting
from folkmoot.tools.review import FINISH, READING, REPORT
from folkmoot.tools.table import Schema, schemas
from folkmoot.tools.toolbox import Toolbox, ToolResult

ARGUMENT_CHARS = 2_000
EXCERPT_CHARS = 400
REASON_CHARS = 2_000
SUMMARY_CHARS = 8_000
REVIEW = "review"
NOTHING_CHANGED = "nothing changed"
"""The reason of a revision that ends where it began."""


class Bus(Protocol):
    """What a run needs of the log: `NatsBus` and `MemoryBus` have it."""

    @property
    def log(self) -> Log: ...

    @property
    def artifacts(self) -> Artifacts: ...


class Model(Protocol):
    async def complete(self, endpoint: ModelEndpoint, request: ModelRequest) -> Reply:
        """Raises ModelError."""
        ...


async def run_assignment(
    assignment: Assignment, *, workspace: Workspace, model: Model, bus: Bus, clock: Clock, settings: Settings
) -> AgentFinished:
    """Run to the end, and append the result behind its fence; when another result stands there, that one counts.

    Raises AttemptLost when the workspace or the log died under the run.
    """
    subject = subjects.agent_steps(assignment.task_id, assignment.agent_id)
    try:
        async with recording(bus.log, subject) as steps, shared(assignment, bus.log) as purse:
            driver = _Driver(assignment, workspace, model, bus, clock, settings, steps, purse)
            finish = await driver.drive()
            fact = await _finished(assignment, finish, driver.toolbox, workspace, bus.artifacts)
        return await publish(assignment, fact, bus.log)
    except (WorkspaceLost, RetryLater) as lost:
        raise AttemptLost(str(lost)) from lost
    except BaseExceptionGroup as failures:
        first = first_leaf(failures)
        if isinstance(first, (WorkspaceLost, RetryLater)):
            raise AttemptLost(str(first)) from first
        raise first from failures


class _Driver:
    def __init__(
        self,
        assignment: Assignment,
        workspace: Workspace,
        model: Model,
        bus: Bus,
        clock: Clock,
        settings: Settings,
        steps: Steps,
        purse: Purse,
    ) -> None:
        self._assignment = assignment
        self._model = model
        self._clock = clock
        self._began = clock.monotonic()
        self._settings = settings
        self._steps = steps
        self._purse = purse
        self._tools = offered(assignment)
        self._schemas: tuple[Schema, ...] = schemas(self._tools)
        self.toolbox = Toolbox(
            workspace,
            bus.artifacts,
            _setting(assignment, settings),
            output_chars=settings.agents.output_chars,
            monotonic=clock.monotonic,
        )

    async def drive(self) -> loop.Finish:
        running = loop.run(prompts.opening(self._assignment), self._rules())
        effect = next(running)
        while not isinstance(effect, loop.Finish):
            effect = running.send(await self._do(effect))
        running.close()
        return effect

    async def _do(self, effect: loop.CallModel | loop.CallTools) -> loop.Event:
        if isinstance(effect, loop.CallModel):
            return await self._ask(effect)
        return await self._use(effect)

    async def _ask(self, effect: loop.CallModel) -> loop.Event:
        assignment, began = self._assignment, self._clock.monotonic()
        request = ModelRequest(
            messages=effect.messages,
            tools=self._schemas,
            user=f"{assignment.task_id}/{assignment.agent_id}",
            phase=assignment.phase,
            temperature=assignment.temperature,
        )
        try:
            async with asyncio.timeout(effect.left_s):
                reply = await self._model.complete(assignment.model, request)
        except TimeoutError:
            return self._unanswered(f"wall time limit: {assignment.budget.wall_s:g} s are over", began)
        except ModelError as error:
            return self._unanswered(str(error), began)
        self._model_step(reply, began)
        return loop.Answered(reply=reply, elapsed_s=self._elapsed_s(), shared=self._purse.used)

    def _unanswered(self, reason: str, began: float) -> loop.Unanswered:
        self._step(kind="model", name=self._assignment.model.name, ok=False, began=began, excerpt=reason)
        return loop.Unanswered(reason=reason, elapsed_s=self._elapsed_s())

    async def _use(self, effect: loop.CallTools) -> loop.Done:
        results: list[loop.ToolDone] = []
        try:
            async with asyncio.timeout(effect.left_s):
                for call in effect.calls:
                    result = await self._call(call)
                    results.append(loop.ToolDone(text=result.text, error=result.error, summary=result.summary))
                    if result.summary is not None:
                        break
        except TimeoutError:
            # The loop sees that the wall time is over, and ends with that reason.
            elapsed_s = max(self._elapsed_s(), self._assignment.budget.wall_s)
            return loop.Done(results=tuple(results), elapsed_s=elapsed_s, shared=self._purse.used)
        return loop.Done(results=tuple(results), elapsed_s=self._elapsed_s(), shared=self._purse.used)

    async def _call(self, call: loop.ToolCall) -> ToolResult:
        began = self._clock.monotonic()
        with observed_tool(call.name) as seen:
            result = await self.toolbox.call(call.name, call.given)
            seen.ok = result.ok
        self._step(
            kind="tool",
            name=call.name,
            arguments=call.arguments,
            ok=result.ok,
            began=began,
            exit_code=result.exit_code,
            output=result.output,
            output_digest=result.output_digest,
            output_bytes=result.output_bytes,
            excerpt=result.error or result.text,
        )
        return result

    def _model_step(self, reply: Reply, began: float) -> None:
        tokens = reply.tokens
        usage = Usage(
            model_calls=1,
            prompt_tokens=tokens.prompt,
            completion_tokens=tokens.completion,
            cached_tokens=tokens.cached,
            wall_s=self._clock.monotonic() - began,
        )
        self._purse.spend(usage)
        excerpt = reply.problem or reply.text or ", ".join(call.name for call in reply.calls)
        name = self._assignment.model.name
        self._step(kind="model", name=name, ok=not reply.problem, began=began, excerpt=excerpt, usage=usage)

    def _step(
        self,
        *,
        kind: str,
        name: str,
        ok: bool,
        began: float,
        excerpt: str,
        arguments: str = "",
        exit_code: int | None = None,
        output: ArtifactRef | None = None,
        output_digest: str = "",
        output_bytes: int = 0,
        usage: Usage = Usage(),  # noqa: B008 -- frozen
    ) -> None:
        step = StepTaken(
            agent_id=self._assignment.agent_id,
            attempt=self._assignment.attempt,
            step=self._steps.next(),
            kind=kind,
            name=name,
            arguments=arguments[:ARGUMENT_CHARS],
            ok=ok,
            exit_code=exit_code,
            duration_s=self._clock.monotonic() - began,
            output=output,
            output_digest=output_digest,
            output_bytes=output_bytes,
            excerpt=excerpt[:EXCERPT_CHARS],
            usage=usage,
        )
        self._steps.take(step)

    def _rules(self) -> loop.Rules:
        model = self._settings.model
        return loop.Rules(
            tools=self._tools,
            budget=self._assignment.budget,
            last=self._tools[-1],
            malformed_limit=self._settings.agents.malformed_limit,
            document=self._assignment.hands_in_document,
            price_prompt_usd=model.price_prompt_usd,
            price_completion_usd=model.price_completion_usd,
            total=self._assignment.total,
        )

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began


def offered(assignment: Assignment) -> tuple[str, ...]:
    """The tools of a run; the last one ends it."""
    own = permitted(assignment.role, assignment.tools)
    if assignment.phase == REVIEW:
        # No test shows a fault of a document: what its readers say of it is their summary.
        reports = () if assignment.kind is TaskKind.ANALYSIS else (REPORT,)
        return (*(t for t in READING if t in own), *reports, FINISH)
    return (*(t for t in own if t != HANDS_IN), HANDS_IN)


def _setting(assignment: Assignment, settings: Settings) -> Setting:
    return Setting(
        task_id=assignment.task_id,
        agent_id=assignment.agent_id,
        base=assignment.base_commit,
        suite=assignment.suite,
        timeout_s=settings.agents.tool_timeout_s,
        bundle_bytes=settings.runner.bundle_bytes,
        candidates={shown.alias: shown.proposal_id for shown in assignment.shown},
        document=assignment.hands_in_document,
    )


async def _finished(
    assignment: Assignment,
    finish: loop.Finish,
    toolbox: Toolbox,
    workspace: Workspace,
    artifacts: Artifacts,
) -> AgentFinished:
    """Findings count whatever end the run has come to."""
    transcript = msgspec.json.encode({"reason": finish.reason, "messages": finish.messages})
    if assignment.hands_in_document and finish.submitted:
        document, reference = await kept_document(finish.summary, artifacts)
        finish = msgspec.structs.replace(finish, summary=document.summary)
    else:
        reference = None
    submitted, bundle, reason = await _handed_in(assignment, finish, toolbox.packed, workspace, artifacts)
    return AgentFinished(
        agent_id=assignment.agent_id,
        attempt=assignment.attempt,
        round=assignment.round,
        submitted=submitted,
        reason=reason[:REASON_CHARS],
        summary=finish.summary[: REASON_CHARS if toolbox.reported else SUMMARY_CHARS],
        bundle=bundle,
        transcript=await patiently(lambda: artifacts.put(transcript)),
        usage=finish.usage,
        phase=assignment.phase,
        findings=await kept(toolbox.reported, artifacts),
        document=reference,
    )


async def _handed_in(
    assignment: Assignment, finish: loop.Finish, packed: bytes | None, workspace: Workspace, artifacts: Artifacts
) -> tuple[bool, ArtifactRef | None, str]:
    """Whether the run came to the end that was asked for, its work, and how it ended. A review has no work but its
    findings, a revision may leave things as they are."""
    if not finish.submitted or assignment.phase == REVIEW or assignment.hands_in_document:
        return finish.submitted, None, finish.reason
    if assignment.start and await _unchanged(assignment.start, workspace):
        return True, None, NOTHING_CHANGED
    bundle, reason = await _bundle(assignment, packed, workspace, artifacts)
    if reason and finish.reason != SUBMITTED:
        reason = f"{finish.reason}; {reason}"
    return bundle is not None, bundle, reason or finish.reason


async def _unchanged(start: CommitId, workspace: Workspace) -> bool:
    """A new commit with the same files is no change either."""
    done = await workspace.run(["git", "--no-pager", "diff-tree", "--quiet", start, "HEAD"])
    return done.end.ok


async def _bundle(
    assignment: Assignment, packed: bytes | None, workspace: Workspace, artifacts: Artifacts
) -> tuple[ArtifactRef | None, str]:
    """The commits of a submitted run, packed as they were handed in or now, or why there are none."""
    try:
        body = packed or await workspace.export_bundle(assignment.base_commit)
    except FailedPrecondition as error:
        return None, "no commit: the agent submitted without a change" if error.guard == "no_commit" else str(error)
    except CallerError as error:
        return None, f"the work could not be packed: {error}"
    return await patiently(lambda: artifacts.put(body)), ""

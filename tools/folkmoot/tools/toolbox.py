"""Carries the plans of tools out over a workspace, takes secrets out, and cuts what the model sees."""

import asyncio
import hashlib
import time
from collections.abc import Callable

import msgspec

from folkmoot.kernel.errors import CallerError, InvalidInput, NotFound, ResourceExhausted
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.redact import redacted
from folkmoot.runtime.workspace.port import Workspace
from folkmoot.tools import arguments as args
from folkmoot.tools.answer import Answer, Command, Execute, ListPaths, Read, Report, Setting, Write, failed
from folkmoot.tools.plans import author
from folkmoot.tools.review import MOST_FINDINGS
from folkmoot.tools.table import TOOLS
from folkmoot.tools.text import shortened

ERROR_CHARS = 4_000
LARGE_CHARS = 100_000
"""Other agents of this process go on while more than this is searched for secrets."""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call: for the model, and for the audit."""

    text: str
    """JSON, as the model reads it."""
    ok: bool
    error: str
    exit_code: int | None
    duration_s: float
    output: ArtifactRef | None
    """The whole output without its secrets, when the model saw only some of it."""
    output_digest: str
    """SHA-256 of the whole output."""
    output_bytes: int
    summary: str | None
    """Of a `submit` or `finish_review` that ended the run."""


class Toolbox:
    """The tools of one agent in one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        artifacts: Artifacts,
        setting: Setting,
        *,
        output_chars: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace = workspace
        self._artifacts = artifacts
        self._setting = setting
        self._output_chars = output_chars
        self._monotonic = monotonic
        self._reported: list[Report] = []
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes | None:
        """A git bundle of what was handed in, if it was packed with that."""
        return self._packed

    @property
    def reported(self) -> tuple[Report, ...]:
        """Findings so far, in order."""
        return tuple(self._reported)

    async def call(self, name: str, given: args.Arguments) -> ToolResult:
        """A failed tool is a result. Raises WorkspaceLost, or Unavailable when an artifact cannot be kept."""
        began = self._monotonic()
        try:
            answer = await self._carry_out(name, given)
        except (CallerError, ResourceExhausted) as error:
            answer = failed(str(error))
        duration_s = self._monotonic() - began
        self._packed = answer.bundle
        return await self._result(await _without_secrets(answer), duration_s)

    async def _carry_out(self, name: str, given: args.Arguments) -> Answer:
        plan = TOOLS[name].plan(given, self._setting)
        received: object = None
        while True:
            try:
                command = plan.send(received)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            received = await self._do(command)

    async def _do(self, command: Command) -> object:
        match command:
            case Read(path=path):
                return await self._workspace.read(path)
            case Write(path=path, content=content, append=append):
                await self._workspace.write(path, content, append=append)
                return None
            case ListPaths(path=path, depth=depth):
                return await self._workspace.list(path, depth=depth)
            case Execute(argv=argv, stdin=stdin, timeout_s=timeout_s, output_limit=limit):
                if any("\x00" in word for word in argv):
                    raise InvalidInput("arguments", "hold a NUL character")
                return await self._workspace.run(
                    argv, env=author(self._setting), stdin=stdin, timeout_s=timeout_s, output_limit=limit
                )
            case Report(path=path) as report:
                if await self._exists(path):
                    raise InvalidInput("reproducer.path", f"{path} is in the repository already: choose another name")
                return self._take(report)

    async def _exists(self, path: str) -> bool:
        """In a review the workspace is at base, and nobody changes it."""
        try:
            await self._workspace.read(path)
        except NotFound:
            return False
        return True

    def _take(self, report: Report) -> int:
        """Its number; said twice, it is still one finding."""
        if report in self._reported:
            return self._reported.index(report) + 1
        if len(self._reported) >= MOST_FINDINGS:
            raise ResourceExhausted(f"{MOST_FINDINGS} findings are reported, and a review holds no more; finish it")
        self._reported.append(report)
        return len(self._reported)

    async def _result(self, answer: Answer, duration_s: float) -> ToolResult:
        whole = (answer.output or "").encode("utf-8", "replace")
        cut = len(answer.output or "") > self._output_chars
        return ToolResult(
            text=self._shown(answer),
            ok=answer.ok,
            error=answer.error,
            exit_code=answer.exit_code,
            duration_s=duration_s,
            output=await self._artifacts.put(whole) if cut else None,
            output_digest=hashlib.sha256(whole).hexdigest(),
            output_bytes=len(whole),
            summary=answer.summary,
        )

    def _shown(self, answer: Answer) -> str:
        shown: dict[str, object] = {"ok": answer.ok}
        if answer.error:
            shown["error"] = shortened(answer.error, ERROR_CHARS)
        shown |= answer.facts
        if answer.output is not None:
            shown["output"] = shortened(answer.output, self._output_chars)
        return msgspec.json.encode(shown).decode()


async def _without_secrets(answer: Answer) -> Answer:
    """Before anything is cut or kept: half a secret would not be known as one."""
    if len(answer.output or "") + len(answer.error) > LARGE_CHARS:
        return await asyncio.to_thread(_redacted, answer)
    return _redacted(answer)


def _redacted(answer: Answer) -> Answer:
    output = None if answer.output is None else redacted(answer.output)
    return msgspec.structs.replace(answer, output=output, error=redacted(answer.error))

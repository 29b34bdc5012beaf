"""Checks what documents claim of the code: files at base, and commands, each in a fresh workspace at base."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from folkmoot.kernel.analysis.claims import Ran, checked
from folkmoot.kernel.analysis.document import Checked, Document
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.evidence import PreparedBase
from folkmoot.kernel.ids import ProposalId
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.redact import redacted
from folkmoot.runtime.supervise import patiently, together
from folkmoot.runtime.telemetry.ambient import phase
from folkmoot.runtime.workspace.port import WorkspaceLost

T = TypeVar("T")


class Claims:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal

    @property
    def _base(self) -> PreparedBase:
        assert self._journal.state.base is not None
        return self._journal.state.base

    @phase("examination", lambda _, proposal, __: {"subject": proposal, "kind": "claims"})
    async def checked(self, proposal: ProposalId, document: Document) -> tuple[Checked, ...]:
        """Of each claim, in order. Raises Unavailable."""
        files: dict[str, bytes | None] = {}
        ran: dict[int, Ran] = {}
        paths = sorted({claim.path for claim in document.claims if claim.path})

        async def read() -> None:
            files.update(await self._files(proposal, paths))

        async def run(number: int, command: str) -> None:
            try:
                ran[number] = await self._ran(proposal, number, command)
            except WorkspaceLost:
                return  # it may be the command's own doing: the claim stays unchecked

        looking = {f"claim {n}": run(n, claim.command) for n, claim in enumerate(document.claims) if claim.command}
        if paths:
            looking["files"] = read()
        await together(looking)
        # Taking secrets out of a large file takes a while: other deliberations go on meanwhile.
        return tuple(
            [await asyncio.to_thread(checked, c, files, ran.get(n), redacted) for n, c in enumerate(document.claims)]
        )

    async def _files(self, proposal: ProposalId, paths: list[str]) -> dict[str, bytes | None]:
        task, holder = self._journal.state.task_id, f"x-{proposal}-files"
        try:
            return await self._in_fresh_workspaces(
                lambda n: self._parts.examiner.files(task, self._base, paths, holder=holder, attempt=n)
            )
        except WorkspaceLost as lost:
            raise Unavailable(f"claims of {proposal}: {lost}") from lost

    async def _ran(self, proposal: ProposalId, number: int, command: str) -> Ran:
        task, holder = self._journal.state.task_id, f"x-{proposal}-claim-{number}"
        done = await self._in_fresh_workspaces(
            lambda n: self._parts.examiner.command(task, self._base, command, holder=holder, attempt=n)
        )
        output = b"\n".join((done.stdout, done.stderr)).decode("utf-8", "replace")
        return Ran(end=done.end, output=output, whole=not done.truncated)

    async def _in_fresh_workspaces(self, call: Callable[[int], Awaitable[T]]) -> T:
        """`call` gets a number that no workspace had before it. Raises WorkspaceLost after a few."""
        tries = itertools.count(self._journal.takes * 1_000 + 1)
        lost = WorkspaceLost("never tried")
        for _ in range(self._parts.settings.max_attempts):
            try:
                return await patiently(lambda: call(next(tries)))
            except WorkspaceLost as error:
                lost = error
        raise lost

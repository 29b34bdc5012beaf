"""Runs examinations: one command of the platform's in one fresh workspace, observed from outside."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.deliberation import LINT, TESTS
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound, ResourceExhausted
from folkmoot.kernel.evidence import ArtifactRef, CommandEnd, Examination, Exhibit, PreparedBase, SuiteKind, TestSuite
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.orchestrator import linting, reports, sealing
from folkmoot.orchestrator.runner import Runner
from folkmoot.orchestrator.turns import Turns
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.redact import redacted_bytes
from folkmoot.runtime.workspace.port import Completed, Workspace

OUTPUT_BYTES = 4_000_000
"""Per stream of one examination; `go test -json` of a large module stays below."""
REPORT_BYTES = 32_000_000
EXHIBIT_TESTS = 5_000
"""Of one exhibit on one commit: each is a cell of the matrix."""
CLAIMED_BYTES = 2_000_000
"""Of a file that a document claims something about."""
LEASE_MARGIN_S = 120.0
"""Opening, reading the report and closing, on a busy machine."""


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """The fresh workspace of one run of tests."""

    task_id: TaskId
    holder: str
    attempt: int
    base: PreparedBase
    commit: CommitId
    exhibit: ArtifactRef | None = None


class Examiner:
    """At most `parallel` examinations run at once: they are processor work, more would only make each slower."""

    def __init__(self, runner: Runner, artifacts: Artifacts, *, parallel: int, check_timeout_s: float) -> None:
        self._runner = runner
        self._artifacts = artifacts
        self._turns = Turns(parallel)
        self._check_timeout_s = check_timeout_s

    async def tests(
        self,
        task_id: TaskId,
        base: PreparedBase,
        suite: TestSuite,
        *,
        subject: str,
        commit: CommitId,
        run: int,
        attempt: int,
        name: str = TESTS,
    ) -> Examination:
        """Base's own tests on `commit`, with protected paths exactly as base has them. Raises WorkspaceLost."""
        place = _Place(
            task_id=task_id,
            holder=f"x-{subject}-{name.replace(' ', '-')}-{run}",
            attempt=attempt,
            base=base,
            commit=commit,
        )
        done, outcomes, problem = await self._suite(place, suite)
        return Examination(
            subject=subject,
            kind=SuiteKind.TESTS,
            name=name,
            run=run,
            end=done.end,
            tests=outcomes,
            report_problem=problem,
            output=await self._kept(done),
        )

    async def exhibit(
        self,
        task_id: TaskId,
        base: PreparedBase,
        exhibit: Exhibit,
        *,
        subject: str,
        commit: CommitId,
        run: int,
        attempt: int,
    ) -> Examination:
        """The exhibit's tests alone on `commit`: protected paths as base has them, then the exhibit's files over that.

        Where these cannot lie, or more than EXHIBIT_TESTS are reported, there are no outcomes and `report_problem` says
        why. Raises WorkspaceLost.
        """
        place = _Place(
            task_id=task_id,
            holder=f"x-{subject}-{exhibit.exhibit_id}-{run}",
            attempt=attempt,
            base=base,
            commit=commit,
            exhibit=exhibit.pack.files,
        )
        try:
            done, outcomes, problem = await self._suite(place, exhibit.pack.suite)
        except FailedPrecondition as refusal:
            if refusal.guard != "exhibit":
                raise
            return _not_run(subject, exhibit, run, refusal.problem)
        if len(outcomes) > EXHIBIT_TESTS:
            outcomes, problem = {}, f"the report holds {len(outcomes)} tests; at most {EXHIBIT_TESTS} count"
        return Examination(
            subject=subject,
            kind=SuiteKind.EXHIBIT,
            name=exhibit.exhibit_id,
            run=run,
            end=done.end,
            tests=outcomes,
            report_problem=problem,
            output=await self._kept(done),
        )

    async def lint(
        self,
        task_id: TaskId,
        base: PreparedBase,
        *,
        subject: str,
        commit: CommitId,
        files: Sequence[str],
        attempt: int,
    ) -> Examination:
        """What linters find in `files`, which `commit` changed, and not at base, as `counts`. Raises WorkspaceLost."""
        async with self._turns.taken(
            task_id,
            self._runner.examination(
                task_id=task_id,
                holder=f"x-{subject}-{LINT}",
                attempt=attempt,
                base=base,
                commit=commit,
                overlay=pb.OVERLAY_UNSPECIFIED,
                ttl_s=linting.TIMEOUT_S + LEASE_MARGIN_S,
            ),
        ) as workspace:
            argv = linting.command(base.commit, linting.linted(files))
            done = await workspace.run(argv, timeout_s=linting.TIMEOUT_S, output_limit=OUTPUT_BYTES)
        whole = done.end.ok and not done.truncated
        return Examination(
            subject=subject,
            kind=SuiteKind.LINT,
            name=LINT,
            end=done.end,
            counts=await asyncio.to_thread(linting.fresh, done.stdout) if whole else {},
            report_problem="" if whole else "the linters did not come to their end",
            output=await self._kept(done),
        )

    async def files(
        self, task_id: TaskId, base: PreparedBase, paths: Iterable[str], *, holder: str, attempt: int
    ) -> dict[str, bytes | None]:
        """What base has at `paths`, each at most CLAIMED_BYTES: without those where nothing is, None for what is no
        plain file or larger. Raises WorkspaceLost."""
        async with self._at_base(task_id, base, holder, attempt) as workspace:
            await workspace.run(["true"], timeout_s=self._check_timeout_s, output_limit=OUTPUT_BYTES)
            found: dict[str, bytes | None] = {}
            for path in sorted(paths):
                with suppress(NotFound):
                    found[path] = await _plain(workspace, path)
        return found

    async def command(
        self, task_id: TaskId, base: PreparedBase, command: str, *, holder: str, attempt: int
    ) -> Completed:
        """One shell line at base, within a check's time. Raises WorkspaceLost."""
        async with self._at_base(task_id, base, holder, attempt) as workspace:
            argv = ["sh", "-c", command]
            return await workspace.run(argv, timeout_s=self._check_timeout_s, output_limit=OUTPUT_BYTES)

    @asynccontextmanager
    async def _at_base(
        self, task_id: TaskId, base: PreparedBase, holder: str, attempt: int
    ) -> AsyncIterator[Workspace]:
        async with self._turns.taken(
            task_id,
            self._runner.examination(
                task_id=task_id,
                holder=holder,
                attempt=attempt,
                base=base,
                commit=base.commit,
                overlay=pb.OVERLAY_UNSPECIFIED,
                ttl_s=self._check_timeout_s + LEASE_MARGIN_S,
            ),
        ) as workspace:
            yield workspace

    async def _suite(self, place: "_Place", suite: TestSuite) -> tuple[Completed, reports.Outcomes, str]:
        """How it ended, the outcomes by test id, and why these cannot be believed."""
        report, seal = f".moot-report-{secrets.token_hex(8)}", sealing.seal_of(suite)
        argv = ["sh", "-c", suite.command.replace("{report}", report)]
        async with self._turns.taken(
            place.task_id,
            self._runner.examination(
                task_id=place.task_id,
                holder=place.holder,
                attempt=place.attempt,
                base=place.base,
                commit=place.commit,
                overlay=pb.OVERLAY_EXACT,
                ttl_s=suite.timeout_s + LEASE_MARGIN_S,
                exhibit=place.exhibit,
            ),
        ) as workspace:
            done = await workspace.run(
                argv,
                env=seal.env if seal else {"FOLKMOOT_REPORT": report},
                stdin=seal.stdin if seal else b"",
                timeout_s=suite.timeout_s,
                output_limit=OUTPUT_BYTES,
            )
            left = await _report(workspace, report) if suite.report == "junit" else b""
        # A hostile report takes seconds to read: other deliberations go on meanwhile.
        outcomes, problem = await asyncio.to_thread(reports.parse, suite, report=left, stdout=done.stdout, end=done.end)
        return done, outcomes, problem or (seal.doubt(left) if seal else "")

    async def _kept(self, done: Completed) -> ArtifactRef:
        return await self._artifacts.put(await asyncio.to_thread(_transcript, done))

    async def check(
        self,
        task_id: TaskId,
        base: PreparedBase,
        *,
        subject: str,
        commit: CommitId,
        number: int,
        command: str,
        attempt: int,
        name: str = "",
    ) -> Examination:
        """One acceptance check on `commit`; base's protected files are restored, added ones stay."""
        async with self._turns.taken(
            task_id,
            self._runner.examination(
                task_id=task_id,
                holder=f"x-{subject}-check-{number}",
                attempt=attempt,
                base=base,
                commit=commit,
                overlay=pb.OVERLAY_RESTORE,
                ttl_s=self._check_timeout_s + LEASE_MARGIN_S,
            ),
        ) as workspace:
            argv = ["sh", "-c", command]
            done = await workspace.run(argv, timeout_s=self._check_timeout_s, output_limit=OUTPUT_BYTES)
        return Examination(
            subject=subject,
            kind=SuiteKind.CHECK,
            name=name or command,
            end=done.end,
            output=await self._kept(done),
        )


def _not_run(subject: str, exhibit: Exhibit, run: int, problem: str) -> Examination:
    """On this commit something else lies where the exhibit's files belong."""
    return Examination(
        subject=subject,
        kind=SuiteKind.EXHIBIT,
        name=exhibit.exhibit_id,
        run=run,
        end=CommandEnd(exit_code=None),
        report_problem=f"not run: {problem}",
    )


async def _plain(workspace: Workspace, path: str) -> bytes | None:
    """Raises NotFound."""
    try:
        return await workspace.read(path, limit=CLAIMED_BYTES)
    except InvalidInput:
        return None


async def _report(workspace: Workspace, path: str) -> bytes:
    """What the run left; empty when it left nothing that can be read."""
    try:
        return await workspace.read(path, limit=REPORT_BYTES)
    except (NotFound, InvalidInput, ResourceExhausted):
        return b""


def _transcript(done: Completed) -> bytes:
    """What was written, for people, without the secrets in it."""
    end = _how(done.end)
    cut = b"\n[more was written and thrown away]" if done.truncated else b""
    stdout, stderr = redacted_bytes(done.stdout), redacted_bytes(done.stderr)
    return b"--- stdout\n%b\n--- stderr\n%b%b\n--- %b\n" % (stdout, stderr, cut, end.encode())


def _how(end: CommandEnd) -> str:
    if end.limit:
        return f"ended by the {end.limit} limit after {end.duration_s:.1f} s"
    if end.signal is not None:
        return f"ended by signal {end.signal} after {end.duration_s:.1f} s"
    return f"exit {end.exit_code} after {end.duration_s:.1f} s"

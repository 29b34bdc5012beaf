"""Examines base and candidates: each examination once, as soon as what it needs is there."""

import itertools

import msgspec

from folkmoot.kernel import deliberation
from folkmoot.kernel.deliberation import BASE, Deliberation, Wanted
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.evidence import Admission, ArtifactRef, Examination, Exhibit, Outcome, PreparedBase, SuiteKind
from folkmoot.kernel.facts import Examined
from folkmoot.kernel.ids import CommitId, TaskId
from folkmoot.kernel.jury import Evidence, collect, reruns
from folkmoot.orchestrator import merging, observed, twins
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.twins import Twins
from folkmoot.runtime.supervise import patiently, together
from folkmoot.runtime.telemetry.ambient import phase
from folkmoot.runtime.workspace.port import WorkspaceLost


class Examining:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal
        self._taken: set[Wanted] = set()
        """Under way or done in this process: nothing is examined twice."""
        self._found: dict[Wanted, Examination] = {}
        """Those of this process; a predecessor's are fetched when they are needed."""
        self._twins = Twins()
        self._by_kind = {
            SuiteKind.TESTS: self._tests,
            SuiteKind.CHECK: self._checked,
            SuiteKind.EXHIBIT: self._exhibited,
            SuiteKind.LINT: self._linted,
        }

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def _base(self) -> PreparedBase:
        assert self._state.base is not None
        return self._state.base

    async def missing(self) -> None:
        """Whatever is needed and nobody examines yet."""
        wanted = deliberation.missing(self._state, self._parts.settings.baseline_runs)
        await self._all([w for w in wanted if w not in self._taken])

    async def again(self) -> None:
        """Cells that decide, until they need no further run."""
        while wanted := await self._again():
            await self._all(wanted)

    async def evidence(self) -> Evidence:
        """All that was recorded, for the jury."""
        return collect(self._state, [await self._examination(e) for e in self._state.examined])

    async def _again(self) -> list[Wanted]:
        asked = reruns(await self.evidence(), self._parts.policy)
        kind, done = SuiteKind.EXHIBIT, set(map(Wanted.of, self._state.examined))
        wanted = [Wanted(subject=subject, kind=kind, name=name, run=run) for name, subject, run in asked]
        return [w for w in wanted if w not in done]

    async def _all(self, wanted: list[Wanted]) -> None:
        self._taken.update(wanted)
        await together({f"examine {w}": self._examine(w) for w in wanted})

    async def _examination(self, fact: Examined) -> Examination:
        known = self._found.get(Wanted.of(fact))
        if known is not None:
            return known
        body = await patiently(lambda: self._parts.artifacts.get(fact.examination))
        self._found[Wanted.of(fact)] = found = msgspec.json.decode(body, type=Examination)
        return found

    @phase("examination", lambda _, wanted: {"subject": wanted.subject, "kind": wanted.kind, "run": wanted.run})
    async def _examine(self, wanted: Wanted) -> None:
        same = twins.key(self._state, wanted)
        found = await self._twins.examined(same, wanted, lambda: self._in_fresh_workspaces(wanted))
        self._found[wanted] = found
        observed.examined(found)
        body = msgspec.json.encode(found)
        reference = await patiently(lambda: self._parts.artifacts.put(body))
        await self._journal.record(_examined(found, reference))

    async def _in_fresh_workspaces(self, wanted: Wanted) -> Examination:
        """A workspace that dies says nothing about the candidate: look again, a few times."""
        lost = WorkspaceLost("never tried")
        tries = itertools.count(1)
        for _ in range(self._parts.settings.max_attempts):
            try:
                return await patiently(lambda: self._in_fresh_workspace(wanted, next(tries)))
            except WorkspaceLost as error:
                lost = error
        raise Unavailable(f"{wanted.name} on {wanted.subject}: {lost}")

    async def _in_fresh_workspace(self, wanted: Wanted, number: int) -> Examination:
        """Another `number`, another workspace: what a broken try left in its own is seen by nobody."""
        commit = self._commit(wanted)
        where = _Where(
            task_id=self._state.task_id,
            base=merging.examined(self._base, commit),
            commit=commit,
            attempt=self._journal.takes * 1_000 + number,
        )
        return await self._by_kind[wanted.kind](wanted, where)

    async def _tests(self, wanted: Wanted, at: "_Where") -> Examination:
        assert at.base.suite is not None
        return await self._parts.examiner.tests(
            at.task_id,
            at.base,
            at.base.suite,
            subject=wanted.subject,
            commit=at.commit,
            run=wanted.run,
            name=wanted.name,
            attempt=at.attempt,
        )

    async def _exhibited(self, wanted: Wanted, at: "_Where") -> Examination:
        return await self._parts.examiner.exhibit(
            at.task_id,
            at.base,
            self._exhibit(wanted.name),
            subject=wanted.subject,
            commit=at.commit,
            run=wanted.run,
            attempt=at.attempt,
        )

    async def _linted(self, wanted: Wanted, at: "_Where") -> Examination:
        return await self._parts.examiner.lint(
            at.task_id,
            at.base,
            subject=wanted.subject,
            commit=at.commit,
            files=self._admission(wanted.subject).files,
            attempt=at.attempt,
        )

    async def _checked(self, wanted: Wanted, at: "_Where") -> Examination:
        return await self._parts.examiner.check(
            at.task_id,
            at.base,
            subject=wanted.subject,
            commit=at.commit,
            number=deliberation.checks(self._state).index(wanted.name),
            name=wanted.name,
            command=merging.command(wanted.name),
            attempt=at.attempt,
        )

    def _exhibit(self, ident: str) -> Exhibit:
        return next(e for e in self._state.exhibits if e.exhibit_id == ident)

    def _commit(self, wanted: Wanted) -> CommitId:
        if wanted.subject == BASE:
            return deliberation.sides(self._state).get(wanted.name, self._base.commit)
        return self._admission(wanted.subject).commit

    def _admission(self, subject: str) -> Admission:
        return next(a for a in self._state.admissions if a.proposal_id == subject)


class _Where(msgspec.Struct, frozen=True, kw_only=True):
    """What one try of an examination is made on."""

    task_id: TaskId
    base: PreparedBase
    commit: CommitId
    attempt: int


def _examined(found: Examination, reference: ArtifactRef) -> Examined:
    outcomes = list(found.tests.values())
    return Examined(
        subject=found.subject,
        kind=found.kind,
        name=found.name,
        run=found.run,
        end=found.end,
        passed=outcomes.count(Outcome.PASSED),
        failed=outcomes.count(Outcome.FAILED) + outcomes.count(Outcome.ERROR),
        skipped=outcomes.count(Outcome.SKIPPED),
        report_problem=found.report_problem,
        examination=reference,
    )

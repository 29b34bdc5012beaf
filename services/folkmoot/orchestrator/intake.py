"""Writes down what came of a work: a proposal, findings, tests, or a stated reason for none.

Exhibits stand in the log before the fact that ends their work, so that a successor that finds the work open only adds
what is missing.
"""

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from folkmoot.agents.run import NOTHING_CHANGED
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import CallerError
from folkmoot.kernel.events import Fact
from folkmoot.kernel.evidence import (
    Admission,
    Exhibit,
    Finding,
    PackedFile,
    PreparedBase,
    Refusal,
    Source,
    TestPack,
)
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    ExhibitAdmitted,
    ProposalAdmitted,
    ProposalRefused,
    Reviewed,
    TestsWritten,
    Work,
    WorkEnded,
)
from folkmoot.kernel.ids import ProposalId
from folkmoot.orchestrator.attempts import REASON_CHARS
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.orchestrator.runner import Extracted
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.ambient import phase

PREFIX = {Source.CANDIDATE: "own", Source.FINDING: "finding", Source.SEALED: "sealed", Source.SPLIT: "split"}

PROBLEM_CHARS = 300
"""Of each finding that cannot be run: up to eight stand in one event, beside what they claim."""
NONE = ProposalId("")


class Intake:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal) -> None:
        self._parts = parts
        self._journal = journal

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def _base(self) -> PreparedBase:
        assert self._state.base is not None
        return self._state.base

    async def settle(self, work: Work, finished: AgentFinished) -> None:
        """What is wrong with one agent's work is that agent's failure, never the task's."""
        if work in self._state.done:
            return
        try:
            await self._settle(work, finished)
        except CallerError as error:
            await self._fail(work, f"its work cannot be taken in: {error}", finished)

    async def _settle(self, work: Work, finished: AgentFinished) -> None:
        if work.phase == "review":
            await self._reviewed(work, finished)
        elif not finished.submitted:
            await self._fail(work, finished.reason, finished)
        elif work.phase == "test":
            await self._tests(work, finished)
        elif work.phase == "revise" and finished.bundle is None:
            await self._journal.record(WorkEnded(work=work, reason=NOTHING_CHANGED, usage=finished.usage))
        else:
            await self._proposal(work, finished)

    async def _fail(self, work: Work, reason: str, finished: AgentFinished) -> None:
        reason = reason[:REASON_CHARS]
        fact: Fact = WorkEnded(work=work, reason=reason, failed=True, usage=finished.usage)
        if work.phase == "propose":
            fact = AgentFailed(agent_id=work.agent_id, reason=reason, usage=finished.usage)
        await self._journal.record(fact)

    # --- proposals -----------------------------------------------------------------------------------------------

    async def _proposal(self, work: Work, finished: AgentFinished) -> None:
        verdict = await self._admit(work, finished)
        if not isinstance(verdict, Admission):
            await self._journal.record(ProposalRefused(refusal=verdict, usage=finished.usage, round=work.round))
            return
        if self._parts.policy.profile[self._state.spec.rigor].cross_examine:
            extracted = await self._extracted(verdict)
            await self._exhibit(work, Source.CANDIDATE, extracted, verdict.proposal_id)
        summary = finished.summary[:REASON_CHARS]
        await self._journal.record(
            ProposalAdmitted(admission=verdict, summary=summary, usage=finished.usage, round=work.round)
        )

    @phase("admission", lambda _, work, __: {"agent_id": work.agent_id})
    async def _admit(self, work: Work, finished: AgentFinished) -> Admission | Refusal:
        spec = self._state.spec
        message = f"{spec.title}\n\n{finished.summary[:REASON_CHARS]}".strip()
        return await patiently(
            lambda: self._parts.runner.admit(
                task_id=spec.task_id,
                agent_id=work.agent_id,
                base=self._base,
                bundle=finished.bundle,
                message=message,
                round_=work.round,
            )
        )

    async def _extracted(self, admission: Admission) -> Sequence[TestPack]:
        """The platform's own merge brings nobody's tests: those of its sides guard it already."""
        if self._base.start is not None:
            return ()
        found = await patiently(
            lambda: self._parts.runner.extract_tests(self._state.task_id, self._base, commit=admission.commit)
        )
        return found.packs

    # --- findings ------------------------------------------------------------------------------------------------

    async def _reviewed(self, work: Work, finished: AgentFinished) -> None:
        """Also of a review that a limit ended: what it found counts."""
        if not finished.submitted and not finished.findings:
            await self._fail(work, finished.reason, finished)
            return
        findings = await self._with_exhibits(work, finished.findings)
        summary = finished.summary[:REASON_CHARS]
        await self._journal.record(Reviewed(work=work, findings=findings, summary=summary, usage=finished.usage))

    async def _with_exhibits(self, work: Work, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Each reproducer an exhibit of its own: one that cannot be read spoils none of the others."""
        return tuple([await self._with_exhibit(work, n, f) for n, f in enumerate(findings, 1)])

    async def _with_exhibit(self, work: Work, number: int, finding: Finding) -> Finding:
        change = msgspec.structs.replace
        try:
            found = await self._reproducer(finding)
        except CallerError as error:
            return change(finding, problem=str(error)[:PROBLEM_CHARS])
        if not found.packs:
            problem = "; ".join(found.problems) or "it holds no test that can be run"
            return change(finding, problem=problem[:PROBLEM_CHARS])
        ids = await self._exhibit(work, Source.FINDING, found.packs, number=f"{work.round}-{number}")
        return change(finding, exhibit_id=ids[0])

    async def _reproducer(self, finding: Finding) -> Extracted:
        """As tests that can be run. Raises CallerError."""
        content = await patiently(lambda: self._parts.artifacts.get(finding.reproducer))
        packed = msgspec.json.encode([PackedFile(path=finding.path, content=content)])
        files = await patiently(lambda: self._parts.artifacts.put(packed))
        return await patiently(lambda: self._parts.runner.extract_tests(self._state.task_id, self._base, files=files))

    # --- tests ---------------------------------------------------------------------------------------------------

    async def _tests(self, work: Work, finished: AgentFinished) -> None:
        """Tests only: a change of anything else is refused, and all of it with that."""
        verdict = await self._admit(work, finished)
        if not isinstance(verdict, Admission):
            await self._fail(work, verdict.reason, finished)
            return
        commit = verdict.commit
        found = await patiently(
            lambda: self._parts.runner.extract_tests(self._state.task_id, self._base, commit=commit)
        )
        if problem := _no_tests(verdict, found):
            await self._fail(work, problem, finished)
            return
        seat = self._state.seat(work.agent_id)
        source = Source.SPLIT if seat and seat.duty == "split" else Source.SEALED
        ids = await self._exhibit(work, source, found.packs)
        await self._journal.record(TestsWritten(work=work, exhibits=ids, usage=finished.usage))

    async def _exhibit(
        self,
        work: Work,
        source: Source,
        packs: Sequence[TestPack],
        proposal: ProposalId = NONE,
        number: str = "",
    ) -> tuple[str, ...]:
        """Their ids; what a predecessor wrote down already stands."""
        known = {e.exhibit_id: e.pack for e in self._state.exhibits}
        name = f"{PREFIX[source]}-{work.agent_id}-r{number or work.round}"
        ids = [_free(name if n == 1 else f"{name}-{n}", pack, known) for n, pack in enumerate(packs, 1)]
        for ident, pack in zip(ids, packs, strict=True):
            if ident not in known:
                exhibit = Exhibit(
                    exhibit_id=ident,
                    author=work.agent_id,
                    source=source,
                    round=work.round,
                    pack=pack,
                    proposal_id=proposal,
                )
                await self._journal.record(ExhibitAdmitted(exhibit=exhibit))
        return tuple(ids)


def _free(name: str, pack: TestPack, known: Mapping[str, TestPack]) -> str:
    """`name`, or `name-c2` and so on where the task that this one goes on with has other tests by that name."""
    names = itertools.chain([name], (f"{name}-c{n}" for n in itertools.count(2)))
    return next(n for n in names if known.get(n, pack) == pack)


def _no_tests(verdict: Admission, found: Extracted) -> str:
    """Why it is not tests alone, in words; empty when it is."""
    if verdict.tampered:
        return f"it changes {verdict.tampered[0].path}: {verdict.tampered[0].how}"
    if found.production:
        return f"its change is not tests alone: {', '.join(found.production[:3])}"
    return "" if found.packs else "it wrote no test that can be run"

"""What an agent is told for one work: the task, and what it may see of others. Never who they are."""

import itertools
from collections.abc import Collection

import msgspec

from folkmoot.agents import documents, shown
from folkmoot.agents.assignment import Assignment, ModelEndpoint, Shown, WorkspaceGrant
from folkmoot.agents.shown import Objected, Sight
from folkmoot.kernel.deliberation import Deliberation, Due
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.events import Head
from folkmoot.kernel.evidence import ArtifactRef, Examination, Exhibit, PackedFile, PreparedBase, SuiteKind
from folkmoot.kernel.facts import Seat, Work
from folkmoot.kernel.fleet import lower
from folkmoot.kernel.ids import ProposalId
from folkmoot.kernel.jury import standing
from folkmoot.kernel.jury.evidence import Candidate, Evidence
from folkmoot.kernel.jury.standing import Objection, Standing
from folkmoot.kernel.task import TaskKind
from folkmoot.orchestrator import merging
from folkmoot.orchestrator.attempts import start
from folkmoot.orchestrator.convening import recalled
from folkmoot.orchestrator.examining import Examining
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.settings import ModelSettings
from folkmoot.runtime.supervise import patiently
from folkmoot.runtime.telemetry.context import current


class Briefing:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal, examining: Examining) -> None:
        self._parts = parts
        self._journal = journal
        self._examining = examining
        self._told: str | None = None

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    @property
    def _base(self) -> PreparedBase:
        assert self._state.base is not None
        return self._state.base

    async def assignment(self, due: Due, attempt: int, grant: WorkspaceGrant, results: Head) -> Assignment:
        """`results` is the head of what the agent has handed in so far."""
        spec, seat, work = self._state.spec, due.seat, due.work
        others, words = await self._seen(work)
        return Assignment(
            task_id=spec.task_id,
            agent_id=seat.agent_id,
            attempt=attempt,
            round=work.round,
            phase=work.phase,
            role=seat.role,
            persona=seat.persona,
            title=spec.title,
            text=merging.text(spec, self._base),
            checks=spec.checks,
            base_commit=self._base.commit,
            suite=self._base.suite,
            protected=self._base.protected,
            budget=lower(spec.budget, seat.budget),
            model=endpoint(seat, self._parts.model),
            workspace=grant,
            result_head=results,
            traceparent=current(),
            instructions=seat.instructions,
            tools=seat.tools,
            temperature=seat.temperature,
            paths=spec.paths,
            context=await self._context(),
            start=start(self._state, work),
            shown=others,
            evidence=words,
            kind=spec.kind,
            total=spec.total,
            used=self._state.usage,
        )

    async def sight(self, evidence: Evidence, stands: Standing, pair: Collection[ProposalId] = ()) -> Sight:
        """Of the acceptable candidates, or of all where none is; and of a `pair` that was decided on, perhaps by the
        policy of a predecessor."""
        acceptable = {p for c in stands.classes for p in c} or {c.admission.proposal_id for c in evidence.candidates}
        candidates = tuple(c for c in evidence.candidates if c.admission.proposal_id in acceptable.union(pair))
        return Sight(
            base=evidence.base,
            candidates=candidates,
            diffs={c.admission.proposal_id: await self.body(c.admission.diff) for c in candidates},
            exhibits=evidence.exhibits,
            faults=stands.faults,
        )

    async def standing(self) -> tuple[Evidence, Standing]:
        evidence = await self._examining.evidence()
        return evidence, standing(evidence, self._parts.policy)

    async def _context(self) -> str:
        """What all agents of the task are told of earlier work; fetched once."""
        if self._told is None:
            self._told = await recalled(self._parts.artifacts, self._state.context)
        return self._told

    async def _seen(self, work: Work) -> tuple[tuple[Shown, ...], str]:
        """What the agent may see of candidates, and of the evidence."""
        stage = next((s for s in reversed(self._state.staged) if work in s.works), None)
        if work.phase == "propose" or stage is None or (work.phase == "test" and not stage.pairs):
            return (), ""
        if self._state.spec.kind is TaskKind.ANALYSIS:
            papers = [p for p in self._state.papers if p.agent_id != work.agent_id]
            return documents.to_critic(papers, {p.proposal_id: await self.body(p.document) for p in papers})
        evidence, stands = await self.standing()
        if work.phase == "revise":
            return (), await self._against(work, evidence, stands)
        if work.phase == "test":
            pair = stage.pairs[0]
            return shown.to_splitter(await self.sight(evidence, stands, pair), pair)
        return shown.to_reviewer(await self.sight(evidence, stands), work.agent_id)

    async def _against(self, work: Work, evidence: Evidence, stands: Standing) -> str:
        """What speaks against the author's latest proposal, with the tests that he fails."""
        mine = next(c for c in reversed(evidence.candidates) if c.admission.agent_id == work.agent_id)
        proposal = mine.admission.proposal_id
        objections = itertools.groupby(stands.objections.get(proposal, ()), key=lambda o: o.exhibit_id)
        exhibits = {e.exhibit_id: e for e in evidence.exhibits}
        objected = [await self._objected(mine, exhibits[ident], tuple(group)) for ident, group in objections]
        return shown.to_author(work.agent_id, stands.faults.get(proposal, ()), objected)

    async def _objected(self, mine: Candidate, exhibit: Exhibit, objections: tuple[Objection, ...]) -> Objected:
        run = next((e for e in mine.examinations if (e.kind, e.name) == (SuiteKind.EXHIBIT, exhibit.exhibit_id)), None)
        findings = [f for review in self._state.reviews for f in review.findings]
        return Objected(
            exhibit=exhibit,
            objections=objections,
            files=tuple(msgspec.json.decode(await self.body(exhibit.pack.files) or b"[]", type=list[PackedFile])),
            claims=shown.claims(findings, exhibit.exhibit_id),
            output=await self._printed(run),
        )

    async def _printed(self, run: Examination | None) -> bytes:
        return await self.body(run.output) if run and run.output else b""

    async def body(self, ref: ArtifactRef) -> bytes:
        """Empty where it is lost: who is to read it misses it, and goes on."""
        try:
            return await patiently(lambda: self._parts.artifacts.get(ref))
        except NotFound:
            return b""


def endpoint(seat: Seat, configured: ModelSettings) -> ModelEndpoint:
    """Our key goes to the configured server alone."""
    known = seat.model.url == configured.url
    return ModelEndpoint(url=seat.model.url, name=seat.model.name, api_key=configured.api_key if known else "")

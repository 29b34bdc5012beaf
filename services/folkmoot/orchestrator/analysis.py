"""An analysis: takes documents in, has their claims checked in fresh workspaces, and the documents compared."""

import asyncio

import msgspec

from folkmoot.agents import documents
from folkmoot.agents.judge import compare
from folkmoot.kernel import ids
from folkmoot.kernel.analysis.document import Document, Paper
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.facts import AgentFailed, AgentFinished, DocumentSubmitted, Judged, Reviewed, Seat, Work, WorkEnded
from folkmoot.kernel.ids import ProposalId
from folkmoot.orchestrator.attempts import REASON_CHARS
from folkmoot.orchestrator.briefing import Briefing, endpoint
from folkmoot.orchestrator.claims import Claims
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.judging import REPAIRS, pending
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.supervise import patiently, together
from folkmoot.runtime.telemetry.ambient import phase

PARALLEL_PAIRS = 4
"""Every document is compared with every other; a model server has other things to do."""


class Analysing:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal, briefing: Briefing) -> None:
        self._parts = parts
        self._journal = journal
        self._briefing = briefing
        self._claims = Claims(parts, journal)
        self._slots = asyncio.Semaphore(PARALLEL_PAIRS)

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    # --- what agents hand in --------------------------------------------------------------------------------------

    async def settle(self, work: Work, finished: AgentFinished) -> None:
        """Write down what came of `work`: a document, criticism, or a stated reason for none."""
        if work in self._state.done:
            return
        if work.phase == "review":
            await self._reviewed(work, finished)
        elif finished.submitted and finished.document:
            await self._submitted(work, finished)
        else:
            reason = finished.reason if not finished.submitted else "it handed in no document"
            await self._journal.record(
                AgentFailed(agent_id=work.agent_id, reason=reason[:REASON_CHARS], usage=finished.usage)
            )

    async def _reviewed(self, work: Work, finished: AgentFinished) -> None:
        reason, usage = finished.reason[:REASON_CHARS], finished.usage
        if not finished.submitted:
            await self._journal.record(WorkEnded(work=work, reason=reason, failed=True, usage=usage))
            return
        await self._journal.record(Reviewed(work=work, summary=finished.summary[:REASON_CHARS], usage=usage))

    async def _submitted(self, work: Work, finished: AgentFinished) -> None:
        assert finished.document is not None
        reference = finished.document
        proposal = ids.proposal_id(work.agent_id, work.round)
        try:
            body = await patiently(lambda: self._parts.artifacts.get(reference))
        except NotFound as lost:
            await self._journal.record(AgentFailed(agent_id=work.agent_id, reason=str(lost), usage=finished.usage))
            return
        document = msgspec.json.decode(body, type=Document)
        paper = Paper(
            proposal_id=proposal,
            agent_id=work.agent_id,
            kind=document.kind,
            document=reference,
            checked=await self._claims.checked(proposal, document),
        )
        await self._journal.record(DocumentSubmitted(paper=paper, usage=finished.usage))

    # --- verdicts --------------------------------------------------------------------------------------------------

    async def missing(self) -> None:
        """Verdicts that the last stage asks for and nobody has given. What a judge cannot say is a verdict too."""
        judge = next((s for s in self._state.helpers if s.duty == "judge"), None)
        if judge is not None:
            await together({f"judge {a} {b}": self._judge(judge, (a, b)) for a, b in pending(self._state)})

    @phase("judging", lambda _, judge, pair: {"agent_id": judge.agent_id, "pair": " ".join(pair)})
    async def _judge(self, judge: Seat, pair: tuple[ProposalId, ProposalId]) -> None:
        spec, papers = self._state.spec, {p.proposal_id: p for p in self._state.papers}
        async with self._slots:
            shown = documents.paired(
                papers[pair[0]],
                papers[pair[1]],
                papers=self._state.papers,
                bodies={p: await self._briefing.body(papers[p].document) for p in pair},
                reviews=self._state.reviews,
                judge=judge.agent_id,
                role=spec.role,
                title=spec.title,
                task=spec.text,
            )
            model, user = endpoint(judge, self._parts.model), f"{spec.task_id}/{judge.agent_id}"
            verdict, usage = await compare(self._parts.judge, model, shown, user=user, repairs=REPAIRS)
        await self._journal.record(Judged(verdict=verdict, usage=usage))

"""Has near candidates compared by a model, pair by pair, where the protocol asks for it."""

from folkmoot.agents.judge import compare, paired
from folkmoot.kernel.deliberation import Deliberation
from folkmoot.kernel.facts import Judged, Seat, Stage
from folkmoot.kernel.ids import ProposalId
from folkmoot.orchestrator.briefing import Briefing, endpoint
from folkmoot.orchestrator.journal import Journal
from folkmoot.orchestrator.parts import Parts
from folkmoot.runtime.supervise import together
from folkmoot.runtime.telemetry.ambient import phase

REPAIRS = 2
"""Answers of a judge that may be corrected, as those of the coach and the planner."""


class Judging:
    """Of one deliberation, in one owner."""

    def __init__(self, parts: Parts, journal: Journal, briefing: Briefing) -> None:
        self._parts = parts
        self._journal = journal
        self._briefing = briefing

    @property
    def _state(self) -> Deliberation:
        return self._journal.state

    async def missing(self) -> None:
        """Verdicts that the last stage asks for and nobody has given. What a judge cannot say is a verdict too."""
        judge = next((s for s in self._state.helpers if s.duty == "judge"), None)
        if judge is not None:
            await together(
                {f"judge {one} {other}": self._judge(judge, (one, other)) for one, other in pending(self._state)}
            )

    @phase("judging", lambda _, judge, pair: {"agent_id": judge.agent_id, "pair": " ".join(pair)})
    async def _judge(self, judge: Seat, pair: tuple[ProposalId, ProposalId]) -> None:
        spec = self._state.spec
        sight = await self._briefing.sight(*await self._briefing.standing(), pair)
        shown = paired(
            sight,
            pair,
            judge=judge.agent_id,
            role=spec.role,
            title=spec.title,
            text=spec.text,
            checks=spec.checks,
        )
        model, user = endpoint(judge, self._parts.model), f"{spec.task_id}/{judge.agent_id}"
        verdict, usage = await compare(self._parts.judge, model, shown, user=user, repairs=REPAIRS)
        await self._journal.record(Judged(verdict=verdict, usage=usage))


def pending(state: Deliberation) -> list[tuple[ProposalId, ProposalId]]:
    """Pairs that the last stage asks a verdict on, without those that have one."""
    if not state.staged or state.staged[-1].stage is not Stage.JUDGE:
        return []
    known = [{v.one, v.other} for v in state.verdicts]
    return [p for p in state.staged[-1].pairs if set(p) not in known]

"""Which stage of a deliberation comes next, and why. Pure: the state and how its candidates stand in, a fact out.

    propose (+ sealed tests) -> [ critique -> revise ] x rounds -> more seats -> split -> judge -> rank

A stage is left out where it cannot change the answer, where its rigor has none of it, or where the task's budget is
used up. What was decided is a fact in the log: whoever takes the task over goes on with it.
"""

from collections.abc import Iterable, Iterator

from folkmoot.kernel.deliberation import Deliberation, sides
from folkmoot.kernel.facts import Seat, Stage, Staged, Work
from folkmoot.kernel.ids import AgentId, ProposalId, round_of
from folkmoot.kernel.jury.policy import Policy, Profile
from folkmoot.kernel.jury.standing import Standing
from folkmoot.kernel.jury.words import count

SPENT = "it is decided by what there is"
"""Ends the reason of a last stage that a limit of the task brought about."""
ANEW = "the candidates of an earlier task are judged anew"


def staged_at_all(profile: Profile) -> bool:
    """Whether there is anything to decide between proposing and ranking."""
    return profile.cross_examine or profile.critique or profile.judge_pairs > 0


def opening(state: Deliberation, policy: Policy) -> Staged:
    """The first stage: the task's own number of agents, and the writers who may see no candidate. Of a task that goes
    on with the candidates of another, nobody proposes, and who wrote tests then does not write them again."""
    first = () if state.admissions else state.seats[: state.spec.agents]
    written = {e.author for e in state.exhibits}
    writers = [s for s in state.helpers if s.duty == "sealed" and s.agent_id not in written]
    return Staged(
        stage=Stage.PROPOSE,
        works=(*_works(first, "propose"), *_works(writers, "test")),
        reasons=(f"proposals are asked of {count(len(first), 'agent')}" if first else ANEW,),
        policy=policy.version,
    )


def following(state: Deliberation, standing: Standing, policy: Policy, *, spent: str = "") -> Staged:
    """The stage after all works of the last one have ended and everything is examined. `spent` says which limit of the
    task is used up, in words; empty: none."""
    if spent:
        return _rank(policy, f"{spent}: {SPENT}")
    if standing.settled:
        return _rank(policy, standing.settled)
    return next(_possible(state, standing, policy), None) or _rank(policy, "nothing that is left would tell more")


def _rank(policy: Policy, reason: str) -> Staged:
    return Staged(stage=Stage.RANK, reasons=(reason,), policy=policy.version)


def _possible(state: Deliberation, standing: Standing, policy: Policy) -> Iterator[Staged]:
    """In the order in which they are tried: the cheap and telling first."""
    profile = policy.profile[state.spec.rigor]
    yield from _critique(state, standing, policy, profile)
    yield from _revision(state, standing, policy, profile)
    if more := _more_seats(state):
        agents = count(len(more), "more agent")
        yield Staged(
            stage=Stage.PROPOSE,
            works=_works(more, "propose"),
            reasons=(f"confidence {standing.confidence:.2f}: proposals are asked of {agents}",),
            policy=policy.version,
        )
    yield from _between_near_ones(state, standing, policy, profile)


def _critique(state: Deliberation, standing: Standing, policy: Policy, profile: Profile) -> Iterator[Staged]:
    number = _count(state, Stage.CRITIQUE) + 1
    if profile.critique and number <= max(1, profile.revisions) and (reviewers := _reviewers(state, standing)):
        yield Staged(
            stage=Stage.CRITIQUE,
            round=number,
            works=_works(reviewers, "review", number),
            reasons=(f"confidence {standing.confidence:.2f}: peers look for faults",),
            policy=policy.version,
        )


def _revision(state: Deliberation, standing: Standing, policy: Policy, profile: Profile) -> Iterator[Staged]:
    if _count(state, Stage.REVISE) < profile.revisions and (works := tuple(_revisions(state, standing))):
        yield Staged(
            stage=Stage.REVISE,
            round=works[0].round,
            works=works,
            reasons=(f"evidence speaks against proposals of {count(len(works), 'author')}",),
            policy=policy.version,
        )


def _between_near_ones(state: Deliberation, standing: Standing, policy: Policy, profile: Profile) -> Iterator[Staged]:
    """What tells apart candidates that evidence leaves near each other."""
    if not standing.close:
        return
    number = _count(state, Stage.TEST) + 1
    splitters = [s for s in state.helpers if s.duty == "split"]
    if number <= profile.split and splitters:
        yield Staged(
            stage=Stage.TEST,
            round=number,
            works=_works(splitters, "test", number),
            pairs=standing.close[:1],
            reasons=("tests are written to tell two near candidates apart",),
            policy=policy.version,
        )
    known = [{v.one, v.other} for v in state.verdicts]
    pairs = [p for p in standing.close if set(p) not in known][: profile.judge_pairs - len(known)]
    if pairs and len(known) < profile.judge_pairs and any(s.duty == "judge" for s in state.helpers):
        yield Staged(
            stage=Stage.JUDGE,
            round=_count(state, Stage.JUDGE) + 1,
            pairs=tuple(pairs),
            reasons=(f"confidence {standing.confidence:.2f}: a judge compares {count(len(pairs), 'near pair')}",),
            policy=policy.version,
        )


def _count(state: Deliberation, stage: Stage) -> int:
    return sum(s.stage is stage for s in state.staged)


def _works(seats: Iterable[Seat], phase: str, number: int = 1) -> tuple[Work, ...]:
    return tuple(Work(agent_id=s.agent_id, phase=phase, round=number) for s in seats)


def _reviewers(state: Deliberation, standing: Standing) -> list[Seat]:
    """All who proposed something, where somebody else's acceptable proposal has not been reviewed yet."""
    reviewed = _proposals_before(state, Stage.CRITIQUE)
    fresh = {p for c in standing.classes for p in c} - reviewed
    authors = {a.proposal_id: a.agent_id for a in state.admissions}
    proposed = set(authors.values()) | {r.agent_id for r in state.refusals}
    seats = [s for s in state.seats if s.agent_id in proposed]
    return [s for s in seats if any(authors[p] != s.agent_id for p in fresh)]


def _revisions(state: Deliberation, standing: Standing) -> Iterator[Work]:
    """Of each author whose latest proposal something speaks against, unless he was shown all of it already. The
    platform's own merge has no author who could mend it."""
    if sides(state):
        return
    shown = _proposals_before(state, Stage.REVISE)
    latest = _latest(state)
    number = 1 + max((round_of(p) for p in latest.values()), default=1)
    for seat in state.seats:
        proposal = latest.get(seat.agent_id)
        if proposal and proposal not in shown and (standing.objections.get(proposal) or standing.faults.get(proposal)):
            yield Work(agent_id=seat.agent_id, phase="revise", round=number)


def _proposals_before(state: Deliberation, stage: Stage) -> set[ProposalId]:
    """Candidates that were there when the last stage of that kind began."""
    last = max((i for i, s in enumerate(state.staged) if s.stage is stage), default=None)
    if last is None:
        return set()
    later = {(w.agent_id, w.round) for s in state.staged[last:] for w in s.works if w.phase in ("propose", "revise")}
    return {a.proposal_id for a in state.admissions if (a.agent_id, round_of(a.proposal_id)) not in later}


def _latest(state: Deliberation) -> dict[AgentId, ProposalId]:
    found: dict[AgentId, ProposalId] = {}
    for a in sorted(state.admissions, key=lambda a: round_of(a.proposal_id)):
        found[a.agent_id] = a.proposal_id
    return found


def _more_seats(state: Deliberation) -> tuple[Seat, ...]:
    """Two more at a time."""
    asked = {w.agent_id for s in state.staged for w in s.works}
    return tuple(s for s in state.seats if s.agent_id not in asked)[:2] if not state.spec.continues else ()

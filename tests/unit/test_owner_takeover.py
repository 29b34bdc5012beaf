"""Owners die at every point of a deliberation, on the log in memory: the next one comes to the same answer."""

import msgspec
import pytest

from folkmoot.cli.evidence.gathered import examination
from folkmoot.kernel import replay, subjects
from folkmoot.kernel.deliberation import Deliberation, Wanted
from folkmoot.kernel.facts import Stage, Work
from folkmoot.kernel.ids import ProposalId
from folkmoot.kernel.jury import shipped
from folkmoot.kernel.jury.policy import policy_of
from folkmoot.kernel.result import State, Usage
from folkmoot.kernel.task import Rigor
from tests.fixtures.stages import Bench, MadeUpJudge

WORLD = {
    "dev-1 propose": "right",
    "dev-2 propose": "wrong",
    "tester-1 test": "right",
    "tester-2 test": "wrong",
    "dev-1 review": "right",
    "dev-2 review": "wrong",
    "dev-2 revise": "wrong still",
    "splitter-1 test": "other",
}
"""Two camps, so that all stages are needed."""
ALL_STAGES = (
    Stage.PROPOSE,
    Stage.CRITIQUE,
    Stage.REVISE,
    Stage.CRITIQUE,
    Stage.REVISE,
    Stage.TEST,
    Stage.JUDGE,
    Stage.RANK,
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What must not depend on who carried the task, and how far."""

    state: State
    chosen: ProposalId | None
    confidence: float | None
    ranking: tuple[tuple[ProposalId, int, bool, dict[str, float]], ...]
    reasons: tuple[str, ...]
    stages: tuple[tuple[Stage, frozenset[Work], tuple[tuple[ProposalId, ProposalId], ...]], ...]
    done: frozenset[Work]
    exhibits: frozenset[tuple[str, str]]
    examined: frozenset[Wanted]
    verdicts: frozenset[tuple[ProposalId, ProposalId, ProposalId | None]]
    usage: Usage


def outcome(state: Deliberation) -> Outcome:
    ranked = state.ranked
    assert ranked is not None
    return Outcome(
        state=state.state,
        chosen=ranked.chosen,
        confidence=ranked.confidence,
        ranking=tuple((r.proposal_id, r.rank, r.acceptable, r.scores) for r in ranked.ranking),
        reasons=ranked.reasons,
        stages=tuple((s.stage, frozenset(s.works), s.pairs) for s in state.staged),
        done=state.done,
        exhibits=frozenset((e.exhibit_id, e.pack.files.sha256) for e in state.exhibits),
        examined=frozenset(map(Wanted.of, state.examined)),
        verdicts=frozenset((v.one, v.other, v.better) for v in state.verdicts),
        usage=state.usage,
    )


def bench() -> Bench:
    return Bench(WORLD, Rigor.L3, agents=2, judge=MadeUpJudge(b"right"))


async def test_an_owner_that_dies_anywhere_changes_nothing() -> None:
    """Behind appends all through a task of all stages, by the owner or an agent, all is gone but the log: the next
    owner comes to the same answer by the same evidence, at the same cost. (A stride of 1 holds too, and takes long.)"""
    undisturbed = outcome(await bench().carry())
    assert tuple(s for s, _, _ in undisturbed.stages) == ALL_STAGES
    died, stride = True, 23
    for appends in range(1, 1_000, stride):
        task = bench()
        died = not await task.carry_until_death(appends)
        assert outcome(await task.carry()) == undisturbed, f"died behind {appends} appends"
        if not died:
            break
    assert appends > stride
    assert not died


@pytest.mark.parametrize("appends", [6, 11])
async def test_owners_that_die_one_after_the_other_change_nothing(appends: int) -> None:
    """Each lives for a few appends: dozens of deaths, and the same answer by the same evidence, at the same cost."""
    undisturbed, task = outcome(await bench().carry()), bench()
    deaths = 0
    while not await task.carry_until_death(appends):
        deaths += 1
    assert deaths > 10
    assert outcome(await task.carry()) == undisturbed


@pytest.mark.parametrize("appends", [2, 9, 40, 80, 130])
@pytest.mark.parametrize(("first", "then"), [("2", "1"), ("1", "2")])
async def test_the_next_owner_may_have_another_policy(appends: int, first: str, then: str) -> None:
    """It goes on from what the log says, and decides by its own: the answer names which."""
    task = bench()
    ended = await task.carry_until_death(appends, policy=shipped(first))
    state = await task.carry(policy=shipped(then))
    assert state.ranked is not None
    assert state.ranked.policy == (first if ended else then)
    assert state.state in (State.DECIDED, State.ABSTAINED)


@pytest.mark.parametrize("version", ["3", "mine"])
async def test_a_decision_keeps_the_numbers_that_do_not_ship(version: str) -> None:
    """Also by the name of one that ships: its log alone gives the same decision, bit for bit. What ships stays out."""
    own = msgspec.structs.replace(shipped("3"), version=version, guarded=0.7)
    task = bench()
    await task.carry(policy=own)
    found = replay.ranked(await task.bus.log.read(subjects.deliberation(task.spec.task_id)))
    assert found.ruling.numbers is not None
    used = policy_of(await task.bus.artifacts.get(found.ruling.numbers))
    bodies = [await task.bus.artifacts.get(e.examination) for e in found.state.examined]
    run = tuple(examination(e, body) for e, body in zip(found.state.examined, bodies, strict=True))
    assert replay.same(found.ruling, replay.again(found, run, used))
    assert used == own
    plain = await bench().carry(policy=shipped("3"))
    assert plain.ranked is not None
    assert plain.ranked.numbers is None

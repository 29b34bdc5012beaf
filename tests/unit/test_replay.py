"""A decision made again from its log."""

import msgspec
import pytest

from folkmoot.kernel import replay
from folkmoot.kernel.errors import BrokenChain, FailedPrecondition, NotFound
from folkmoot.kernel.facts import CandidatesRanked
from folkmoot.kernel.jury import POLICY, Policy, collect, judge
from folkmoot.kernel.task import Rigor
from tests.fixtures.deliberated import told

TOLD = told()


def stricter() -> Policy:
    """Nothing is ever sure enough."""
    profile = POLICY.profile | {Rigor.L2: msgspec.structs.replace(POLICY.profile[Rigor.L2], threshold=1.0)}
    return msgspec.structs.replace(POLICY, version="strict", profile=profile)


def test_the_same_policy_decides_the_same_bit_for_bit() -> None:
    """From the log and the bodies that it names, and nothing else."""
    found = replay.ranked(TOLD.events)
    again = replay.again(found, TOLD.examinations, POLICY)
    assert replay.same(found.ruling, again)
    assert replay.differences(found.ruling, again) == ()


@pytest.mark.parametrize("left", [None, 1], ids=["all is examined", "one examination"])
def test_what_a_limit_ended_is_reproduced_too(left: int | None) -> None:
    """No evidence tells of the clock: that reason is taken over, and what it cut off is told again."""
    whole = replay.ranked(TOLD.events)
    state = msgspec.structs.replace(whole.state, examined=whole.state.examined[:left])
    ruling = judge(collect(state, TOLD.examinations[:left]), POLICY)
    early = replay.ended_early(ruling, state, "the task's wall time limit: 5 s are over")
    cut = replay.Ranked(state=state, ruling=early)
    assert replay.same(early, replay.again(cut, TOLD.examinations[:left], POLICY))
    assert early.reasons[-1].endswith(replay.UNEXAMINED if left else replay.EARLY)
    assert any("not been examined to the end" in reason for reason in early.reasons) == bool(left)


def test_what_another_policy_changes_is_named() -> None:
    """Field by field, with both values."""
    found = replay.ranked(TOLD.events)
    again = replay.again(found, TOLD.examinations, stricter())
    assert not replay.same(found.ruling, again)
    changed = {d.field: (d.stored, d.again) for d in replay.differences(found.ruling, again)}
    assert changed["policy"] == (f'"{POLICY.version}"', '"strict"')
    assert changed["chosen"] == (f'"{found.ruling.chosen}"', "null")


def test_what_only_one_of_them_has_is_named_too() -> None:
    """A reason more or less is a difference."""
    ruling = replay.ranked(TOLD.events).ruling
    shorter = msgspec.structs.replace(ruling, reasons=ruling.reasons[:-1])
    (only,) = replay.differences(ruling, shorter)
    assert (only.field, only.again) == (f"reasons[{len(ruling.reasons) - 1}]", "")


def test_a_log_that_was_changed_is_not_replayed() -> None:
    """Not even when only the ranking itself was."""
    *before, last, _ = TOLD.events
    assert isinstance(last.event.data, CandidatesRanked)
    forged = msgspec.structs.replace(last, event=msgspec.structs.replace(last.event, prevdigest="0" * 64))
    with pytest.raises(BrokenChain):
        replay.ranked([*before, forged])
    with pytest.raises(BrokenChain):
        replay.ranked([*before[:5], *before[6:], last])


def test_what_was_not_ranked_has_no_decision_to_replay() -> None:
    """The guard is named; and no log is no task."""
    with pytest.raises(FailedPrecondition, match="not_ranked"):
        replay.ranked(told(ranked=False).events)
    with pytest.raises(NotFound):
        replay.ranked([])


def test_what_was_stored_before_others_were_counted_is_reproduced() -> None:
    """How many speak for a candidate is told beside the ranking, and was not always."""
    found = replay.ranked(TOLD.events)
    assert found.ruling.ranking[0].scores["opinions_for"] == 0
    plain = [{k: v for k, v in r.scores.items() if not k.startswith("opinions")} for r in found.ruling.ranking]
    rows = zip(found.ruling.ranking, plain, strict=True)
    older = msgspec.structs.replace(found.ruling, ranking=tuple(msgspec.structs.replace(r, scores=s) for r, s in rows))
    again = replay.again(replay.Ranked(state=found.state, ruling=older), TOLD.examinations, POLICY)
    assert replay.same(older, again)

"""How a task was decided, told to people."""

import pytest

from folkmoot.context.explain import explained, nodes
from folkmoot.context.gather import evidence
from folkmoot.kernel import subjects
from folkmoot.kernel.errors import NotFound
from folkmoot.kernel.facts import DeliberationRequested
from folkmoot.kernel.ids import TaskId
from folkmoot.kernel.result import State
from tests.fixtures.history import History, commit, spec


async def test_a_decision_is_told_with_what_it_rests_on() -> None:
    """The outcome, the reasons, all candidates, what was run, who failed, what people said."""
    history = History()
    await history.task(spec("t-1", title="A cart"), "src/a.py", reasons=("dev-1 passes all checks",))
    await history.task(spec("t-2"), "src/a.py")
    await history.decision("d-1", task_id="t-1", title="Keep it")
    found = await evidence(history.graph, "t-1")
    text = explained(found)
    for said in (
        f"A candidate was chosen, by acceptance, with confidence 0.900: commit `{commit('t-1')}`.",
        "A cart",
        "dev-1 passes all checks",
        "1. dev-1-r1, acceptable",
        "-. dev-2-r1, not acceptable\n   - it holds a symlink",
        "dev-1-r1: make check (run 1): 1 passed, 0 failed, 0 skipped, exit 0",
        "dev-3: step limit: 60 steps",
        "Keep it, by ann\nBecause of d-1",
    ):
        assert said in text, said
    ids = [node.id for node in nodes(found)]
    assert ids == sorted(set(ids))
    assert {"task:t-1", "decision:t-1", "proposal:t-1/dev-1-r1", "proposal:t-1/dev-2-r1", "decision:d-1"} <= set(ids)
    assert not any("t-2" in i for i in ids)


async def test_an_abstention_and_a_task_under_way_are_told_as_such() -> None:
    """Nothing is made up for what is not there."""
    history = History()
    await history.task(spec("t-1"), "a.py", state=State.ABSTAINED, reasons=("every candidate breaks test_total",))
    asked = spec("t-2", title="Under way")
    await history.write(subjects.deliberation(TaskId("t-2")), DeliberationRequested(spec=asked, digest="d"))
    text = explained(await evidence(history.graph, "t-1"))
    assert "No candidate was chosen." in text
    assert "every candidate breaks test_total" in text
    assert "1. dev-1-r1, not acceptable\n   - breaks test_total" in text
    under_way = explained(await evidence(history.graph, "t-2"))
    assert "It is not decided yet: requested." in under_way
    assert "##" not in under_way


async def test_an_unknown_task_is_not_found() -> None:
    """An empty explanation would look like a decision without reasons."""
    with pytest.raises(NotFound, match="t-9"):
        await evidence(History().graph, "t-9")

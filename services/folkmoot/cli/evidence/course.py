"""How a task went, stage by stage, in words: who did what, and for which time. Pure; not yet cleaned."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from folkmoot.kernel import ids
from folkmoot.kernel.facts import Stage, Staged, Work
from folkmoot.kernel.ids import AgentId

_ONE = {"propose": "proposes", "review": "reviews the others", "test": "writes tests"}
_MANY = {"propose": "propose", "review": "review each other", "test": "write tests"}
_NOUNS = {"propose": "proposal", "review": "review", "test": "tests"}
_UNMANNED = {Stage.JUDGE: "a judge compares", Stage.RANK: "the candidates are ranked"}
_TIMES = {1: "", 2: " again", 3: " a third time"}


def stages(staged: Sequence[Staged]) -> Iterator[str]:
    """What each of them set going."""
    seen: dict[Stage, int] = {}
    for fact in staged:
        seen[fact.stage] = seen.get(fact.stage, 0) + 1
        yield _stage(fact, seen[fact.stage])


def _stage(fact: Staged, time: int) -> str:
    if fact.stage is Stage.JUDGE and fact.pairs:
        return f"a judge compares {_joined([f'{one} with {other}' for one, other in fact.pairs])}"
    if not fact.works:
        return _UNMANNED.get(fact.stage, "nobody is asked")
    groups = groupby(fact.works, key=lambda work: work.phase)
    said = "; ".join(_do(phase, tuple(works)) for phase, works in groups)
    apart = f" to tell {_joined(fact.pairs[0])} apart" if fact.stage is Stage.TEST and fact.pairs else ""
    # More agents that propose do so for their first time.
    return f"{said}{apart}{'' if fact.stage is Stage.PROPOSE else _TIMES.get(time, f' for the {time}th time')}"


def _do(phase: str, works: Sequence[Work]) -> str:
    who = _joined([work.agent_id for work in works])
    if phase == "revise":
        whose, into = ("its proposal" if len(works) == 1 else "their proposals"), _joined([_revised(w) for w in works])
        return f"{who} revise{'s' if len(works) == 1 else ''} {whose} (as {into})"
    return f"{who} {(_ONE if len(works) == 1 else _MANY).get(phase, phase)}"


def _revised(work: Work) -> str:
    return ids.proposal_id(work.agent_id, work.round)


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def nothing_of(work: str) -> str:
    """Of a work as the log names it, `dev-2 revise 2`: whose, and which."""
    agent, phase, number = work.rsplit(" ", 2)
    if phase == "revise":
        return f"{agent}'s revision (it would be {ids.proposal_id(AgentId(agent), int(number))})"
    return f"{agent}'s {_NOUNS.get(phase, phase)}" + (f" in round {number}" if number != "1" else "")

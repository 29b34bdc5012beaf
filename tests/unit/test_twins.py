"""The same change and the same tests are run once, and recorded for each that they are of."""

import asyncio
from datetime import UTC, datetime

import pytest

from folkmoot.kernel.deliberation import BASE, Deliberation, Wanted
from folkmoot.kernel.errors import Unavailable
from folkmoot.kernel.events import START
from folkmoot.kernel.evidence import (
    Admission,
    ArtifactRef,
    CommandEnd,
    Examination,
    Exhibit,
    Outcome,
    Runner,
    Source,
    SuiteKind,
    TestPack,
    TestSuite,
)
from folkmoot.kernel.ids import AgentId, CommitId, ProposalId, TaskId
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.twins import Twins, key

REF = ArtifactRef(sha256="0" * 64, size=1)


def admission(name: str, tree: str) -> Admission:
    return Admission(
        proposal_id=ProposalId(f"{name}-r1"), agent_id=AgentId(name), commit=CommitId(name.ljust(40, "0")), tree=tree,
        diff=REF, bundle=REF, files=(), lines_added=1, lines_removed=0,
    )  # fmt: skip


def exhibit(name: str, content: str, command: str = "pytest x") -> Exhibit:
    suite = TestSuite(runner=Runner.PYTEST, command=command, report="junit")
    pack = TestPack(files=ArtifactRef(sha256=content, size=1), paths=("x",), suite=suite)
    return Exhibit(exhibit_id=name, author=AgentId("a"), source=Source.CANDIDATE, pack=pack)


STATE = Deliberation(
    spec=TaskSpec(task_id=TaskId("t-1"), title="t", text="t", repository="/r", agents=3),
    digest="",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    head=START,
    admissions=(admission("a", "one"), admission("b", "one"), admission("c", "two")),
    exhibits=(exhibit("own-a", "x"), exhibit("own-b", "x"), exhibit("own-c", "x", "pytest y"), exhibit("own-d", "z")),
)


def wanted(subject: str, name: str = "own-a", run: int = 1, kind: SuiteKind = SuiteKind.EXHIBIT) -> Wanted:
    return Wanted(subject=subject, kind=kind, name=name, run=run)


def test_what_makes_twins() -> None:
    """Equal trees, and of exhibits equal files run by an equal command; never another run, nor base."""
    one = key(STATE, wanted("a-r1"))
    assert one == key(STATE, wanted("b-r1")) == key(STATE, wanted("a-r1", "own-b"))
    tests, check = SuiteKind.TESTS, SuiteKind.CHECK
    others = [
        wanted("c-r1"), wanted(BASE), wanted("a-r1", "own-c"), wanted("a-r1", "own-d"), wanted("a-r1", run=2),
        wanted("a-r1", "tests", kind=tests), wanted("a-r1", "tests", kind=check), wanted("a-r1", "make", kind=check),
    ]  # fmt: skip
    assert len({one, *(key(STATE, other) for other in others)}) == len(others) + 1


async def test_one_run_for_all_of_them() -> None:
    """Also when they are asked for at once; each answer has its own name and subject."""
    runs: list[str] = []

    async def made() -> Examination:
        runs.append("run")
        await asyncio.sleep(0)
        end = CommandEnd(exit_code=0)
        return Examination(
            subject="a-r1", kind=SuiteKind.EXHIBIT, name="own-a", end=end, tests={"t": Outcome.PASSED}, output=REF
        )

    twins = Twins()
    asked = [wanted("a-r1"), wanted("b-r1"), wanted("a-r1", "own-b"), wanted("c-r1")]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(twins.examined(key(STATE, w), w, made)) for w in asked]
    found = [task.result() for task in tasks]
    assert len(runs) == 2
    assert [(e.subject, e.name) for e in found] == [(w.subject, w.name) for w in asked]
    assert {tuple(e.tests.items()) for e in found} == {(("t", Outcome.PASSED),)}


async def test_a_twin_tries_by_itself() -> None:
    """What failed for one is not the other's answer."""

    async def broken() -> Examination:
        raise Unavailable("gone")

    async def made() -> Examination:
        return Examination(subject="b-r1", kind=SuiteKind.EXHIBIT, name="own-a", end=CommandEnd(exit_code=0))

    twins, one, other = Twins(), wanted("a-r1"), wanted("b-r1")
    with pytest.raises(Unavailable):
        await twins.examined(key(STATE, one), one, broken)
    assert (await twins.examined(key(STATE, other), other, made)).subject == "b-r1"

"""Ten thousand tasks behind it, and a pack costs what it cost with a hundred."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from folkmoot.context.gather import gather
from folkmoot.context.pack import hydrated
from folkmoot.context.projection.events import project
from folkmoot.context.projection.nodes import both, repository_key
from folkmoot.context.request import Request
from folkmoot.kernel.facts import CandidatesRanked, DeliberationEnded, DeliberationRequested, ProposalAdmitted
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.result import State
from folkmoot.runtime.graph.port import Change
from folkmoot.runtime.graph.sqlite import SqliteGraph, open_sqlite
from tests.fixtures.history import REPOSITORY, History, deliberation, spec

KEPT = (DeliberationRequested, ProposalAdmitted, CandidatesRanked, DeliberationEnded)
WANTED = Request(
    task_id=TaskId("t-new"),
    story_id=StoryId("s-1"),
    repository=REPOSITORY,
    paths=("src/hot.py", "src/"),
    depends_on=(TaskId("t-7"),),
)


def _task(number: int) -> Change:
    """What a task leaves that changed the one file that every task changes, and one of its own."""
    of = spec(f"t-{number}", "s-1", depends_on=[f"t-{number - 1}"])
    facts = deliberation(of, ("src/hot.py", f"src/{number}.py"), State.DECIDED, "done", ("all checks pass",))
    known = {"repository": repository_key(REPOSITORY)}
    stored = (History.stored(number, f"deliberation.events.t-{number}", f) for f in facts if isinstance(f, KEPT))
    return both(*(project(s, known) for s in stored))


async def _graph(path: Path, tasks: int) -> SqliteGraph:
    graph = await open_sqlite(path)
    await graph.apply("s", after=0, seq=1, change=both(*map(_task, range(tasks))))
    return graph


class Work:
    """Of SQLite: the steps of its machine, and the statements that it ran."""

    def __init__(self) -> None:
        self.steps = 0
        self.statements: list[str] = []

    def step(self) -> int:
        self.steps += 1
        return 0


@contextmanager
def _watched(graph: SqliteGraph) -> Iterator[Work]:
    work = Work()
    graph._db.set_trace_callback(work.statements.append)
    graph._db.set_progress_handler(work.step, 1)
    try:
        yield work
    finally:
        graph._db.set_progress_handler(None, 0)
        graph._db.set_trace_callback(None)


async def _hydrate(graph: SqliteGraph) -> tuple[Work, int]:
    with _watched(graph) as work:
        pack = hydrated(await gather(graph, WANTED), WANTED)
    return work, len(pack.parts)


async def test_a_pack_costs_the_same_however_much_history_there_is(tmp_path: Path) -> None:
    """The file that every task changed, the story that all belong to, a chain of dependencies: only the newest are
    read. Counted in steps of SQLite's machine, so no load of this machine changes it; and no statement reads a whole
    table or sorts what it found."""
    few, many = await _graph(tmp_path / "few", 100), await _graph(tmp_path / "many", 10_000)
    small, parts = await _hydrate(few)
    large, parts_of_many = await _hydrate(many)
    assert parts == parts_of_many >= 10
    assert small.steps > 1_000
    assert large.steps <= small.steps * 1.05
    for statement in set(large.statements):
        plan = [str(row[3]) for row in many._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any("SCAN" in line or "TEMP" in line for line in plan), (statement, plan)
    await few.close()
    await many.close()

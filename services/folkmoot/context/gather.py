"""Reads the rows of a request from the graph: a fixed number of look-ups by key or by newest edge, however much
history there is. What is read here is turned into words by `pieces` and `explain`, which do no I/O.
"""

from collections.abc import Iterable, Mapping, Sequence

from folkmoot.context.projection.fleet import EVERYWHERE
from folkmoot.context.projection.nodes import folders, place_id, repository
from folkmoot.context.request import Request
from folkmoot.context.rows import MAX_FILES, Evidence, Rows, StoryRows, TaskRows
from folkmoot.kernel.errors import NotFound
from folkmoot.runtime.graph.port import Edge, Graph, Node

MAX_CANDIDATES = 16
MAX_VERDICTS = 64
"""Of one test."""
MAX_REASONS = 10
"""Of its own story."""
MAX_HEARD = 3
"""Reasons of each other story."""
MAX_CARRIED = 3
"""Stories that a story goes on with, one after the other."""
MAX_DEPENDENCIES = 60
DEPENDENCY_DEPTH = 3
"""Merges stand between a task and the work that it builds on."""
RELATED_OF_PLACE = 6
MAX_RELATED = 12
RECORDED_OF_PLACE = 8
MAX_RECORDED = 24


async def gather(graph: Graph, request: Request) -> Rows:
    own = f"task:{request.task_id}"
    stories = await _stories(graph, f"story:{request.story_id}") if request.story_id else ()
    dependencies = await _tasks(graph, await _dependencies(graph, request))
    known = {own, *(rows.task.id for rows in dependencies)}
    related = await _tasks(graph, await _related(graph, request, without=known))
    subjects = [own, *(s.story.id for s in stories), *(rows.task.id for rows in dependencies)]
    return Rows(
        task=await graph.node(own),
        stories=stories,
        dependencies=dependencies,
        related=related,
        recorded=await _recorded(graph, request, subjects),
        heard=await _heard(graph, related, without={s.story.id for s in stories}),
    )


def _ends(edges: Iterable[Edge]) -> list[str]:
    return [edge.to_id for edge in edges]


def _starts(edges: Iterable[Edge]) -> list[str]:
    return [edge.from_id for edge in edges]


async def _in_order(graph: Graph, ids: Sequence[str]) -> tuple[Node, ...]:
    """Those that there are, each once, as `ids` has them."""
    found = {node.id: node for node in await graph.nodes(ids)}
    return tuple(found[i] for i in dict.fromkeys(ids) if i in found)


# --- stories -------------------------------------------------------------------------------------------------------


async def _stories(graph: Graph, story: str) -> tuple[StoryRows, ...]:
    """The story, and those that it goes on with, one behind the other."""
    found: list[StoryRows] = []
    waiting = [story]
    while waiting and len(found) <= MAX_CARRIED:
        node = await graph.node(waiting[0])
        if node is None or node.id in {rows.story.id for rows in found}:
            break
        plan = await graph.node(node.properties.get("plan", ""))
        found.append(StoryRows(story=node, plan=plan, reasons=await _reasons(graph, node.id)))
        waiting = _ends(await graph.edges([node.id], "GOES_ON_WITH", limit=1))
    return tuple(found)


async def _reasons(graph: Graph, story: str) -> tuple[Node, ...]:
    return await _in_order(graph, _ends(await graph.edges([story], "TOLD", limit=MAX_REASONS)))


async def _heard(graph: Graph, related: Sequence[TaskRows], *, without: set[str]) -> tuple[tuple[Node, Node], ...]:
    named = [f"story:{rows.task.properties.get('story')}" for rows in related if rows.task.properties.get("story")]
    stories = await _in_order(graph, [name for name in named if name not in without])
    told = await _grouped(graph, [story.id for story in stories], "TOLD", limit=MAX_HEARD)
    reasons = {node.id: node for node in await graph.nodes([r for group in told.values() for r in group])}
    return tuple((story, reasons[r]) for story in stories for r in told.get(story.id, ()) if r in reasons)


# --- tasks ---------------------------------------------------------------------------------------------------------


async def _dependencies(graph: Graph, request: Request) -> list[str]:
    """What it builds on, and what that builds on; the nearest first."""
    found = dict.fromkeys(f"task:{t}" for t in request.depends_on)
    rim = list(found)
    for _ in range(DEPENDENCY_DEPTH):
        ends = _ends(await graph.edges(rim, "BUILDS_ON", limit=MAX_DEPENDENCIES))
        rim = [end for end in dict.fromkeys(ends) if end not in found]
        found |= dict.fromkeys(rim)
    return list(found)[:MAX_DEPENDENCIES]


async def _related(graph: Graph, request: Request, *, without: set[str]) -> list[str]:
    places = [place_id(request.repository, path) for path in _places(request)]
    edges = await graph.edges(places, "TOUCHED", incoming=True, limit=RELATED_OF_PLACE)
    newest = sorted(edges, key=lambda e: (-e.rank, e.from_id))
    return [task for task in dict.fromkeys(_starts(newest)) if task not in without][:MAX_RELATED]


def _places(request: Request) -> list[str]:
    """Its paths, as a file and as a folder: whoever writes a plan may leave the `/` out."""
    return list(dict.fromkeys(p for path in request.paths for p in (path, f"{path.rstrip('/')}/")))


async def _tasks(graph: Graph, ids: Sequence[str]) -> tuple[TaskRows, ...]:
    """Those that there are, in the order of `ids`; all of them in a handful of look-ups."""
    tasks = await _in_order(graph, ids)
    decisions = [_decision(task) for task in tasks]
    ranked = await _grouped(graph, decisions, "RANKS", limit=MAX_CANDIDATES)
    chosen = await _grouped(graph, decisions, "CHOOSES", limit=1)
    winners = [winner for ends in chosen.values() for winner in ends]
    changed = await _grouped(graph, winners, "CHANGES", limit=MAX_FILES + 1)
    ends = [end for group in (ranked, chosen, changed) for ends in group.values() for end in ends]
    known = {node.id: node for node in await graph.nodes([*decisions, *ends])}
    return tuple(_rows(task, known, ranked, chosen, changed) for task in tasks)


Groups = Mapping[str, Sequence[str]]
"""Ids at the ends of edges, by the node at which they begin."""


async def _grouped(graph: Graph, ids: Sequence[str], kind: str, *, limit: int) -> Groups:
    groups: dict[str, list[str]] = {}
    for edge in await graph.edges(ids, kind, limit=limit):
        groups.setdefault(edge.from_id, []).append(edge.to_id)
    return groups


def _decision(task: Node) -> str:
    return f"decision:{task.id.removeprefix('task:')}"


def _rows(task: Node, known: Mapping[str, Node], ranked: Groups, chosen: Groups, changed: Groups) -> TaskRows:
    decision = _decision(task)
    winner = next(iter(chosen.get(decision, ())), "")
    candidates = [known[i] for i in ranked.get(decision, ()) if i in known]
    return TaskRows(
        task=task,
        decision=known.get(decision),
        chosen=known.get(winner),
        candidates=tuple(sorted(candidates, key=lambda n: (int(n.properties.get("rank", "0")), n.id))),
        files=tuple(sorted(known[i].properties.get("path", "") for i in changed.get(winner, ()) if i in known)),
    )


# --- decisions of people -------------------------------------------------------------------------------------------


async def _recorded(graph: Graph, request: Request, subjects: Sequence[str]) -> tuple[Node, ...]:
    """On its story and tasks, on its files, on the folders around them, on the repository, everywhere."""
    exact = [place_id(key, path) for path in _places(request) for key in _keys(request)]
    around = [place_id(key, f) for path in request.paths for f in reversed(folders(path)) for key in _keys(request)]
    whole = [repository(key).id for key in _keys(request)]
    found = _starts(await _newest(graph, [*subjects, *exact, *around, *whole], "ABOUT"))
    found += _starts(await _newest(graph, exact if request.paths else whole, "WITHIN"))
    return await _in_order(graph, list(dict.fromkeys(found))[:MAX_RECORDED])


def _keys(request: Request) -> tuple[str, ...]:
    return (request.repository, EVERYWHERE) if request.repository else (EVERYWHERE,)


async def _newest(graph: Graph, places: Sequence[str], kind: str) -> tuple[Edge, ...]:
    return await graph.edges(list(dict.fromkeys(places)), kind, incoming=True, limit=RECORDED_OF_PLACE)


# --- explanations --------------------------------------------------------------------------------------------------


async def evidence(graph: Graph, task_id: str) -> Evidence:
    """How a task was decided. Raises NotFound."""
    task = await graph.node(f"task:{task_id}")
    if task is None:
        raise NotFound(f"there is no task {task_id}")
    agents = await _beside(graph, [task.id], "SEATS")
    tests = await _beside(graph, [task.id], "TESTED_BY")
    verdicts = await graph.edges([test.id for test in tests], "OF", incoming=True, limit=MAX_VERDICTS)
    return Evidence(
        task=(await _tasks(graph, [task.id]))[0],
        agents=agents,
        proposals=await _beside(graph, [agent.id for agent in agents], "PROPOSED"),
        tests=tests,
        verdicts=await graph.nodes(_starts(verdicts)),
        test_of={edge.from_id: edge.to_id for edge in verdicts},
        recorded=await _in_order(graph, _starts(await _newest(graph, [task.id], "ABOUT"))),
    )


async def _beside(graph: Graph, ids: Sequence[str], kind: str) -> tuple[Node, ...]:
    return await graph.nodes(_ends(await graph.edges(ids, kind, limit=MAX_CANDIDATES)))

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from folkmoot.kernel.errors import Misconfigured, NotFound
from folkmoot.runtime.graph.memory import MemoryGraph
from folkmoot.runtime.graph.port import Change, Counts, Edge, Graph, Node, Part
from folkmoot.runtime.graph.sqlite import open_sqlite


@pytest.fixture(params=["memory", "sqlite"])
async def graph(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Graph]:
    store: Graph = MemoryGraph() if request.param == "memory" else await open_sqlite(tmp_path / "a" / "graph.sqlite3")
    yield store
    await store.close()


def node(id_: str, **properties: str) -> Node:
    return Node(id=id_, kind="Thing", properties=properties)


def chain(*ids: str) -> Change:
    edges = tuple(Edge(from_id=a, kind="NEXT", to_id=b) for a, b in pairwise(ids))
    return Change(nodes=tuple(map(node, ids)), edges=edges)


async def test_nodes_and_edges_come_back_sorted(graph: Graph) -> None:
    """A dump is a canonical form."""
    await graph.apply("s", after=0, seq=3, change=chain("b", "a", "c"))
    dump = await graph.dump()
    assert [n.id for n in dump.nodes] == ["a", "b", "c"]
    assert [(e.from_id, e.to_id) for e in dump.edges] == [("a", "c"), ("b", "a")]
    assert await graph.counts() == Counts(nodes=3, edges=2)


async def test_writing_again_adds_properties_and_no_second_edge(graph: Graph) -> None:
    """Events add to what is known; the later value of a name stands."""
    await graph.apply("s", after=0, seq=1, change=chain("a", "b"))
    again = Change(nodes=(node("a", x="1", y="é\x00\n"),), edges=chain("a", "b").edges)
    await graph.apply("s", after=1, seq=2, change=again)
    await graph.apply("t", after=0, seq=1, change=Change(nodes=(node("a", x="2"),)))
    assert await graph.node("a") == node("a", x="2", y="é\x00\n")
    assert (await graph.counts()).edges == 1
    assert await graph.node("z") is None


async def test_an_event_has_its_effect_once(graph: Graph) -> None:
    """Graph and position change together; who is behind is told, and writes nothing."""
    assert await graph.apply("s", after=0, seq=7, change=chain("a"))
    assert not await graph.apply("s", after=0, seq=7, change=chain("b"))
    assert not await graph.apply("s", after=6, seq=8, change=chain("c"))
    assert await graph.position("s") == 7
    assert await graph.position("other") == 0
    assert await graph.counts() == Counts(nodes=1, edges=0)


async def test_of_many_that_race_one_applies(graph: Graph) -> None:
    """Two projectors on one store do not apply an event twice."""
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(graph.apply("s", after=0, seq=1, change=chain("a"))) for _ in range(8)]
    assert [t.result() for t in tries].count(True) == 1


async def test_a_neighbourhood_goes_both_ways_and_no_farther(graph: Graph) -> None:
    """Depth counts edges, whatever their direction."""
    await graph.apply("s", after=0, seq=1, change=chain("a", "b", "c", "d", "e"))
    near = await graph.neighbourhood("c", depth=1, limit=100)
    assert [n.id for n in near.nodes] == ["b", "c", "d"]
    assert len(near.edges) == 2
    assert len((await graph.neighbourhood("c", depth=4, limit=100)).nodes) == 5


async def test_a_neighbourhood_keeps_the_nearest_and_says_that_there_is_more(graph: Graph) -> None:
    """A hub cannot flood its reader."""
    for n in range(600):
        await graph.apply("s", after=n, seq=n + 1, change=chain("hub", f"leaf-{n:03}", f"far-{n:03}"))
    near = await graph.neighbourhood("hub", depth=3, limit=501)
    assert near.truncated
    assert len(near.nodes) == 501
    assert all(n.id == "hub" or n.id.startswith("leaf") for n in near.nodes)
    assert not (await graph.neighbourhood("hub", depth=1, limit=601)).truncated


async def test_an_unknown_node_is_not_found(graph: Graph) -> None:
    """An empty answer would look like a lonely node."""
    with pytest.raises(NotFound, match="task:x"):
        await graph.neighbourhood("task:x", depth=1, limit=10)


def ranked(kind: str, **ranks: int) -> Change:
    """Edges from `hub`, each to the node and with the rank of its name."""
    edges = tuple(Edge(from_id="hub", kind=kind, to_id=to, rank=rank) for to, rank in ranks.items())
    return Change(nodes=tuple(map(node, ("hub", *ranks))), edges=edges)


async def test_edges_come_newest_first_and_no_more_than_asked(graph: Graph) -> None:
    """Of one kind and one direction, for each node; equal ranks by their ends, so that the order is always the same."""
    await graph.apply("s", after=0, seq=1, change=ranked("SAW", a=1, d=3, c=3, b=2))
    await graph.apply("s", after=1, seq=2, change=ranked("HEARD", e=9))
    assert [e.to_id for e in await graph.edges(["hub"], "SAW", limit=3)] == ["c", "d", "b"]
    both = await graph.edges(["d", "hub", "a", "nobody"], "SAW", incoming=True, limit=9)
    assert [(e.from_id, e.to_id, e.rank) for e in both] == [("hub", "d", 3), ("hub", "a", 1)]
    assert [n.id for n in await graph.nodes(["d", "nobody", "a", "d"])] == ["a", "d"]


async def test_the_larger_rank_stands(graph: Graph) -> None:
    """Whatever the order of writes: two streams may write one edge."""
    await graph.apply("s", after=0, seq=1, change=ranked("SAW", a=5, b=1))
    await graph.apply("t", after=0, seq=1, change=ranked("SAW", a=2, b=7))
    assert [(e.to_id, e.rank) for e in await graph.edges(["hub"], "SAW", limit=9)] == [("b", 7), ("a", 5)]


async def test_what_an_event_replaces_is_cut(graph: Graph) -> None:
    """Before the event's own edges are written; other kinds and other nodes keep theirs."""
    await graph.apply("s", after=0, seq=1, change=ranked("SAW", a=1, b=1))
    await graph.apply("s", after=1, seq=2, change=ranked("HEARD", a=1))
    again = msgspec.structs.replace(ranked("SAW", c=2), cut=(("hub", "SAW"),))
    await graph.apply("s", after=2, seq=3, change=again)
    assert [(e.kind, e.to_id) for e in (await graph.dump()).edges] == [("HEARD", "a"), ("SAW", "c")]


def made(*edges: tuple[str, str]) -> Change:
    kinds = {"f": "File", "c": "Commit"}
    ids = sorted({end for edge in edges for end in edge})
    nodes = tuple(Node(id=i, kind=kinds.get(i[0], "Thing")) for i in ids)
    return Change(nodes=nodes, edges=tuple(Edge(from_id=a, kind="HAS", to_id=b) for a, b in edges))


async def test_what_is_forgotten_leaves_no_trace(graph: Graph) -> None:
    """Nodes, what is named after them, their edges, what hung on them alone: as if never written."""
    others = made(("task:2", "part:2/x"), ("part:2/x", "file:b"), ("task:10", "part:10/x"), ("task:2", "told"))
    await graph.apply("s", after=0, seq=1, change=others)
    await graph.apply("s", after=1, seq=2, change=Change(nodes=(node("told", x="1"),)))
    before = await graph.dump()
    mine = made(("task:1", "part:1/x"), ("part:1/x", "file:a"), ("part:1/x", "file:b"), ("task:1", "commit:c"))
    await graph.apply("s", after=2, seq=3, change=mine)
    await graph.apply("s", after=3, seq=4, change=Change(forget=("task:1", "part:1/", "part:7/", "nobody")))
    assert await graph.dump() == before
    assert await graph.position("s") == 4
    last = Change(nodes=(node("new"),), forget=("task:2", "part:2/", "task:10", "part:10/"))
    await graph.apply("s", after=4, seq=5, change=last)
    assert [n.id for n in (await graph.dump()).nodes] == ["new", "told"], "what says something itself stays"


async def test_what_others_say_of_a_cleared_node_stays(graph: Graph) -> None:
    """It keeps its place while something points to it, and goes with the last edge."""
    await graph.apply("s", after=0, seq=1, change=Change(nodes=(node("other", x="1"), node("old", x="1"))))
    await graph.apply("s", after=1, seq=2, change=made(("other", "old"), ("old", "file:a"), ("old", "other")))
    await graph.apply("s", after=2, seq=3, change=Change(clear=("old", "nobody")))
    dump = await graph.dump()
    assert dump.nodes == (node("old"), node("other", x="1"))
    assert [(e.from_id, e.to_id) for e in dump.edges] == [("other", "old")]
    await graph.apply("s", after=3, seq=4, change=Change(clear=("other",)))
    assert await graph.dump() == Part(nodes=(), edges=())


async def test_dropping_forgets_everything(graph: Graph) -> None:
    """Positions too: the log is replayed from its start."""
    await graph.apply("s", after=0, seq=1, change=chain("a", "b"))
    await graph.drop()
    assert await graph.counts() == Counts(nodes=0, edges=0)
    assert await graph.position("s") == 0


async def test_a_file_keeps_graph_and_positions(tmp_path: Path) -> None:
    """A restart goes on where it was."""
    first = await open_sqlite(tmp_path / "graph")
    await first.apply("s", after=0, seq=1, change=chain("a", "b"))
    dump = await first.dump()
    await first.close()
    second = await open_sqlite(tmp_path / "graph")
    assert (await second.dump(), await second.position("s")) == (dump, 1)
    await second.close()


async def test_a_file_of_another_version_is_emptied(tmp_path: Path) -> None:
    """The log fills it again: nothing has to be brought over."""
    first = await open_sqlite(tmp_path / "graph")
    await first.apply("s", after=0, seq=1, change=chain("a", "b"))
    await first.close()
    with closing(sqlite3.connect(tmp_path / "graph")) as old:
        old.executescript("DROP TABLE edges; CREATE TABLE edges (x); PRAGMA user_version = 1;")
    second = await open_sqlite(tmp_path / "graph")
    assert (await second.counts(), await second.position("s")) == (Counts(nodes=0, edges=0), 0)
    assert await second.apply("s", after=0, seq=1, change=chain("a", "b"))
    await second.close()


async def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    """The message says what to do about it."""
    (tmp_path / "graph").write_bytes(b"no database at all, and longer than a header" * 100)
    with pytest.raises(Misconfigured, match="may be deleted"):
        await open_sqlite(tmp_path / "graph")

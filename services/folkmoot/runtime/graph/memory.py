"""A graph in memory: the fake, with the real one's manners."""

from collections.abc import Iterable, Sequence

import msgspec

from folkmoot.kernel.errors import NotFound
from folkmoot.runtime.graph.port import Change, Counts, Edge, Node, Part, idle, nearest


class MemoryGraph:
    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._ranks: dict[tuple[str, str, str], int] = {}
        """Of edges, by from, kind, to."""
        self._positions: dict[str, int] = {}

    async def apply(self, stream: str, *, after: int, seq: int, change: Change) -> bool:
        if self._positions.get(stream, 0) != after:
            return False
        self._forget(change)
        self._ranks = {e: rank for e, rank in self._ranks.items() if e[:2] not in change.cut}
        for node in change.nodes:
            known = self._nodes.get(node.id)
            properties = (known.properties if known else {}) | node.properties
            self._nodes[node.id] = Node(id=node.id, kind=node.kind, properties=properties)
        for edge in change.edges:
            ends = (edge.from_id, edge.kind, edge.to_id)
            self._ranks[ends] = max(edge.rank, self._ranks.get(ends, edge.rank))
        self._positions[stream] = seq
        return True

    def _forget(self, change: Change) -> None:
        gone = {i for w in change.forget for i in self._nodes if i == w or (w.endswith("/") and i.startswith(w))}
        cleared = set(change.clear) & set(self._nodes)
        for i in cleared:
            self._nodes[i] = msgspec.structs.replace(self._nodes[i], properties={})
        dead = {e for e in self._ranks if e[0] in cleared | gone or e[2] in gone}
        self._ranks = {e: rank for e, rank in self._ranks.items() if e not in dead}
        linked = {end for e in self._ranks for end in (e[0], e[2])}
        beside = cleared | {end for e in dead for end in (e[0], e[2])}
        gone |= {i for i in beside - linked if i in self._nodes and idle(self._nodes[i])}
        self._nodes = {i: node for i, node in self._nodes.items() if i not in gone}

    def _edges(self) -> list[Edge]:
        return [Edge(from_id=f, kind=k, to_id=t, rank=rank) for (f, k, t), rank in sorted(self._ranks.items())]

    async def position(self, stream: str) -> int:
        return self._positions.get(stream, 0)

    async def node(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    async def nodes(self, ids: Sequence[str]) -> tuple[Node, ...]:
        return tuple(self._nodes[i] for i in sorted(set(ids)) if i in self._nodes)

    async def edges(self, ids: Sequence[str], kind: str, *, incoming: bool = False, limit: int) -> tuple[Edge, ...]:
        mine, other = ("to_id", "from_id") if incoming else ("from_id", "to_id")
        newest = sorted(self._edges(), key=lambda e: (-e.rank, getattr(e, other)))
        of_each = ([e for e in newest if e.kind == kind and getattr(e, mine) == i] for i in ids)
        return tuple(edge for edges in of_each for edge in edges[:limit])

    async def neighbourhood(self, node_id: str, *, depth: int, limit: int) -> Part:
        if node_id not in self._nodes:
            raise NotFound(f"there is no node {node_id}")
        ids, truncated = nearest(node_id, depth=depth, limit=limit, touching=self._touching)
        return Part(
            nodes=tuple(self._nodes[i] for i in sorted(ids)),
            edges=tuple(e for e in self._edges() if {e.from_id, e.to_id} <= ids),
            truncated=truncated,
        )

    def _touching(self, ids: Iterable[str]) -> list[Edge]:
        wanted = set(ids)
        return [e for e in self._edges() if e.from_id in wanted or e.to_id in wanted]

    async def drop(self) -> None:
        self._nodes, self._ranks, self._positions = {}, {}, {}

    async def counts(self) -> Counts:
        return Counts(nodes=len(self._nodes), edges=len(self._ranks))

    async def dump(self) -> Part:
        return Part(nodes=tuple(self._nodes[i] for i in sorted(self._nodes)), edges=tuple(self._edges()))

    async def close(self) -> None:
        """Nothing to close."""

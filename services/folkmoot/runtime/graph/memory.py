"""A graph in memory: the fake, with the real one's manners."""

from collections.abc import Iterable

from folkmoot.kernel.errors import NotFound
from folkmoot.runtime.graph.port import Change, Counts, Edge, Node, Part, nearest


class MemoryGraph:
    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: set[Edge] = set()
        self._positions: dict[str, int] = {}

    async def apply(self, stream: str, *, after: int, seq: int, change: Change) -> bool:
        if self._positions.get(stream, 0) != after:
            return False
        for node in change.nodes:
            known = self._nodes.get(node.id)
            properties = (known.properties if known else {}) | node.properties
            self._nodes[node.id] = Node(id=node.id, kind=node.kind, properties=properties)
        self._edges |= set(change.edges)
        self._positions[stream] = seq
        return True

    async def position(self, stream: str) -> int:
        return self._positions.get(stream, 0)

    async def node(self, node_id: str) -> Node | None:
        return self._nodes.get(node_id)

    async def neighbourhood(self, node_id: str, *, depth: int, limit: int) -> Part:
        if node_id not in self._nodes:
            raise NotFound(f"there is no node {node_id}")
        ids, truncated = nearest(node_id, depth=depth, limit=limit, touching=self._touching)
        return Part(
            nodes=tuple(self._nodes[i] for i in sorted(ids)),
            edges=tuple(sorted(e for e in self._edges if {e.from_id, e.to_id} <= ids)),
            truncated=truncated,
        )

    def _touching(self, ids: Iterable[str]) -> list[Edge]:
        wanted = set(ids)
        return [e for e in self._edges if e.from_id in wanted or e.to_id in wanted]

    async def drop(self) -> None:
        self._nodes, self._edges, self._positions = {}, set(), {}

    async def counts(self) -> Counts:
        return Counts(nodes=len(self._nodes), edges=len(self._edges))

    async def dump(self) -> Part:
        return Part(nodes=tuple(self._nodes[i] for i in sorted(self._nodes)), edges=tuple(sorted(self._edges)))

    async def close(self) -> None:
        """Nothing to close."""

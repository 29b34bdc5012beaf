"""What the context service may do with a graph store.

`sqlite.py` is the embedded one, `memory.py` the fake; one contract suite for both. A store keeps, with the graph, how
far each stream has been projected: the two change in one transaction, so an event has its effect exactly once.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A thing. Writing it again adds to its properties; equal names are replaced."""

    id: str
    """`<kind>:<id>`, for instance `task:t-0123`."""
    kind: str
    properties: dict[str, str] = {}


class Edge(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Connects two nodes; writing it again changes at most its rank."""

    from_id: str
    kind: str
    """In upper case, as `PROPOSED`."""
    to_id: str
    rank: int = 0
    """Larger is newer; of two writes the larger stands, whatever their order."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one event does to the graph: first forget and clear, then cut, then write.

    Every end of an edge is among its nodes, or already there.
    """

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    cut: tuple[tuple[str, str], ...] = ()
    """(from_id, kind): these edges go, for what an event replaces."""
    forget: tuple[str, ...] = ()
    """Ids of nodes, or with a `/` at the end of all whose id begins so: they go with all their edges."""
    clear: tuple[str, ...] = ()
    """Ids of nodes that lose their properties and the edges that begin at them: what others say of them stays."""


HANGING = frozenset({"File", "Folder", "Commit"})
"""Kinds of nodes that are there only for what points to them."""


def idle(node: Node) -> bool:
    """Whether a node that a change took its last edge from goes too: as if nothing had ever named it."""
    return node.kind in HANGING or not node.properties


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the graph, or all of it: nodes sorted by id, edges by from, kind, to."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool = False
    """There was more."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    nodes: int
    edges: int


class Graph(Protocol):
    """Raises Unavailable when the store cannot be reached: repeat."""

    async def apply(self, stream: str, *, after: int, seq: int, change: Change) -> bool:
        """Write `change` and move `stream` from position `after` to `seq`, both or neither.

        False, and nothing is written, when the stream does not stand at `after`: somebody else moved or dropped it.
        """
        ...

    async def position(self, stream: str) -> int:
        """Sequence of the last event that was projected; 0 for none."""
        ...

    async def node(self, node_id: str) -> Node | None: ...

    async def nodes(self, ids: Sequence[str]) -> tuple[Node, ...]:
        """Those that there are, sorted by id."""
        ...

    async def edges(self, ids: Sequence[str], kind: str, *, incoming: bool = False, limit: int) -> tuple[Edge, ...]:
        """Edges of `kind` that begin (`incoming`: end) at each of `ids`, in the order of `ids`; of each node at most
        `limit`, newest first, equal ones by their other end. Costs nothing for the edges that are left out."""
        ...

    async def neighbourhood(self, node_id: str, *, depth: int, limit: int) -> Part:
        """The node and what is at most `depth` edges away, in either direction; at most `limit` nodes, the nearest.

        Raises NotFound.
        """
        ...

    async def drop(self) -> None:
        """Forget everything, positions too."""
        ...

    async def counts(self) -> Counts: ...

    async def dump(self) -> Part:
        """All of it: equal dumps are equal graphs."""
        ...

    async def close(self) -> None: ...


Touching = Callable[[Iterable[str]], Iterable[Edge]]
"""All edges that begin or end at one of the given nodes."""


def nearest(start: str, *, depth: int, limit: int, touching: Touching) -> tuple[set[str], bool]:
    """Ids at most `depth` edges away from `start`, and whether `limit` left some out: the walk that stores share."""
    found, rim = {start}, {start}
    for _ in range(depth):
        ends = {end for edge in touching(sorted(rim)) for end in (edge.from_id, edge.to_id)}
        fresh = sorted(ends - found)
        room = limit - len(found)
        rim = set(fresh[:room])
        found |= rim
        if len(fresh) > room:
            return found, True
    return found, False

"""What the context service may do with a graph store.

`sqlite.py` is the embedded one, `memory.py` the fake; one contract suite for both. A store keeps, with the graph, how
far each stream has been projected: the two change in one transaction, so an event has its effect exactly once.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A thing. Writing it again adds to its properties; equal names are replaced."""

    id: str
    """`<kind>:<id>`, for instance `task:t-0123`."""
    kind: str
    properties: dict[str, str] = {}


class Edge(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Connects two nodes; writing it again changes nothing."""

    from_id: str
    kind: str
    """In upper case, as `PROPOSED`."""
    to_id: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one event does to the graph. Every end of an edge is among its nodes, or already there."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()


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

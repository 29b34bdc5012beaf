"""A graph in one SQLite file: the embedded default.

All statements run in one thread of the store's own, so that the event loop never waits for the disk and transactions
never interleave. `synchronous=NORMAL` may lose the last transactions at a power failure, but never half of one: the
positions go back with them, and the log brings them again.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from folkmoot.kernel.errors import Misconfigured, NotFound, Unavailable
from folkmoot.runtime.graph.port import Change, Counts, Edge, Node, Part, idle, nearest

T = TypeVar("T")

SCHEMA_VERSION = 3
"""A file of another version is emptied: the log fills it again."""
_TABLES = ("nodes", "edges", "positions")
_EDGE = "from_id TEXT NOT NULL, kind TEXT NOT NULL, to_id TEXT NOT NULL, rank INTEGER NOT NULL"
_SCHEMA = (
    "CREATE TABLE nodes (id TEXT PRIMARY KEY, kind TEXT NOT NULL, properties TEXT NOT NULL) WITHOUT ROWID",
    f"CREATE TABLE edges ({_EDGE}, PRIMARY KEY (from_id, kind, to_id)) WITHOUT ROWID",
    "CREATE INDEX newest_from ON edges (from_id, kind, rank DESC, to_id)",
    "CREATE INDEX newest_to ON edges (to_id, kind, rank DESC, from_id)",
    "CREATE TABLE positions (stream TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_WRITE_EDGE = (
    "INSERT INTO edges VALUES (?, ?, ?, ?)"
    " ON CONFLICT (from_id, kind, to_id) DO UPDATE SET rank = max(rank, excluded.rank)"
)
_NEWEST = "SELECT from_id, kind, to_id, rank FROM edges WHERE {0} = ? AND kind = ? ORDER BY rank DESC, {1} LIMIT ?"
_MANY = 400
"""Parameters of one statement; every build of SQLite allows 999."""
_BUSY_S = 10.0
"""Another process may hold the file while it writes."""

_decode_properties = msgspec.json.Decoder(dict[str, str]).decode


async def open_sqlite(path: Path) -> "SqliteGraph":
    """Creates file and folder when they are not there. Raises Misconfigured when `path` is no such file."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="graph")
    try:
        connection = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
    except (sqlite3.Error, OSError) as error:
        thread.shutdown()
        raise Misconfigured(f"{path} cannot be used as a graph: {error}; it may be deleted, it is rebuilt") from error
    return SqliteGraph(connection, thread)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            for statement in (*(f"DROP TABLE IF EXISTS {t}" for t in _TABLES), *_SCHEMA):
                connection.execute(statement)
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


class SqliteGraph:
    """Made by `open_sqlite`; closed by its owner."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = connection
        self._thread = thread

    async def apply(self, stream: str, *, after: int, seq: int, change: Change) -> bool:
        return await self._run(lambda: self._apply(stream, after, seq, change))

    async def position(self, stream: str) -> int:
        return await self._run(lambda: self._position(stream))

    async def node(self, node_id: str) -> Node | None:
        return next(iter(await self._run(lambda: self._nodes([node_id]))), None)

    async def nodes(self, ids: Sequence[str]) -> tuple[Node, ...]:
        return tuple(await self._run(lambda: self._nodes(sorted(set(ids)))))

    async def edges(self, ids: Sequence[str], kind: str, *, incoming: bool = False, limit: int) -> tuple[Edge, ...]:
        return await self._run(lambda: self._newest(ids, kind, incoming, limit))

    async def neighbourhood(self, node_id: str, *, depth: int, limit: int) -> Part:
        return await self._run(lambda: self._neighbourhood(node_id, depth, limit))

    async def drop(self) -> None:
        await self._run(self._drop)

    async def counts(self) -> Counts:
        return await self._run(self._counts)

    async def dump(self) -> Part:
        return await self._run(self._dump)

    async def close(self) -> None:
        await self._run(self._db.close)
        self._thread.shutdown()

    async def _run(self, statements: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, statements)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the graph's file: {error}") from error

    # --- in the store's thread ---------------------------------------------------------------------------------

    def _apply(self, stream: str, after: int, seq: int, change: Change) -> bool:
        with _transaction(self._db):
            if self._position(stream) != after:
                return False
            self._forget(change)
            self._db.executemany("DELETE FROM edges WHERE from_id = ? AND kind = ?", change.cut)
            for node in change.nodes:
                self._upsert(node)
            self._db.executemany(_WRITE_EDGE, [(e.from_id, e.kind, e.to_id, e.rank) for e in change.edges])
            self._db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (stream, seq))
        return True

    def _upsert(self, node: Node) -> None:
        known = next(iter(self._nodes([node.id])), None)
        properties = (known.properties if known else {}) | node.properties
        text = msgspec.json.encode(properties, order="sorted").decode()
        self._db.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (node.id, node.kind, text))

    def _forget(self, change: Change) -> None:
        gone = {i for w in change.forget for i in self._named(w)}
        begun = [e for e in self._touching(change.clear) if e.from_id in change.clear]
        dead = [*begun, *self._touching(sorted(gone))]
        self._db.executemany("UPDATE nodes SET properties = '{}' WHERE id = ?", [(i,) for i in change.clear])
        self._db.executemany(
            "DELETE FROM edges WHERE from_id = ? AND kind = ? AND to_id = ?",
            [(e.from_id, e.kind, e.to_id) for e in dead],
        )
        beside = sorted({*change.clear, *(end for e in dead for end in (e.from_id, e.to_id))} - gone)
        linked = {end for e in self._touching(beside) for end in (e.from_id, e.to_id)}
        lonely = [node.id for node in self._nodes(beside) if node.id not in linked and idle(node)]
        self._db.executemany("DELETE FROM nodes WHERE id = ?", [(i,) for i in (*gone, *lonely)])

    def _named(self, wanted: str) -> list[str]:
        """`0` is what comes behind `/`: a range of the key, where LIKE would read the whole table."""
        if not wanted.endswith("/"):
            return [wanted]
        rows = self._db.execute("SELECT id FROM nodes WHERE id >= ? AND id < ?", (wanted, wanted[:-1] + "0"))
        return [row[0] for row in rows]

    def _position(self, stream: str) -> int:
        row = self._db.execute("SELECT seq FROM positions WHERE stream = ?", (stream,)).fetchone()
        return int(row[0]) if row else 0

    def _drop(self) -> None:
        with _transaction(self._db):
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 -- names of our own

    def _counts(self) -> Counts:
        nodes, edges = (self._db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("nodes", "edges"))  # noqa: S608
        return Counts(nodes=nodes, edges=edges)

    def _dump(self) -> Part:
        nodes = self._db.execute("SELECT id, kind, properties FROM nodes ORDER BY id")
        edges = self._db.execute("SELECT from_id, kind, to_id, rank FROM edges")
        return Part(nodes=tuple(map(_node, nodes)), edges=tuple(sorted(map(_edge, edges))))

    def _neighbourhood(self, node_id: str, depth: int, limit: int) -> Part:
        if not self._nodes([node_id]):
            raise NotFound(f"there is no node {node_id}")
        ids, truncated = nearest(node_id, depth=depth, limit=limit, touching=self._touching)
        edges = {e for e in self._touching(sorted(ids)) if e.from_id in ids and e.to_id in ids}
        return Part(nodes=tuple(self._nodes(sorted(ids))), edges=tuple(sorted(edges)), truncated=truncated)

    def _nodes(self, ids: Sequence[str]) -> list[Node]:
        sql = "SELECT id, kind, properties FROM nodes WHERE id IN ({})"
        return sorted(map(_node, self._where(sql, ids)))

    def _newest(self, ids: Sequence[str], kind: str, incoming: bool, limit: int) -> tuple[Edge, ...]:
        sql = _NEWEST.format(*(("to_id", "from_id") if incoming else ("from_id", "to_id")))
        return tuple(_edge(row) for i in ids for row in self._db.execute(sql, (i, kind, limit)))

    def _touching(self, ids: Iterable[str]) -> list[Edge]:
        wanted = list(ids)
        sql = "SELECT from_id, kind, to_id, rank FROM edges WHERE {} IN ({{}})"
        return [_edge(row) for end in ("from_id", "to_id") for row in self._where(sql.format(end), wanted)]

    def _where(self, sql: str, values: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), _MANY):
            some = values[start : start + _MANY]
            yield from self._db.execute(sql.format(",".join("?" * len(some))), some)


def _node(row: tuple[str, str, str]) -> Node:
    return Node(id=row[0], kind=row[1], properties=_decode_properties(row[2]))


def _edge(row: tuple[str, str, str, int]) -> Edge:
    return Edge(from_id=row[0], kind=row[1], to_id=row[2], rank=row[3])

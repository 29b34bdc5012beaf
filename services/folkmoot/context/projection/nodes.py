"""Nodes and edges by name: ids, what they may hold, and how changes are put together."""

from collections.abc import Iterable
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from folkmoot.kernel import ids
from folkmoot.runtime.graph.port import Change, Edge, Node
from folkmoot.runtime.redact import redacted

MAX_PROPERTY_CHARS = 1_000
"""The graph points, the log tells: whoever needs the whole text reads it there."""
LONG = {"text": 32_000, "summary": 4_000, "reasons": 4_000, "checks": 4_000, "tasks": 4_000, "reason": 4_000}
"""Characters of the properties that packs are made of."""

NOTHING = Change()


def node(id_: str, kind: str, /, **properties: str) -> Node:
    """Secrets in properties are replaced, before they are cut."""
    kept = {name: redacted(value)[: LONG.get(name, MAX_PROPERTY_CHARS)] for name, value in properties.items()}
    return Node(id=id_, kind=kind, properties=kept)


def linked(start: Node, kind: str, *ends: Node) -> Change:
    return Change(nodes=(start, *ends), edges=tuple(Edge(from_id=start.id, kind=kind, to_id=e.id) for e in ends))


def both(*changes: Change) -> Change:
    return Change(
        nodes=tuple(n for change in changes for n in change.nodes),
        edges=tuple(e for change in changes for e in change.edges),
        cut=tuple(c for change in changes for c in change.cut),
        forget=tuple(f for change in changes for f in change.forget),
        clear=tuple(c for change in changes for c in change.clear),
    )


def lines(values: Iterable[object]) -> str:
    return "\n".join(map(str, values))


def story(story_id: str, **properties: str) -> Node:
    return node(f"story:{story_id}", "Story", **properties)


def task(task_id: str, **properties: str) -> Node:
    return node(f"task:{task_id}", "Task", **properties)


def agent(task_id: str, name: str, **properties: str) -> Node:
    """An agent is one seat of one task: the same name elsewhere is another run."""
    return node(f"agent:{task_id}/{name}", "Agent", name=name, **properties)


def proposal(task_id: str, name: str, **properties: str) -> Node:
    return node(f"proposal:{task_id}/{name}", "Proposal", **properties)


def commit(commit_id: str) -> Node:
    return node(f"commit:{commit_id}", "Commit")


# --- repositories and what is in them ----------------------------------------------------------------------------


def repository_key(repository: str) -> str:
    """One spelling for the addresses of a repository that plainly mean the same: a path, or a URL without `.git`."""
    if repository.startswith("file://"):
        repository = unquote(urlsplit(repository).path)
    if repository.startswith("/"):
        return normpath("/" + repository.lstrip("/"))
    return repository.rstrip("/").removesuffix(".git")


def repository(key: str) -> Node:
    return node(f"repository:{ids.derived('r', key)}", "Repository", repository=key)


def place_id(key: str, path: str) -> str:
    """Id of a file, or of a folder when `path` ends with `/`, in the repository of that key."""
    return f"{'folder' if path.endswith('/') else 'file'}:{ids.derived('f', key, path)}"


def place(key: str, path: str, **properties: str) -> Node:
    kind = "Folder" if path.endswith("/") else "File"
    return node(place_id(key, path), kind, path=path, repository=key, **properties)


def folders(path: str) -> tuple[str, ...]:
    """Those that hold `path`, the outermost first: `a/`, `a/b/` for `a/b/c.py` and for `a/b/c/`."""
    parts = path.rstrip("/").split("/")[:-1]
    return tuple("/".join(parts[: n + 1]) + "/" for n in range(len(parts)))

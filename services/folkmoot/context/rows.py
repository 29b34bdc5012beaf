"""What packs and explanations are made of: nodes of the graph, grouped. Values only."""

import msgspec

from folkmoot.runtime.graph.port import Node

MAX_FILES = 30
"""Of one result that are named."""


class TaskRows(msgspec.Struct, frozen=True, kw_only=True):
    """A task and how it ended."""

    task: Node
    decision: Node | None = None
    chosen: Node | None = None
    candidates: tuple[Node, ...] = ()
    """All that were ranked, by rank and id."""
    files: tuple[str, ...] = ()
    """Paths that the chosen one changes, sorted; one more than are shown says that there are more."""


class StoryRows(msgspec.Struct, frozen=True, kw_only=True):
    """A story, and what was said of it."""

    story: Node
    plan: Node | None = None
    """As it is now."""
    reasons: tuple[Node, ...] = ()
    """Newest first."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All that the graph has to say to one request, bounded whatever lies behind it."""

    task: Node | None = None
    """Its own, if it is there already."""
    stories: tuple[StoryRows, ...] = ()
    """Its own, then those that it goes on with."""
    dependencies: tuple[TaskRows, ...] = ()
    """In the order in which they are named, then what those build on."""
    related: tuple[TaskRows, ...] = ()
    """That touched the same files; newest first."""
    recorded: tuple[Node, ...] = ()
    """Decisions of people; the nearest first."""
    heard: tuple[tuple[Node, Node], ...] = ()
    """Stories of related tasks, with what was said of them."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a task's decision rests on; all but `recorded` sorted by id."""

    task: TaskRows
    agents: tuple[Node, ...]
    proposals: tuple[Node, ...]
    """Those that the border refused among them."""
    tests: tuple[Node, ...]
    verdicts: tuple[Node, ...]
    test_of: dict[str, str]
    """Id of the test by id of the verdict."""
    recorded: tuple[Node, ...]
    """What people decided about the task; newest first."""

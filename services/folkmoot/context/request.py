"""What a pack is asked for, checked field by field."""

from collections.abc import Iterable

import msgspec

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.context.projection.nodes import repository_key
from folkmoot.kernel import ids
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import Role

DEFAULT_TOKENS = 4_000
MAX_TOKENS = 200_000
MAX_PATHS = 200
MAX_PATH_CHARS = 1_000
MAX_DEPENDENCIES = 50
MAX_REPOSITORY_CHARS = 4_096


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Checked; equal requests on equal graphs get equal bytes."""

    task_id: TaskId
    story_id: StoryId = StoryId("")
    role: Role = Role.DEV
    budget: int = DEFAULT_TOKENS
    """Tokens, as `tokens.count` counts."""
    repository: str = ""
    """Its key; empty when it is not known."""
    paths: tuple[str, ...] = ()
    """Relative to the repository's root, sorted, each once; folders end with `/`."""
    depends_on: tuple[TaskId, ...] = ()


def from_wire(wire: pb.HydrateContextRequest) -> Request:
    """Raises InvalidInput naming the field."""
    if wire.budget_tokens > MAX_TOKENS:
        raise InvalidInput("budget_tokens", f"{wire.budget_tokens}; at most {MAX_TOKENS}")
    if len(wire.depends_on) > MAX_DEPENDENCIES:
        raise InvalidInput("depends_on", f"{len(wire.depends_on)} tasks; at most {MAX_DEPENDENCIES}")
    return Request(
        task_id=TaskId(ids.token(wire.task_id, "task_id")),
        story_id=StoryId(ids.token(wire.story_id, "story_id") if wire.story_id else ""),
        role=_role(wire.role),
        budget=wire.budget_tokens or DEFAULT_TOKENS,
        repository=repository(wire.repository),
        paths=paths(wire.paths),
        depends_on=tuple(TaskId(ids.token(t, f"depends_on[{i}]")) for i, t in enumerate(wire.depends_on)),
    )


def repository(address: str) -> str:
    """Its key; empty for an empty address. Raises InvalidInput("repository", …)."""
    if len(address) > MAX_REPOSITORY_CHARS:
        raise InvalidInput("repository", f"{len(address)} characters; at most {MAX_REPOSITORY_CHARS}")
    try:
        return repository_key(address)
    except ValueError as error:
        raise InvalidInput("repository", f"is no URL: {error}") from error


def paths(given: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once. Raises InvalidInput naming the first that is none of a repository."""
    listed = list(given)
    if len(listed) > MAX_PATHS:
        raise InvalidInput("paths", f"{len(listed)} paths; at most {MAX_PATHS}")
    return tuple(sorted({_path(path, f"paths[{i}]") for i, path in enumerate(listed)}))


def _path(path: str, field: str) -> str:
    plain = path.removeprefix("./")
    if not plain or len(plain) > MAX_PATH_CHARS:
        raise InvalidInput(field, f"{len(plain)} characters; from 1 to {MAX_PATH_CHARS}")
    if plain.startswith("/") or "\x00" in plain or {"", ".", ".."} & set(plain.rstrip("/").split("/")):
        raise InvalidInput(field, f"{path[:200]!r} is no path relative to the repository's root")
    return plain.rstrip("/") + "/" if plain.endswith("/") else plain


def _role(role: str) -> Role:
    try:
        return Role(role or Role.DEV)
    except ValueError:
        raise InvalidInput("role", f"{role[:80]!r} is none of {', '.join(Role)}") from None

"""Versions as messages."""

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import TaskId, token
from folkmoot.runner.files import inside
from folkmoot.runner.versions.archive import File
from folkmoot.runner.versions.desk import Desk
from folkmoot.runner.versions.history import Version, below
from folkmoot.runtime.redact import redacted


async def listing(desk: Desk, request: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
    """Raises InvalidInput."""
    agent_id = token(request.agent_id, "agent_id") if request.agent_id else ""
    found = await desk.listed(_task(request.task_id), agent_id)
    wanted = _path(request.path)
    return pb.ListVersionsResponse(
        versions=[_version(v) for v in found if not wanted or any(below(c.path, wanted) for c in v.changes)]
    )


async def diff(desk: Desk, request: pb.DiffVersionRequest) -> bytes:
    """Raises InvalidInput, NotFound."""
    name = _name(request.version)
    if name[2] == 0 and not request.HasField("against"):
        raise InvalidInput("version.number", "is 0, what the agent began with: there is none before")
    against = request.against if request.HasField("against") else name[2] - 1
    return await desk.diff(_task(request.task_id), name, against, _path(request.path))


async def file(desk: Desk, request: pb.RestoreFileRequest) -> File:
    """Raises InvalidInput, NotFound."""
    if not (path := _path(request.path)):
        raise InvalidInput("path", "is the repository itself: name a file")
    return await desk.file(_task(request.task_id), _name(request.version), path)


def _task(task_id: str) -> TaskId:
    return TaskId(token(task_id, "task_id"))


def _name(name: pb.VersionName) -> tuple[str, int, int]:
    if not name.attempt:
        raise InvalidInput("version.attempt", "counts from 1")
    return token(name.agent_id, "version.agent_id"), name.attempt, name.number


def _path(path: bytes) -> bytes:
    """Without what does not matter in it; empty for the root. Raises InvalidInput for one that leaves it."""
    return inside(path).partition(b"/workspace")[2].removeprefix(b"/") if path else b""


def _version(found: Version) -> pb.Version:
    version = pb.Version(
        name=pb.VersionName(agent_id=found.agent_id, attempt=found.attempt, number=found.number),
        what=redacted(found.what),
        changes=[pb.FileChange(path=c.path, operation=c.operation) for c in found.changes],
    )
    version.made_at.FromDatetime(found.made_at)
    return version

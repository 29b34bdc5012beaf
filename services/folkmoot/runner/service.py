"""WorkspaceService over `Workspaces`: turns messages into calls. Errors are the kernel's; an interceptor maps them."""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel.errors import InvalidInput, NotFound
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.ids import RepositoryId, TaskId, WorkspaceId, commit_id, token
from folkmoot.runner.checkout import Tree
from folkmoot.runner.command import Command, Ended
from folkmoot.runner.files import inside
from folkmoot.runner.jobs import Part
from folkmoot.runner.versions import wire
from folkmoot.runner.versions.desk import Desk
from folkmoot.runner.workspace import Manifest, Wish, Workspace
from folkmoot.runner.workspaces import Workspaces
from folkmoot.runtime.grpc.server import Context, bearer

NAME = "folkmoot.api.workspace.v1.WorkspaceService"
CAPABILITY_METHODS = frozenset(
    {"Exec", "ReadFile", "WriteFile", "ListFiles", "ImportBundle", "ExportBundle", "CloseWorkspace"}
)
"""They need the workspace's own token. Closing is also allowed to whoever may open: see `CloseWorkspace`."""
PIECE = 1024 * 1024
_OUTPUT_BYTES = 1_000_000
_MAX_OUTPUT_BYTES = 256 * 1024**2
_TIMEOUT_S, _MAX_TIMEOUT_S = 60.0, 24 * 3600.0
_READ_BYTES, _MAX_READ_BYTES = 10_000_000, 512 * 1024**2
_UPLOAD_BYTES = 512 * 1024**2
_ENTRIES, _MAX_ENTRIES = 10_000, 50_000


class WorkspaceServicer(rpc.WorkspaceServiceServicer):
    def __init__(self, workspaces: Workspaces, versions: Desk, *, service_token: str) -> None:
        self._workspaces = workspaces
        self._versions = versions
        self._service_token = service_token

    async def OpenWorkspace(self, request: pb.OpenWorkspaceRequest, context: Context) -> pb.OpenWorkspaceResponse:
        opened = await self._workspaces.open(_wish(request), request.ttl_s)
        reply = pb.OpenWorkspaceResponse(workspace_id=opened.workspace_id, token=opened.token)
        reply.expires_at.FromDatetime(opened.expires_at)
        return reply

    async def Exec(self, request: pb.ExecRequest, context: Context) -> AsyncIterator[pb.ExecResponse]:
        workspace = self._granted(request.workspace_id, context)
        async with aclosing(workspace.stream(_command(request))) as parts:
            async for part in parts:
                for message in _messages(part):
                    yield message

    async def ReadFile(self, request: pb.ReadFileRequest, context: Context) -> AsyncIterator[pb.ReadFileResponse]:
        workspace = self._granted(request.workspace_id, context)
        limit = min(request.limit or _READ_BYTES, _MAX_READ_BYTES)
        content = await workspace.read(request.path, limit)
        for piece in _pieces(content):
            yield pb.ReadFileResponse(data=piece)

    async def WriteFile(
        self, request_iterator: AsyncIterator[pb.WriteFileRequest], context: Context
    ) -> pb.WriteFileResponse:
        first = await anext(aiter(request_iterator), pb.WriteFileRequest())
        workspace = self._granted(first.workspace_id, context)
        content = bytearray(first.data)
        async for more in request_iterator:
            _grow(content, more.data)
        await workspace.write(first.path, bytes(content), append=first.append)
        return pb.WriteFileResponse()

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        workspace = self._granted(request.workspace_id, context)
        limit = min(request.limit or _ENTRIES, _MAX_ENTRIES)
        entries = await workspace.listing(request.path, request.depth or 1, limit)
        return pb.ListFilesResponse(
            entries=[pb.FileEntry(path=os.fsencode(e.path), kind=e.kind, size=e.size) for e in entries]
        )

    async def ImportBundle(
        self, request_iterator: AsyncIterator[pb.ImportBundleRequest], context: Context
    ) -> pb.ImportBundleResponse:
        first = await anext(aiter(request_iterator), pb.ImportBundleRequest())
        workspace = self._granted(first.workspace_id, context)
        bundle = bytearray(first.data)
        async for more in request_iterator:
            _grow(bundle, more.data)
        await workspace.take_in(bytes(bundle), commit_id(first.commit, "commit"))
        return pb.ImportBundleResponse()

    async def ExportBundle(
        self, request: pb.ExportBundleRequest, context: Context
    ) -> AsyncIterator[pb.ExportBundleResponse]:
        workspace = self._granted(request.workspace_id, context)
        bundle = await workspace.bundled(commit_id(request.base_commit, "base_commit"))
        for piece in _pieces(bundle):
            yield pb.ExportBundleResponse(data=piece)

    async def CloseWorkspace(self, request: pb.CloseWorkspaceRequest, context: Context) -> pb.CloseWorkspaceResponse:
        """By the workspace's token, or by the service's: owners close what their agents forgot."""
        shown = bearer(context)
        if not _same(shown, self._service_token):
            try:
                self._workspaces.granted(request.workspace_id, shown)
            except NotFound:
                return pb.CloseWorkspaceResponse()
        await self._workspaces.close(WorkspaceId(request.workspace_id))
        return pb.CloseWorkspaceResponse()

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Context) -> pb.ListWorkspacesResponse:
        return pb.ListWorkspacesResponse(workspaces=[_info(m) for m in self._workspaces.listed(request.task_id)])

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Context) -> pb.ListVersionsResponse:
        return await wire.listing(self._versions, request)

    async def DiffVersion(
        self, request: pb.DiffVersionRequest, context: Context
    ) -> AsyncIterator[pb.DiffVersionResponse]:
        for piece in _pieces(await wire.diff(self._versions, request)):
            yield pb.DiffVersionResponse(data=piece)

    async def RestoreFile(
        self, request: pb.RestoreFileRequest, context: Context
    ) -> AsyncIterator[pb.RestoreFileResponse]:
        file = await wire.file(self._versions, request)
        for piece in _pieces(file.content):
            yield pb.RestoreFileResponse(executable=file.executable, data=piece)

    def _granted(self, ident: str, context: Context) -> Workspace:
        return self._workspaces.granted(ident, bearer(context))


def _same(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode(), expected.encode())


def _wish(request: pb.OpenWorkspaceRequest) -> Wish:
    base = commit_id(request.base_commit, "base_commit")
    return Wish(
        task_id=TaskId(token(request.task_id, "task_id")),
        holder=request.holder,
        attempt=request.attempt,
        repository_id=RepositoryId(token(request.repository_id, "repository_id")),
        tree=Tree(
            base=base,
            commit=commit_id(request.commit, "commit") if request.commit else base,
            origin=commit_id(request.origin_commit, "origin_commit") if request.origin_commit else None,
            overlay=int(request.overlay),
            protected=tuple(request.protected_paths),
            exhibit=_artifact(request.exhibit_sha256, request.exhibit_size),
        ),
        deferred=request.deferred,
        versions=request.versions,
    )


def _artifact(sha256: str, size: int) -> ArtifactRef | None:
    return ArtifactRef(sha256=sha256, size=size) if sha256 else None


def _command(request: pb.ExecRequest) -> Command:
    if not request.argv or not request.argv[0]:
        raise InvalidInput("argv", "is empty")
    if any("\0" in part for part in (*request.argv, *request.env, *request.env.values())):
        raise InvalidInput("argv", "holds a NUL character")
    if any(not name or "=" in name for name in request.env):
        raise InvalidInput("env", "a name is empty or holds '='")
    if not request.timeout_s >= 0:
        raise InvalidInput("timeout_s", f"{request.timeout_s}: no time has passed by then")
    return Command(
        argv=tuple(request.argv),
        cwd=inside(os.fsencode(request.cwd), "cwd"),
        environment=dict(request.env),
        stdin=request.stdin,
        timeout_s=min(request.timeout_s or _TIMEOUT_S, _MAX_TIMEOUT_S),
        output_limit=min(request.output_limit or _OUTPUT_BYTES, _MAX_OUTPUT_BYTES),
    )


def _messages(part: Part) -> list[pb.ExecResponse]:
    if isinstance(part, Ended):
        return [pb.ExecResponse(exit=_exit(part))]
    if part.stream == "stdout":
        return [pb.ExecResponse(stdout=part.data)]
    return [pb.ExecResponse(stderr=part.data)]


def _exit(ended: Ended) -> pb.ExecExit:
    end = ended.end
    return pb.ExecExit(
        exit_code=end.exit_code,
        signal=end.signal,
        limit=end.limit,
        duration_s=end.duration_s,
        truncated=ended.truncated,
    )


def _pieces(content: bytes) -> list[bytes]:
    """At least one, so that an empty body is told from no answer."""
    return [content[start : start + PIECE] for start in range(0, max(1, len(content)), PIECE)]


def _grow(content: bytearray, more: bytes) -> None:
    content += more
    if len(content) > _UPLOAD_BYTES:
        raise InvalidInput("data", f"more than {_UPLOAD_BYTES} bytes")


def _info(manifest: Manifest) -> pb.WorkspaceInfo:
    wish = manifest.wish
    info = pb.WorkspaceInfo(
        workspace_id=wish.workspace_id, task_id=wish.task_id, holder=wish.holder, attempt=wish.attempt
    )
    info.expires_at.FromDatetime(manifest.expires_at)
    return info

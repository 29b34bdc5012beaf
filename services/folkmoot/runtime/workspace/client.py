"""A workspace over gRPC: what agents and examiners hold. One that is gone, or whose runner died, is WorkspaceLost."""

from __future__ import annotations  # the generated stub types exist for the checker only

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

import grpc

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel.errors import FolkmootError, NotFound, Unavailable
from folkmoot.kernel.evidence import CommandEnd
from folkmoot.kernel.ids import CommitId, WorkspaceId
from folkmoot.runtime.grpc.client import credentials, mapped, mapped_stream
from folkmoot.runtime.workspace.collect import collected
from folkmoot.runtime.workspace.port import NOT_OPEN, Chunk, Completed, Entry, WorkspaceLost

PIECE = 1024 * 1024
CALL_TIMEOUT_S = 150.0
"""Of everything but commands, which have their own time-out. Longer than the runner's own."""
GRACE_S = 30.0
"""A command may wait for its turn, and its end has to arrive."""


class GrpcWorkspace:
    """Implements `Workspace`. The channel belongs to the caller."""

    def __init__(self, channel: grpc.aio.Channel, *, workspace_id: WorkspaceId, token: str) -> None:
        self._id = workspace_id
        self._metadata = credentials(token)
        self._stub: rpc.WorkspaceServiceAsyncStub = rpc.WorkspaceServiceStub(channel)

    @property
    def id(self) -> WorkspaceId:
        return self._id

    async def stream(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> AsyncGenerator[Chunk | CommandEnd, None]:
        async with aclosing(
            self._exec(argv, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s, output_limit=output_limit)
        ) as replies:
            async for reply in replies:
                yield _part(reply)

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
        output_limit: int = 1_000_000,
    ) -> Completed:
        streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        async with aclosing(
            self._exec(argv, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s, output_limit=output_limit)
        ) as replies:
            async for reply in replies:
                part = _part(reply)
                if isinstance(part, CommandEnd):
                    return collected(streams, part, truncated=reply.exit.truncated)
                streams[part.stream].append(part.data)
        raise WorkspaceLost("the runner ended the call without an exit")

    async def read(self, path: str, *, limit: int = 10_000_000) -> bytes:
        request = pb.ReadFileRequest(workspace_id=self._id, path=os.fsencode(path), limit=limit)
        with _lost_or_raised():
            replies = self._stub.ReadFile(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
            return b"".join([reply.data async for reply in mapped_stream(aiter(replies))])

    async def write(self, path: str, content: bytes, *, append: bool = False) -> None:
        with _lost_or_raised(), mapped():
            await self._stub.WriteFile(
                _write_requests(self._id, os.fsencode(path), content, append=append),
                metadata=self._metadata,
                timeout=CALL_TIMEOUT_S,
            )

    async def list(self, path: str = ".", *, depth: int = 1, limit: int = 10_000) -> list[Entry]:
        request = pb.ListFilesRequest(workspace_id=self._id, path=os.fsencode(path), depth=depth, limit=limit)
        with _lost_or_raised(), mapped():
            reply = await self._stub.ListFiles(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        return [Entry(path=os.fsdecode(e.path), kind=e.kind, size=e.size) for e in reply.entries]

    async def export_bundle(self, base: CommitId) -> bytes:
        request = pb.ExportBundleRequest(workspace_id=self._id, base_commit=base)
        with _lost_or_raised():
            replies = self._stub.ExportBundle(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
            return b"".join([reply.data async for reply in mapped_stream(aiter(replies))])

    async def import_bundle(self, bundle: bytes, commit: CommitId) -> None:
        with _lost_or_raised(), mapped():
            await self._stub.ImportBundle(
                _import_requests(self._id, bundle, commit), metadata=self._metadata, timeout=CALL_TIMEOUT_S
            )

    async def close(self) -> None:
        request = pb.CloseWorkspaceRequest(workspace_id=self._id)
        with _gone_is_fine(), mapped():
            await self._stub.CloseWorkspace(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)

    async def _exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str] | None,
        stdin: bytes,
        timeout_s: float,
        output_limit: int,
    ) -> AsyncGenerator[pb.ExecResponse, None]:
        request = pb.ExecRequest(
            workspace_id=self._id,
            argv=argv,
            cwd=cwd,
            env=env or {},
            stdin=stdin,
            timeout_s=timeout_s,
            output_limit=output_limit,
        )
        call = self._stub.Exec(request, metadata=self._metadata, timeout=timeout_s + CALL_TIMEOUT_S + GRACE_S)
        try:
            with _lost_or_raised():
                async for reply in mapped_stream(aiter(call)):
                    yield reply
        finally:
            call.cancel()


def _part(reply: pb.ExecResponse) -> Chunk | CommandEnd:
    kind = reply.WhichOneof("part")
    if kind == "exit":
        end = reply.exit
        return CommandEnd(
            exit_code=end.exit_code if end.HasField("exit_code") else None,
            signal=end.signal if end.HasField("signal") else None,
            limit=end.limit,
            duration_s=end.duration_s,
        )
    if kind == "stdout":
        return Chunk(stream="stdout", data=reply.stdout)
    return Chunk(stream="stderr", data=reply.stderr)


async def _write_requests(
    ident: WorkspaceId, path: bytes, content: bytes, *, append: bool
) -> AsyncIterator[pb.WriteFileRequest]:
    yield pb.WriteFileRequest(workspace_id=ident, path=path, append=append, data=content[:PIECE])
    for start in range(PIECE, len(content), PIECE):
        yield pb.WriteFileRequest(data=content[start : start + PIECE])


async def _import_requests(
    ident: WorkspaceId, bundle: bytes, commit: CommitId
) -> AsyncIterator[pb.ImportBundleRequest]:
    yield pb.ImportBundleRequest(workspace_id=ident, commit=commit, data=bundle[:PIECE])
    for start in range(PIECE, len(bundle), PIECE):
        yield pb.ImportBundleRequest(data=bundle[start : start + PIECE])


@contextmanager
def _lost_or_raised() -> Iterator[None]:
    """A runner that cannot be reached, and a workspace that it does not have, are the same to the holder."""
    try:
        yield
    except Unavailable as error:
        raise WorkspaceLost(f"the runner is gone: {error}") from error
    except NotFound as error:
        if str(error).startswith(NOT_OPEN):
            raise WorkspaceLost(str(error)) from error
        raise
    except FolkmootError as error:
        if type(error) is FolkmootError:
            raise WorkspaceLost(str(error)) from error
        raise


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NotFound:
        return

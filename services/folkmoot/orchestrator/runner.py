"""The orchestrator's view of the runner: prepare, admit, publish, open; all by gRPC with the service token."""

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import grpc
import msgspec

from folkmoot.agents.assignment import WorkspaceGrant
from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel.errors import FolkmootError, NotFound
from folkmoot.kernel.evidence import Admission, ArtifactRef, PreparedBase, Refusal, TestPack
from folkmoot.kernel.ids import AgentId, CommitId, TaskId, WorkspaceId, workspace_id
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.workspace.client import GrpcWorkspace
from folkmoot.runtime.workspace.port import Workspace

FETCH_TIMEOUT_S = 900.0
"""Longer than the runner's own limit on a fetch, so that its error arrives."""
CALL_TIMEOUT_S = 120.0
"""Everything else the runner answers from local disk."""
LEAVE_S = 8.0
"""Of closing what is no longer needed: within the time that a stopping service has."""

log = logging.getLogger(__name__)


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """Tests that can be run alone, and what cannot."""

    packs: tuple[TestPack, ...] = ()
    production: tuple[str, ...] = ()
    """Changed paths that are neither tests nor what tests need."""
    problems: tuple[str, ...] = ()
    """What is left out and why, in words; each begins with the path where it is about one."""


class Runner:
    """Calls on one runner. Errors are the kernel's."""

    def __init__(self, address: str, token: str, open_channel: grpc.aio.Channel) -> None:
        self.address = address
        self._metadata = credentials(token)
        self._channel = open_channel
        self._repositories: rpc.RepositoryServiceAsyncStub = rpc.RepositoryServiceStub(open_channel)
        self._workspaces: rpc.WorkspaceServiceAsyncStub = rpc.WorkspaceServiceStub(open_channel)

    async def prepare(self, repository: str, base_ref: str, merge: Sequence[CommitId] = ()) -> PreparedBase:
        """Raises InvalidInput (`repository`, `base_ref`, `merge`, …), FailedPrecondition, Unavailable."""
        request = pb.PrepareBaseRequest(repository=repository, base_ref=base_ref, merge=merge)
        with mapped():
            reply = await self._repositories.PrepareBase(request, metadata=self._metadata, timeout=FETCH_TIMEOUT_S)
        return msgspec.json.decode(reply.base, type=PreparedBase)

    async def admit(
        self,
        *,
        task_id: TaskId,
        agent_id: AgentId,
        base: PreparedBase,
        bundle: ArtifactRef | None,
        message: str,
        round_: int = 1,
    ) -> Admission | Refusal:
        """Without a bundle the merge that base starts with is proposed."""
        request = pb.AdmitProposalRequest(
            task_id=task_id,
            agent_id=agent_id,
            round=round_,
            base=msgspec.json.encode(base),
            bundle_sha256=bundle.sha256 if bundle else "",
            bundle_size=bundle.size if bundle else 0,
            message=message,
        )
        with mapped():
            reply = await self._repositories.AdmitProposal(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        if reply.WhichOneof("verdict") == "admission":
            return msgspec.json.decode(reply.admission, type=Admission)
        return msgspec.json.decode(reply.refusal, type=Refusal)

    async def extract_tests(
        self,
        task_id: TaskId,
        base: PreparedBase,
        *,
        commit: CommitId | None = None,
        files: ArtifactRef | None = None,
    ) -> Extracted:
        """The tests of a commit that the task admitted, or of `files` (JSON of `PackedFile`s): to be run on any commit.

        Raises InvalidInput("files", "commit"), NotFound, Unavailable.
        """
        request = pb.ExtractTestsRequest(
            task_id=task_id,
            base=msgspec.json.encode(base),
            commit=commit or "",
            files_sha256=files.sha256 if files else "",
            files_size=files.size if files else 0,
        )
        with mapped():
            reply = await self._repositories.ExtractTests(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        return Extracted(
            packs=tuple(msgspec.json.decode(pack, type=TestPack) for pack in reply.packs),
            production=tuple(reply.production),
            problems=tuple(reply.problems),
        )

    async def publish(
        self, task_id: TaskId, base: PreparedBase, commit: CommitId, *, inherited: bool = False
    ) -> ArtifactRef | None:
        """Make it the task's branch. Returns the bundle from what base builds on, where base is a decided commit.
        An `inherited` commit was admitted by an earlier task."""
        request = pb.PublishWinnerRequest(
            task_id=task_id,
            repository_id=base.repository_id,
            commit=commit,
            origin=base.origin or "",
            inherited=inherited,
        )
        with mapped():
            reply = await self._repositories.PublishWinner(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        return ArtifactRef(sha256=reply.bundle_sha256, size=reply.bundle_size) if reply.bundle_sha256 else None

    async def claim(
        self,
        *,
        task_id: TaskId,
        holder: str,
        attempt: int,
        base: PreparedBase,
        ttl_s: float,
        commit: CommitId | None = None,
    ) -> WorkspaceGrant:
        """The workspace that this task, holder and attempt opened (it is opened if it is not there), and its token.
        `commit` is what it begins with where that is not base."""
        request = _open_request(task_id, holder, attempt, base, ttl_s)
        request.commit = commit or request.commit
        with mapped():
            reply = await self._workspaces.OpenWorkspace(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        return WorkspaceGrant(workspace_id=WorkspaceId(reply.workspace_id), endpoint=self.address, token=reply.token)

    @asynccontextmanager
    async def examination(
        self,
        *,
        task_id: TaskId,
        holder: str,
        attempt: int,
        base: PreparedBase,
        commit: CommitId,
        overlay: pb.Overlay.ValueType,
        ttl_s: float,
        exhibit: ArtifactRef | None = None,
    ) -> AsyncIterator[Workspace]:
        """A fresh workspace with `commit` in it, and over that the files of `exhibit`; closed afterwards. Its first
        command makes the check-out, and runs at the repository's root.

        That raises FailedPrecondition("exhibit") where one of them cannot lie there.
        """
        request = _open_request(task_id, holder, attempt, base, ttl_s)
        request.commit = commit
        request.overlay = overlay
        request.deferred, request.versions = True, False
        request.protected_paths.extend(base.protected)
        if exhibit is not None:
            request.exhibit_sha256, request.exhibit_size = exhibit.sha256, exhibit.size
        ident = workspace_id(task_id, holder, attempt)
        # Within the block from before it is opened: a call that is cancelled may have opened it all the same.
        try:
            with mapped():
                reply = await self._workspaces.OpenWorkspace(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
            yield GrpcWorkspace(self._channel, workspace_id=ident, token=reply.token)
        finally:
            await self.leave(ident)

    async def close(self, ident: WorkspaceId) -> None:
        """Closing what is gone is fine."""
        request = pb.CloseWorkspaceRequest(workspace_id=ident)
        with _gone_is_fine(), mapped():
            await self._workspaces.CloseWorkspace(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)

    async def leave(self, ident: WorkspaceId) -> None:
        """Close it if that can be done soon. If not, what was done in it counts all the same: whatever stays open is
        closed at the end of its task, or of its lease."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self.close(ident)
        except (TimeoutError, FolkmootError) as error:
            log.warning("workspace %s is not closed: %s", ident, error or "no answer")

    async def close_all(self, task_id: TaskId) -> None:
        """Close whatever the task still holds."""
        with mapped():
            request = pb.ListWorkspacesRequest(task_id=task_id)
            reply = await self._workspaces.ListWorkspaces(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        for info in reply.workspaces:
            await self.close(WorkspaceId(info.workspace_id))


@asynccontextmanager
async def connected(address: str, token: str) -> AsyncIterator[Runner]:
    async with channel(address) as open_channel:
        yield Runner(address, token, open_channel)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NotFound:
        return


def _open_request(
    task_id: TaskId, holder: str, attempt: int, base: PreparedBase, ttl_s: float
) -> pb.OpenWorkspaceRequest:
    """Of a workspace in which an agent begins."""
    return pb.OpenWorkspaceRequest(
        task_id=task_id,
        holder=holder,
        attempt=attempt,
        repository_id=base.repository_id,
        base_commit=base.commit,
        commit=base.start or "",
        origin_commit=base.origin or "",
        ttl_s=ttl_s,
        versions=True,
    )

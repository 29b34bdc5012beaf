"""RepositoryService over `Mirrors`: turns messages into calls. Errors are the kernel's; an interceptor maps them."""

from collections.abc import Awaitable, Callable

import msgspec

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.evidence import Admission, ArtifactRef, PreparedBase
from folkmoot.kernel.ids import AgentId, RepositoryId, TaskId, commit_id, token
from folkmoot.runner.extraction import Extraction
from folkmoot.runner.mirrors import Mirrors
from folkmoot.runtime.log.port import Artifacts

Prepare = Callable[[PreparedBase], Awaitable[None]]
"""What workspaces on a base need besides its files: `Workspaces.prepare`."""


class RepositoryServicer(rpc.RepositoryServiceServicer):
    def __init__(self, mirrors: Mirrors, artifacts: Artifacts, prepare: Prepare) -> None:
        self._mirrors = mirrors
        self._prepare = prepare
        self._artifacts = artifacts
        self._extraction = Extraction(artifacts)

    async def PrepareBase(self, request: pb.PrepareBaseRequest, context: object) -> pb.PrepareBaseResponse:
        """Raises what `Mirrors.prepare` and `Backend.prepared` do; an empty ref means HEAD."""
        base = await self._mirrors.prepare(request.repository, request.base_ref or "HEAD", tuple(request.merge))
        await self._prepare(base)
        return pb.PrepareBaseResponse(base=msgspec.json.encode(base))

    async def OutlineRepository(
        self, request: pb.OutlineRepositoryRequest, context: object
    ) -> pb.OutlineRepositoryResponse:
        """Raises what `Mirrors.outline` does; an empty ref means HEAD."""
        outline = await self._mirrors.outline(request.repository, request.base_ref or "HEAD")
        return pb.OutlineRepositoryResponse(
            commit=outline.commit, files=outline.files, truncated=outline.truncated, readme=outline.readme
        )

    async def AdmitProposal(self, request: pb.AdmitProposalRequest, context: object) -> pb.AdmitProposalResponse:
        """Raises what `Mirrors.admit` does, and NotFound when there is no such bundle."""
        base = _base(request.base)
        verdict = await self._mirrors.admit(
            task_id=TaskId(token(request.task_id, "task_id")),
            agent_id=AgentId(token(request.agent_id, "agent_id")),
            round_=request.round,
            base=base,
            bundle=await self._bundle(request),
            message=request.message,
        )
        encoded = msgspec.json.encode(verdict)
        if isinstance(verdict, Admission):
            return pb.AdmitProposalResponse(admission=encoded)
        return pb.AdmitProposalResponse(refusal=encoded)

    async def PublishWinner(self, request: pb.PublishWinnerRequest, context: object) -> pb.PublishWinnerResponse:
        """Raises what `Mirrors.publish` does, and with an origin what `Mirrors.bundle_of` does."""
        repository = RepositoryId(token(request.repository_id, "repository_id"))
        commit = commit_id(request.commit, "commit")
        task = TaskId(token(request.task_id, "task_id"))
        branch = await self._mirrors.publish(task, repository, commit, inherited=request.inherited)
        if not request.origin:
            return pb.PublishWinnerResponse(branch=branch)
        bundle = await self._mirrors.bundle_of(repository, commit_id(request.origin, "origin"), commit)
        stored = await self._artifacts.put(bundle)
        return pb.PublishWinnerResponse(branch=branch, bundle_sha256=stored.sha256, bundle_size=stored.size)

    async def ExtractTests(self, request: pb.ExtractTestsRequest, context: object) -> pb.ExtractTestsResponse:
        """Raises what `Mirrors.holding` and `Extraction` do; InvalidInput without a commit and without files."""
        base, commit = _base(request.base), commit_id(request.commit, "commit") if request.commit else None
        git = await self._mirrors.holding(base, TaskId(token(request.task_id, "task_id")), commit)
        if commit is not None:
            found = await self._extraction.of_commit(git, base, commit)
        elif request.files_sha256:
            files = ArtifactRef(sha256=request.files_sha256, size=request.files_size)
            found = await self._extraction.of_files(git, base, files)
        else:
            raise InvalidInput("commit", "is missing, and so are files")
        packs = [msgspec.json.encode(pack) for pack in found.packs]
        return pb.ExtractTestsResponse(packs=packs, production=found.production, problems=found.problems)

    async def _bundle(self, request: pb.AdmitProposalRequest) -> bytes | None:
        """None where the merge that base starts with is proposed."""
        if not request.bundle_sha256:
            return None
        return await self._artifacts.get(ArtifactRef(sha256=request.bundle_sha256, size=request.bundle_size))


def _base(encoded: bytes) -> PreparedBase:
    try:
        return msgspec.json.decode(encoded, type=PreparedBase)
    except msgspec.DecodeError as error:
        raise InvalidInput("base", f"is no base as PrepareBase answers it: {error}") from error

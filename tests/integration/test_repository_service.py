"""RepositoryService over the wire: the same answers and the same errors as the mirrors give."""

from __future__ import annotations  # the stub types exist for the checker only

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.cli.message import commit_message, trailers
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.evidence import Admission, ArtifactRef, PreparedBase, Refusal
from folkmoot.runner.border.bundle import parsed
from folkmoot.runner.repository_service import RepositoryServicer
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Service, serving
from folkmoot.runtime.log.memory import MemoryArtifacts
from folkmoot.runtime.settings import GrpcSettings
from tests.repositories import AGENT, TASK, Repo, mirrors

TOKEN = credentials("secret")


async def _prepared(_: PreparedBase) -> None:
    """Backends have their own tests."""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[rpc.RepositoryServiceAsyncStub, MemoryArtifacts]]:
    ours, artifacts = mirrors(tmp_path / "m")
    service = Service(
        name="folkmoot.api.workspace.v1.RepositoryService",
        servicer=RepositoryServicer(ours, artifacts, _prepared),
        add=rpc.add_RepositoryServiceServicer_to_server,
    )
    async with serving(GrpcSettings(token="secret"), [service]) as address, channel(address) as opened:
        yield rpc.RepositoryServiceStub(opened), artifacts


async def test_from_base_to_branch(
    served: tuple[rpc.RepositoryServiceAsyncStub, MemoryArtifacts], tmp_path: Path
) -> None:
    """Prepare, admit, refuse and publish, with the kernel's own types in the messages."""
    stub, artifacts = served
    repo = Repo(tmp_path / "origin")
    repo.commit({"a.py": "x = 1\n"})
    prepared = await stub.PrepareBase(pb.PrepareBaseRequest(repository=str(repo.folder)), metadata=TOKEN)
    base = msgspec.json.decode(prepared.base, type=PreparedBase)
    tip = repo.commit({"a.py": "x = 2\n"})
    stored = await artifacts.put(repo.bundle(tip, base.commit))
    request = pb.AdmitProposalRequest(
        task_id=TASK,
        agent_id=AGENT,
        round=1,
        base=prepared.base,
        bundle_sha256=stored.sha256,
        bundle_size=stored.size,
        message="Mend",
    )
    admission = msgspec.json.decode((await stub.AdmitProposal(request, metadata=TOKEN)).admission, type=Admission)
    published = await stub.PublishWinner(
        pb.PublishWinnerRequest(task_id=TASK, repository_id=base.repository_id, commit=admission.commit), metadata=TOKEN
    )
    assert (published.branch, published.bundle_size) == (f"moot/{TASK}", 0)
    junk = await artifacts.put(b"junk")
    request.round, request.bundle_sha256, request.bundle_size = 2, junk.sha256, junk.size
    refusal = msgspec.json.decode((await stub.AdmitProposal(request, metadata=TOKEN)).refusal, type=Refusal)
    assert "is no git bundle" in refusal.reason


async def test_from_a_decided_commit_to_a_bundle(
    served: tuple[rpc.RepositoryServiceAsyncStub, MemoryArtifacts], tmp_path: Path
) -> None:
    """A task that starts from a winner proposes its own work, and its result holds all from where the story began."""
    stub, artifacts = served
    repo = Repo(tmp_path / "origin")
    start = repo.commit({"a.py": "x = 1\n", "README": "read me\n"})
    asked = pb.PrepareBaseRequest(repository=str(repo.folder), base_ref=start)
    prepared = (await stub.PrepareBase(asked, metadata=TOKEN)).base
    commits: list[str] = []
    for number in (1, 2):
        base = msgspec.json.decode(prepared, type=PreparedBase)
        stored = await artifacts.put(repo.bundle(repo.commit({"a.py": f"x = {number + 1}\n"}), base.commit))
        admitting = pb.AdmitProposalRequest(
            task_id=f"t-{number}", agent_id=AGENT, round=1, base=prepared, bundle_sha256=stored.sha256,
            bundle_size=stored.size, message="Mend",
        )  # fmt: skip
        verdict = (await stub.AdmitProposal(admitting, metadata=TOKEN)).admission
        commits.append(msgspec.json.decode(verdict, type=Admission).commit)
        publishing = pb.PublishWinnerRequest(
            task_id=f"t-{number}", repository_id=base.repository_id, commit=commits[-1], origin=start
        )
        published = await stub.PublishWinner(publishing, metadata=TOKEN)
        asked.merge[:] = commits[-1:]
        prepared = (await stub.PrepareBase(asked, metadata=TOKEN)).base
        repo.git("fetch", "-q", str(tmp_path / "m" / base.repository_id / "candidates.git"), commits[-1])
        repo.git("reset", "-q", "--hard", commits[-1])
    body = await artifacts.get(ArtifactRef(sha256=published.bundle_sha256, size=published.bundle_size))
    bundle = parsed(body)
    assert (bundle.tip, bundle.prerequisites) == (commits[-1], (start,))
    assert trailers(commit_message(bundle.pack)) == ["Folkmoot-Task: t-2", f"Folkmoot-Agent: {AGENT}"]


async def test_an_outline_over_the_wire(
    served: tuple[rpc.RepositoryServiceAsyncStub, MemoryArtifacts], tmp_path: Path
) -> None:
    """What a planner asks: the commit, files and README; an empty ref is HEAD."""
    stub, _ = served
    repo = Repo(tmp_path / "origin")
    tip = repo.commit({"a.py": "x = 1\n", "README": "read me\n"})
    outline = await stub.OutlineRepository(pb.OutlineRepositoryRequest(repository=str(repo.folder)), metadata=TOKEN)
    assert (outline.commit, list(outline.files), outline.readme) == (tip, ["README", "a.py"], "read me\n")


async def test_errors_keep_their_names(served: tuple[rpc.RepositoryServiceAsyncStub, MemoryArtifacts]) -> None:
    """Fields and guards arrive as they were raised."""
    stub, artifacts = served
    junk = await artifacts.put(b"junk")
    with pytest.raises(InvalidInput, match=r"^repository: "), mapped():
        await stub.PrepareBase(pb.PrepareBaseRequest(repository="here"), metadata=TOKEN)
    with pytest.raises(InvalidInput, match=r"^base: "), mapped():
        await stub.AdmitProposal(
            pb.AdmitProposalRequest(
                task_id=TASK, agent_id=AGENT, round=1, base=b"{", bundle_sha256=junk.sha256, bundle_size=junk.size
            ),
            metadata=TOKEN,
        )
    with pytest.raises((NotFound, FailedPrecondition)), mapped():
        await stub.PublishWinner(
            pb.PublishWinnerRequest(task_id=TASK, repository_id="repo-x", commit="1" * 40), metadata=TOKEN
        )

"""What planning asks of the runner: how a repository looks, and what a ref names."""

from __future__ import annotations  # the generated stub types exist for the checker only

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import grpc
import msgspec

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.kernel import ids
from folkmoot.kernel.ids import CommitId
from folkmoot.runtime.grpc.client import channel, credentials, mapped

FETCH_TIMEOUT_S = 900.0
"""Longer than the runner's own limit on a fetch, so that its error arrives."""


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at one commit; all but the commit is a stranger's text."""

    commit: CommitId
    files: tuple[str, ...] = ()
    truncated: bool = False
    """There are more files."""
    readme: str = ""


class Repositories(Protocol):
    async def outline(self, repository: str, base_ref: str) -> Outline:
        """Raises InvalidInput (`repository`, `base_ref`), FailedPrecondition, Unavailable."""
        ...


class Runner:
    """The runner's repositories, by gRPC with the service token."""

    def __init__(self, open_channel: grpc.aio.Channel, token: str) -> None:
        self._metadata = credentials(token)
        self._repositories: rpc.RepositoryServiceAsyncStub = rpc.RepositoryServiceStub(open_channel)

    async def outline(self, repository: str, base_ref: str) -> Outline:
        request = pb.OutlineRepositoryRequest(repository=repository, base_ref=base_ref)
        with mapped():
            reply = await self._repositories.OutlineRepository(
                request, metadata=self._metadata, timeout=FETCH_TIMEOUT_S
            )
        return Outline(
            commit=ids.commit_id(reply.commit, "commit"),
            files=tuple(reply.files),
            truncated=reply.truncated,
            readme=reply.readme,
        )


@asynccontextmanager
async def connected(address: str, token: str) -> AsyncIterator[Runner]:
    async with channel(address) as open_channel:
        yield Runner(open_channel, token)

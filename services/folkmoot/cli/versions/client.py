"""Calls to the runner, with plain values on our side of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from folkmoot.api.workspace.v1 import workspace_pb2 as pb
from folkmoot.api.workspace.v1 import workspace_pb2_grpc as rpc
from folkmoot.cli.client import CALL_S
from folkmoot.cli.codes import Code, Stopped
from folkmoot.cli.connect import Target
from folkmoot.kernel.errors import InvalidInput
from folkmoot.runtime.grpc.client import channel, credentials, mapped, mapped_stream


class Name(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.agent}@{self.attempt}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Raises InvalidInput."""
        agent, _, counts = text.rpartition("@")
        attempt, _, number = counts.partition(".")
        if not agent or not (attempt + number).isascii() or not attempt.isdigit() or not number.isdigit():
            raise InvalidInput("VERSION", f"{text[:80]!r} is none: `moot versions list` names them, as dev-1@1.3")
        if max(len(attempt), len(number)) > 9:
            raise InvalidInput("VERSION", f"{text[:80]!r}: no agent has made so many")
        return cls(agent=agent, attempt=int(attempt), number=int(number))

    @property
    def wire(self) -> pb.VersionName:
        return pb.VersionName(agent_id=self.agent, attempt=self.attempt, number=self.number)


class Runner:
    """The versions of one platform. All calls raise kernel errors."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._options: dict[str, Any] = {"metadata": credentials(token), "timeout": CALL_S, "wait_for_ready": False}

    async def listed(self, task_id: str, agent_id: str, path: bytes) -> list[pb.Version]:
        request = pb.ListVersionsRequest(task_id=task_id, agent_id=agent_id, path=path)
        with mapped():
            reply: pb.ListVersionsResponse = await self._stub.ListVersions(request, **self._options)
        return list(reply.versions)

    async def diff(self, task_id: str, name: Name, path: bytes, since: int | None) -> bytes:
        request = pb.DiffVersionRequest(task_id=task_id, version=name.wire, against=since, path=path)
        replies = mapped_stream(self._stub.DiffVersion(request, **self._options))
        return b"".join([reply.data async for reply in replies])

    async def file(self, task_id: str, name: Name, path: bytes) -> tuple[bytes, bool]:
        """Its content, and whether it is executable."""
        request = pb.RestoreFileRequest(task_id=task_id, version=name.wire, path=path)
        replies = [reply async for reply in mapped_stream(self._stub.RestoreFile(request, **self._options))]
        return b"".join(reply.data for reply in replies), any(reply.executable for reply in replies)


@asynccontextmanager
async def reaching(target: Target) -> AsyncIterator[Runner]:
    """Raises Stopped where nobody said where the runner is."""
    if not target.runner:
        raise Stopped(
            Code.OURS,
            "nobody said where the runner is, which keeps the versions",
            "FOLKMOOT_GRPC_RUNNER is its address, beside FOLKMOOT_GRPC_ORCHESTRATOR",
        )
    async with channel(target.runner) as open_channel:
        yield Runner(rpc.WorkspaceServiceStub(open_channel), target.token)

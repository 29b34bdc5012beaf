"""Asking the context service over gRPC: what it says, and going on without it."""

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.ids import StoryId, TaskId
from folkmoot.kernel.task import Role, TaskSpec
from folkmoot.orchestrator.earlier import Nothing, earlier_work
from folkmoot.runtime.grpc.server import Context, Service, serving
from folkmoot.runtime.log.server import free_port
from folkmoot.runtime.settings import GrpcSettings, OrchestratorSettings, Settings

TOKEN = "a-service-token"
SPEC = TaskSpec(
    task_id=TaskId("t-1"),
    story_id=StoryId("s-1"),
    title="Add it",
    text="Please.",
    repository="/repo",
    agents=1,
    role=Role.QA,
    paths=("src/",),
    depends_on=(TaskId("t-0"),),
)


class Says(rpc.ContextServiceServicer):
    """One answer for all; hangs or refuses where told to."""

    def __init__(self, *, hangs: bool = False, refuses: bool = False) -> None:
        self.asked: list[pb.HydrateContextRequest] = []
        self._hangs = hangs
        self._refuses = refuses

    async def HydrateContext(self, request: pb.HydrateContextRequest, context: Context) -> pb.HydrateContextResponse:
        self.asked.append(request)
        if self._hangs:
            await asyncio.Event().wait()
        if self._refuses:
            raise InvalidInput("paths", "too many")
        return pb.HydrateContextResponse(text="As before.", tokens=3)

    async def GetNeighbourhood(self, request: pb.GetNeighbourhoodRequest, context: Context) -> NoReturn:
        raise AssertionError("nobody asks for this")

    async def ExplainDecision(self, request: pb.ExplainDecisionRequest, context: Context) -> NoReturn:
        raise AssertionError("nobody asks for this")

    async def RecordDecision(self, request: pb.RecordDecisionRequest, context: Context) -> NoReturn:
        raise AssertionError("nobody asks for this")

    async def Rebuild(self, request: pb.RebuildRequest, context: Context) -> NoReturn:
        raise AssertionError("nobody asks for this")


@asynccontextmanager
async def listening(says: Says) -> AsyncIterator[str]:
    service = Service(
        name="folkmoot.api.context.v1.ContextService", servicer=says, add=rpc.add_ContextServiceServicer_to_server
    )
    async with serving(GrpcSettings(token=TOKEN), [service]) as address:
        yield address


def settings(address: str, *, tokens: int = 70, token: str = TOKEN, timeout_s: float = 5.0) -> Settings:
    own = OrchestratorSettings(context_tokens=tokens, context_timeout_s=timeout_s)
    return Settings(grpc=GrpcSettings(context=address, token=token), orchestrator=own)


async def test_the_task_is_asked_about_within_the_budget() -> None:
    """Role, files and what it builds on go along: they decide what is worth saying."""
    says = Says()
    async with listening(says) as address, earlier_work(settings(address)) as earlier:
        assert await earlier.told(SPEC) == "As before."
    assert says.asked == [
        pb.HydrateContextRequest(
            task_id="t-1",
            story_id="s-1",
            role="QA",
            budget_tokens=70,
            repository="/repo",
            paths=["src/"],
            depends_on=["t-0"],
        )
    ]


@pytest.mark.parametrize("says", [Says(hangs=True), Says(refuses=True)], ids=["hangs", "refuses"])
async def test_a_service_that_fails_is_done_without(says: Says, caplog: pytest.LogCaptureFixture) -> None:
    """Never fatal; the log of this service says so, and which task."""
    async with listening(says) as address, earlier_work(settings(address, timeout_s=0.3)) as earlier:
        assert await earlier.told(SPEC) == ""
    assert "t-1 goes on without context" in caplog.text


async def test_nobody_there_and_a_wrong_token_are_done_without() -> None:
    """Within the time that is allowed."""
    async with earlier_work(settings(f"127.0.0.1:{free_port()}", timeout_s=0.3)) as earlier:
        assert await earlier.told(SPEC) == ""
    async with listening(Says()) as address, earlier_work(settings(address, token="wrong")) as earlier:
        assert await earlier.told(SPEC) == ""


async def test_without_address_or_budget_nobody_is_asked() -> None:
    """A fleet may do without it."""
    for chosen in (settings(""), settings("127.0.0.1:1", tokens=0)):
        async with earlier_work(chosen) as earlier:
            assert isinstance(earlier, Nothing)
            assert await earlier.told(SPEC) == ""

from __future__ import annotations  # the stub types exist for the checker only

from collections.abc import AsyncIterator

import pytest

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.kernel import errors
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.grpc.server import Context, Service, serving
from folkmoot.runtime.settings import GrpcSettings


class Raising(rpc.ContextServiceServicer):
    """Raises what the node id asks for."""

    async def GetNeighbourhood(
        self, request: pb.GetNeighbourhoodRequest, context: Context
    ) -> pb.GetNeighbourhoodResponse:
        raise (ERRORS | LONG)[request.node_id]

    async def Rebuild(self, request: pb.RebuildRequest, context: Context) -> pb.RebuildResponse:
        return pb.RebuildResponse(nodes=7)

    async def HydrateContext(self, request: pb.HydrateContextRequest, context: Context) -> pb.HydrateContextResponse:
        raise ERRORS["missing"]

    async def ExplainDecision(self, request: pb.ExplainDecisionRequest, context: Context) -> pb.ExplainDecisionResponse:
        raise ERRORS["missing"]

    async def RecordDecision(self, request: pb.RecordDecisionRequest, context: Context) -> pb.RecordDecisionResponse:
        raise ERRORS["missing"]


ERRORS: dict[str, errors.FolkmootError] = {
    "field": errors.InvalidInput("title", "is empty"),
    "missing": errors.NotFound("no task t-1"),
    "same-key": errors.AlreadyExists("other content"),
    "guard": errors.FailedPrecondition("ended", "it is over"),
    "full": errors.ResourceExhausted("queue full", 2.5),
    "denied": errors.PermissionDenied("not yours"),
    "lost": errors.BrokenChain("a gap"),
}
LONG: dict[str, errors.FolkmootError] = {
    "long-field": errors.InvalidInput("ü" * 30_000, "é" * 30_000),
    "long-words": errors.NotFound("é" * 30_000),
    "long-guard": errors.FailedPrecondition("ended", "\ud800" + "é" * 30_000),
}


@pytest.fixture
async def stub() -> AsyncIterator[rpc.ContextServiceAsyncStub]:
    service = Service(
        name="folkmoot.api.context.v1.ContextService",
        servicer=Raising(),
        add=rpc.add_ContextServiceServicer_to_server,
    )
    async with serving(GrpcSettings(token="secret"), [service]) as address, channel(address) as open_channel:
        yield rpc.ContextServiceStub(open_channel)


@pytest.mark.parametrize("name", sorted(ERRORS))
async def test_an_error_arrives_as_it_was_raised(stub: rpc.ContextServiceAsyncStub, name: str) -> None:
    """Field, guard and retry time survive the wire."""
    with pytest.raises(type(ERRORS[name])) as caught, mapped():
        await stub.GetNeighbourhood(pb.GetNeighbourhoodRequest(node_id=name), metadata=credentials("secret"), timeout=5)
    assert str(caught.value) == str(ERRORS[name])
    assert getattr(caught.value, "retry_after_s", None) == getattr(ERRORS[name], "retry_after_s", None)


@pytest.mark.parametrize("name", sorted(LONG))
async def test_an_error_of_many_words_arrives_as_its_kind(stub: rpc.ContextServiceAsyncStub, name: str) -> None:
    """Strangers' texts are quoted: a long one is cut, where gRPC would tell the caller to come back later."""
    with pytest.raises(type(LONG[name])) as caught, mapped():
        await stub.GetNeighbourhood(pb.GetNeighbourhoodRequest(node_id=name), metadata=credentials("secret"), timeout=5)
    assert str(caught.value).endswith("é…")


@pytest.mark.parametrize("metadata", [(), credentials("wrong")])
async def test_a_call_without_the_token_is_refused(
    stub: rpc.ContextServiceAsyncStub, metadata: tuple[tuple[str, str], ...]
) -> None:
    """No token, no service."""
    with pytest.raises(errors.Unauthenticated), mapped():
        await stub.Rebuild(pb.RebuildRequest(), metadata=metadata, timeout=5)


async def test_a_good_call_is_answered(stub: rpc.ContextServiceAsyncStub) -> None:
    """The interceptors are invisible to whoever does it right."""
    assert (await stub.Rebuild(pb.RebuildRequest(), metadata=credentials("secret"), timeout=5)).nodes == 7

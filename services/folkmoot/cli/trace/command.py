"""What `moot trace` does: asks for all that the log holds of a task, and reads the time off it."""

import sys
from typing import Any

from folkmoot.api.orchestrator.v1 import orchestrator_pb2 as pb
from folkmoot.api.orchestrator.v1 import orchestrator_pb2_grpc as rpc
from folkmoot.cli import connect
from folkmoot.cli.codes import Code
from folkmoot.cli.output import emit
from folkmoot.cli.screen import console
from folkmoot.kernel import trace as kernel
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.events import Event
from folkmoot.kernel.facts import CODEC
from folkmoot.runtime import settings as configuration
from folkmoot.runtime.grpc.client import channel, credentials, mapped_stream

CALL_S = 60.0
"""All events of a task, at most a few thousand."""


async def trace(task: str, *, as_json: bool) -> Code:
    found = kernel.trace(await _events(task))
    if as_json:
        emit(found)
    else:
        from folkmoot.cli.trace import draw

        console(sys.stdout).print(draw.drawn(found))
    return Code.DONE


async def _events(task: str) -> list[Event]:
    """Without those of a type that this version does not know."""
    target = connect.required(configuration.load())
    async with channel(target.orchestrator) as open_channel:
        stub: Any = rpc.OrchestratorServiceStub(open_channel)
        call = stub.GetTrail(
            pb.GetTrailRequest(task_id=task),
            metadata=credentials(target.token),
            timeout=CALL_S,
            wait_for_ready=False,
        )
        found = [_decoded(reply.event) async for reply in mapped_stream(call)]
    return [event for event in found if event is not None]


def _decoded(body: bytes) -> Event | None:
    try:
        return CODEC.decode(body)
    except InvalidInput:
        return None

"""What agents are told of earlier work: asked of the context service, which may be away."""

from __future__ import annotations  # the generated stub types exist for the checker only

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from folkmoot.api.context.v1 import context_pb2 as pb
from folkmoot.api.context.v1 import context_pb2_grpc as rpc
from folkmoot.kernel.errors import FolkmootError
from folkmoot.kernel.task import TaskSpec
from folkmoot.runtime.grpc.client import channel, credentials, mapped
from folkmoot.runtime.settings import Settings

log = logging.getLogger(__name__)


class Earlier(Protocol):
    async def told(self, spec: TaskSpec) -> str:
        """Markdown for agents; empty when there is nothing to say, or nobody to ask. Raises nothing of ours."""
        ...


class Nothing:
    """Agents work without it."""

    async def told(self, spec: TaskSpec) -> str:
        return ""


class AskedOfContext:
    """`tokens` is the most that an answer may take, `timeout_s` the longest wait for it."""

    def __init__(self, stub: rpc.ContextServiceAsyncStub, token: str, *, tokens: int, timeout_s: float) -> None:
        self._stub = stub
        self._metadata = credentials(token)
        self._tokens = tokens
        self._timeout_s = timeout_s

    async def told(self, spec: TaskSpec) -> str:
        request = pb.HydrateContextRequest(
            task_id=spec.task_id,
            story_id=spec.story_id,
            role=spec.role,
            budget_tokens=self._tokens,
            repository=spec.repository,
            paths=spec.paths,
            depends_on=spec.depends_on,
        )
        try:
            with mapped():
                async with asyncio.timeout(self._timeout_s):
                    reply = await self._stub.HydrateContext(request, metadata=self._metadata)
        except (TimeoutError, FolkmootError) as error:
            words = str(error) or f"no answer within {self._timeout_s:g} s"
            log.warning("%s goes on without context: %s", spec.task_id, words, extra={"action": "no-context"})
            return ""
        return reply.text


@asynccontextmanager
async def earlier_work(settings: Settings) -> AsyncIterator[Earlier]:
    """As the settings say; `Nothing` when no address or no tokens are given."""
    tokens = settings.orchestrator.context_tokens
    if not settings.grpc.context or not tokens:
        yield Nothing()
        return
    async with channel(settings.grpc.context) as open_channel:
        stub: rpc.ContextServiceAsyncStub = rpc.ContextServiceStub(open_channel)
        yield AskedOfContext(
            stub, settings.grpc.token, tokens=tokens, timeout_s=settings.orchestrator.context_timeout_s
        )

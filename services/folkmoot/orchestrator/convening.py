"""Beside preparing base: the context service is asked, and its words are kept for all agents of the task."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from folkmoot.kernel.errors import BrokenChain, NotFound
from folkmoot.kernel.evidence import ArtifactRef
from folkmoot.kernel.task import TaskSpec
from folkmoot.orchestrator.earlier import Earlier
from folkmoot.runtime.log.port import Artifacts
from folkmoot.runtime.supervise import first_leaf, patiently

log = logging.getLogger(__name__)

T = TypeVar("T")


async def told_beside(
    preparing: Coroutine[Any, Any, T], earlier: Earlier, artifacts: Artifacts, spec: TaskSpec
) -> tuple[T, ArtifactRef | None]:
    """What `preparing` gives, and where the context lies; None when there is none. Raises what `preparing` raises."""
    try:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(_kept(earlier, artifacts, spec), name=f"context of {spec.task_id}")
            prepared = group.create_task(preparing, name=f"base of {spec.task_id}")
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures
    return prepared.result(), asking.result()


async def _kept(earlier: Earlier, artifacts: Artifacts, spec: TaskSpec) -> ArtifactRef | None:
    text = await earlier.told(spec)
    return await patiently(lambda: artifacts.put(text.encode())) if text else None


async def recalled(artifacts: Artifacts, context: ArtifactRef | None) -> str:
    """The text again. One that is lost is missed by nobody but its agents."""
    if context is None:
        return ""
    try:
        return (await patiently(lambda: artifacts.get(context))).decode()
    except (NotFound, BrokenChain) as error:
        log.warning("context %s is lost: %s", context.sha256, error, extra={"action": "no-context"})
        return ""

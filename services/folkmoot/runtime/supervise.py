"""Owned tasks and patience: the two ways in which services wait."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import tenacity

from folkmoot.kernel.errors import RetryLater

T = TypeVar("T")

PATIENCE_S = 120.0
"""A restarted runner or log is back within seconds; two minutes also cover a node that is replaced."""


async def together(tasks: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Run all, each named by its key; the first failure ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, task in tasks.items():
                group.create_task(task, name=name)
    except BaseExceptionGroup as failures:
        raise first_leaf(failures) from failures


def first_leaf(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that came first: its siblings are mostly its consequences."""
    first = failures.exceptions[0]
    return first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


async def patiently(call: Callable[[], Awaitable[T]], *, for_s: float = PATIENCE_S) -> T:
    """Repeat `call` while it raises RetryLater, with jitter, for at most `for_s` seconds; then raise its last error."""
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(RetryLater),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=3.0),
        stop=tenacity.stop_after_delay(for_s),
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("tenacity ends by a result or an error")

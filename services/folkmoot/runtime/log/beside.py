"""A task that lives exactly as long as a block."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(work: Coroutine[object, None, None], *, name: str) -> AsyncIterator[None]:
    """Run `work` for as long as the block runs. Unlike a TaskGroup it hands on the block's exceptions as they are."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()

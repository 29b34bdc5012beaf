"""The loop around every durable reader: lease, handle, settle. Errors are sorted by what helps against them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from folkmoot.kernel.errors import CallerError, FolkmootError, RetryLater, Unavailable
from folkmoot.runtime.log import topology
from folkmoot.runtime.log.port import Delivery, LeaseLost
from folkmoot.runtime.telemetry import meters
from folkmoot.runtime.telemetry.ambient import count
from folkmoot.runtime.telemetry.context import understood, within

log = logging.getLogger(__name__)

Handle = Callable[[Delivery], Awaitable[None]]
GiveUp = Callable[[Delivery, str], Awaitable[None]]

RETRY_S = 2.0
"""Before a message that met an unexpected fault is handled again."""


async def consume(
    deliveries: AsyncGenerator[Delivery, None], handle: Handle, *, max_deliver: int, give_up: GiveUp | None = None
) -> None:
    """Handle one delivery after the other, for ever.

    What `handle` raises: LeaseLost, somebody else has it now; CallerError, it is parked at once; anything else, it is
    delivered again, and parked after `max_deliver` times. Before it is parked `give_up` is called with the reason; also
    for a message that killed its handlers, if it is handed out once more.
    """
    async with aclosing(deliveries):
        async for delivery in deliveries:
            try:
                await _traced(delivery, handle, max_deliver, give_up)
            except FolkmootError as lost:
                log.warning("%s comes again: %s", delivery.stored.event.subject, lost, extra={"action": "lease-lost"})


async def _traced(delivery: Delivery, handle: Handle, max_deliver: int, give_up: GiveUp | None) -> None:
    """Under the trace of whoever sent it."""
    if delivery.attempt > 1:
        count(meters.REDELIVERIES, topology.stream_of(delivery.stored.event.subject).name)
    with within(understood(delivery.stored.event.traceparent)):
        await _settle(delivery, handle, max_deliver, give_up)


async def _settle(delivery: Delivery, handle: Handle, max_deliver: int, give_up: GiveUp | None) -> None:
    reason = await _problem(delivery, handle) if delivery.attempt <= max_deliver else _fatal(delivery)
    if reason is None:
        await delivery.ack()
    elif not reason.final and delivery.attempt < max_deliver:
        await delivery.retry(reason.retry_after_s)
    else:
        if give_up is not None:
            await give_up(delivery, reason.words)
        await delivery.park(reason.words)


def _fatal(delivery: Delivery) -> "_Problem":
    """Handled as often as it may be, and none of its handlers lived to say how it went."""
    return _Problem(f"delivered {delivery.attempt - 1} times in vain", final=True)


class _Problem:
    def __init__(self, words: str, *, final: bool, retry_after_s: float = RETRY_S) -> None:
        self.words = words
        self.final = final
        self.retry_after_s = retry_after_s


async def _problem(delivery: Delivery, handle: Handle) -> _Problem | None:
    subject = delivery.stored.event.subject
    try:
        async with delivery.lease():
            await handle(delivery)
    except LeaseLost:
        raise
    except asyncio.CancelledError:
        # We are stopping: whoever comes next need not wait until the lease runs out.
        with suppress(LeaseLost, Unavailable):
            await delivery.retry(0.0)
        raise
    except RetryLater as later:
        log.warning("%s waits: %s", subject, later, extra={"action": "retry"})
        return _Problem(str(later), final=False, retry_after_s=max(later.retry_after_s, RETRY_S))
    except CallerError as error:
        log.exception("%s is parked", subject, extra={"action": "parked"})
        return _Problem(str(error), final=True)
    except FolkmootError as error:
        log.exception("%s cannot go on", subject, extra={"action": "failed"})
        return _Problem(str(error), final=False)
    except Exception as error:
        log.exception("%s met a fault of ours", subject, extra={"action": "failed"})
        return _Problem(f"{type(error).__name__}: {error}", final=False)
    return None

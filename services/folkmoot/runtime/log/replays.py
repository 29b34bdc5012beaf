"""Parked messages of logs, handled again by the service that parked them.

A queue's message is put back into its queue. A log's message never left the log, so a person's wish to have it handled
again is an event on its parked subject, and each service follows those for its own readers.
"""

from collections.abc import Awaitable, Callable, Mapping

from folkmoot.kernel.events import Stored
from folkmoot.kernel.facts import ParkedReplayed
from folkmoot.runtime.log import envelope
from folkmoot.runtime.log.consume import Handle
from folkmoot.runtime.log.port import Delivery

Again = Callable[[Stored], Awaitable[None]]
"""Handles an event that stands in a log; done twice is done once."""


def replaying(handlers: Mapping[str, Again]) -> Handle:
    """For `consume` over a service's `…-replays`: `handlers` by the reader that gave the message up."""

    async def handle(delivery: Delivery) -> None:
        fact = delivery.stored.event.data
        if isinstance(fact, ParkedReplayed) and fact.reader in handlers:
            await handlers[fact.reader](envelope.placed(fact.seq, fact.body.encode(), fact.subject))

    return handle

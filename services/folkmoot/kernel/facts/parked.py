"""Messages that nobody could handle: `parked.<stream>`."""

from typing import ClassVar

from folkmoot.kernel.events import Fact


class MessageParked(Fact, frozen=True, kw_only=True):
    """A message that nobody could handle: kept with its reason until a person replays it."""

    type_name: ClassVar[str] = "folkmoot.parked.v1"
    stream: str
    subject: str
    seq: int
    deliveries: int
    reason: str
    body: str
    """The original message, as text."""
    reader: str = ""
    """Durable reader whose service gave it up; empty in logs that are older than this."""


class ParkedReplayed(Fact, frozen=True, kw_only=True):
    """A person had a parked message handled again."""

    type_name: ClassVar[str] = "folkmoot.parked.replayed.v1"
    actor: str
    parked: int
    """Sequence of the parked message in its stream."""
    reader: str = ""
    """Its service handles `body` once more; empty where the message was put back into its queue."""
    subject: str
    seq: int
    """Where the original stood."""
    body: str = ""
    """The original message, as text; empty where it was put back."""

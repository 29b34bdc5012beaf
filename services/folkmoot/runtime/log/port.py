"""What every service may do with the log.

`nats.py` is the real one, `memory.py` the fake; one contract suite for both.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from folkmoot.kernel.errors import Conflict
from folkmoot.kernel.events import START, Fact, Head, Stored
from folkmoot.kernel.evidence import ArtifactRef


class LeaseLost(Conflict):
    """The lease on a delivery ran out under us: another may own the work now. Stop, and settle nothing."""


class Log(Protocol):
    """Append-only subjects in streams."""

    async def append(self, subject: str, fact: Fact, *, after: Head, key: str = "") -> Stored:
        """Append behind `after`, the subject's head as the caller knows it (`START` for a new subject).

        The adapter fills in the envelope (id, source, time, traceparent, prevdigest). `key` makes a retried append
        recognisable as the same one (default: derived from subject, head and content), so that a lost reply is never
        taken for a conflict. Behind the same head that holds for ever; behind a newer head a key is known for two
        minutes.

        Raises Conflict when somebody else appended first, InvalidInput when the event is too large, Unavailable when
        the log cannot be reached within its time-out (the append may or may not have happened: repeat it).
        """
        ...

    async def read(self, subject: str, *, after: Head = START) -> list[Stored]:
        """All events of one exact subject behind `after`, in order, the chain checked. Raises BrokenChain."""
        ...

    async def last(self, subject: str) -> Stored | None:
        """The subject's last event, at a cost that does not grow with history. None when there is none."""
        ...

    def follow(
        self, subjects: str, *, after_seq: int = 0, since: datetime | None = None, once: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """Events of all matching subjects (`*` and `>` allowed) behind stream sequence `after_seq`: first what is
        there, then what comes, for ever and across reconnects, each exactly once and in stream order. `once`: only what
        is there. `since` leaves out what was stored before that moment; it says nothing where `after_seq` is given.

        Leave it with `contextlib.aclosing`, so that the server hears of it at once. A reader that breaks (InvalidInput,
        BrokenChain where `subjects` is one subject) raises; a lost connection never does."""
        ...

    async def lasts(self, subjects: str) -> list[Stored]:
        """The last event of each subject that matches, in stream order; subjects that were erased are left out. One
        that cannot be read has `Unread` for its fact."""
        ...


class Delivery(Protocol):
    """One message of a queue, leased to us until it is settled or our heartbeat stops."""

    @property
    def stored(self) -> Stored: ...

    @property
    def attempt(self) -> int:
        """How often it has been delivered, from 1."""
        ...

    def lease(self) -> AbstractAsyncContextManager[None]:
        """Keeps the message ours while the block runs: a heartbeat at a third of the lease time. Settles nothing.

        The block is cancelled and LeaseLost raised when no heartbeat could be confirmed for a whole lease time.
        """
        ...

    async def ack(self) -> None:
        """Done; returns once the server has confirmed. Raises LeaseLost, Unavailable: it may be delivered again."""
        ...

    async def retry(self, delay_s: float) -> None:
        """Deliver it again, not before `delay_s`. Raises as `ack`."""
        ...

    async def park(self, reason: str) -> None:
        """Copy it to `parked.<stream>`, then settle it. Nothing is dropped. Raises as `ack`."""
        ...


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How much a durable reader has before it."""

    waiting: int
    """Messages that were never delivered."""
    taken: int
    """Messages that are leased to somebody, or come again after a while."""


class Queues(Protocol):
    """Work queues, and durable readers of logs: both deliver until acknowledged."""

    async def put(self, subject: str, fact: Fact, *, key: str) -> bool:
        """Put work; False when a message with `key` is already there (a repeated put)."""
        ...

    async def load(self, reader: str) -> Load:
        """Of the durable `reader`, as the server knows it now. Raises Unavailable."""
        ...

    def deliveries(self, reader: str) -> AsyncGenerator[Delivery, None]:
        """Messages for the durable `reader` (declared in `topology.py`), one at a time; call several times to work in
        parallel. A message that was delivered more than `max_deliver` times, or cannot be read, is parked, not handed
        out. Leave it with `contextlib.aclosing`. A lost connection is waited out, for ever."""
        ...


class Artifacts(Protocol):
    """Large bodies under their SHA-256."""

    async def put(self, body: bytes) -> ArtifactRef:
        """Idempotent. Raises InvalidInput above the configured size, Unavailable when it cannot be reached."""
        ...

    async def get(self, ref: ArtifactRef) -> bytes:
        """Raises NotFound, or BrokenChain when the content does not match its name."""
        ...

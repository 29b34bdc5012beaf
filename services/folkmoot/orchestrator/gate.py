"""Back-pressure: a new task is refused, with a time to come back, when the queue or the fleet's quota is full."""

from folkmoot.kernel.errors import ResourceExhausted
from folkmoot.kernel.limits import Quota
from folkmoot.orchestrator.ledger import Ledger
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.log.port import Load, Queues
from folkmoot.runtime.settings import OrchestratorSettings

READER = "orchestrator-requests"
LOOK_S = 0.5
"""How long a look at the queue holds; what this replica put in since is added to it."""
QUEUE_RETRY_S = 5.0
"""A place in the queue becomes free when a deliberation ends: after seconds to minutes."""


class Gate:
    """`queue` is the most tasks that may wait or run."""

    def __init__(self, queues: Queues, ledger: Ledger, clock: Clock, *, queue: int, quota: Quota) -> None:
        self._queues = queues
        self._ledger = ledger
        self._clock = clock
        self._queue = queue
        self._quota = quota
        self._looked_at = float("-inf")
        self._held = 0

    async def require_room(self) -> None:
        """Counts one more. Raises ResourceExhausted, Unavailable."""
        full = await self.refusal()
        if full is not None:
            raise full
        self._held += 1

    async def refusal(self) -> ResourceExhausted | None:
        """What a new task would be told now; None while there is room. Raises Unavailable."""
        spent = await self._spent()
        if spent is not None:
            return spent
        await self._look()
        if self._held < self._queue:
            return None
        problem = f"the queue is full: {self._held} tasks wait or run, at most {self._queue}"
        return ResourceExhausted(problem, QUEUE_RETRY_S)

    async def load(self) -> Load:
        """The queue as it is now."""
        return await self._queues.load(READER)

    async def _spent(self) -> ResourceExhausted | None:
        if not self._quota:
            return None
        await self._ledger.counted()
        reached = self._quota.reached(self._ledger.spent)
        if not reached:
            return None
        return ResourceExhausted(f"the fleet's quota is spent: {reached}", self._ledger.below_in_s(self._quota))

    async def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        load = await self.load()
        self._looked_at, self._held = now, load.waiting + load.taken


def quota_of(settings: OrchestratorSettings) -> Quota:
    return Quota(
        tokens=settings.fleet_tokens_per_day,
        usd=settings.fleet_usd_per_day,
        agent_hours=settings.fleet_agent_hours_per_day,
    )

"""The registry of agents and councils, as the log has it: for every service that has to know who may sit."""

from folkmoot.kernel import registry, subjects
from folkmoot.kernel.registry import Registry, Shipped
from folkmoot.runtime.log.port import Log


class Registered:
    """Keeps what it has folded; every look asks the log for what came since, which is one request."""

    def __init__(self, log: Log, shipped: Shipped) -> None:
        self._log = log
        self._known = registry.fold(shipped)

    async def registry(self) -> Registry:
        """As it stands now. Raises Unavailable, BrokenChain."""
        known = self._known
        fresh = registry.advanced(known, await self._log.read(subjects.COUNCILS, after=known.head))
        if fresh.head.seq > self._known.head.seq:
            self._known = fresh
        return fresh

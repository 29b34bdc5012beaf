"""The registry of agents and councils over the log: any replica writes, all replicas see."""

from folkmoot.kernel import registry, subjects
from folkmoot.kernel.errors import Conflict
from folkmoot.kernel.events import Fact
from folkmoot.kernel.registry import Registry, Shipped
from folkmoot.runtime.log.port import Log


class Fleet:
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

    async def record(self, fact: Fact) -> Registry:
        """The registry with `fact` in it; what stands there already is not written again.

        Raises what the guards say (InvalidInput, NotFound, FailedPrecondition), Unavailable.
        """
        while True:
            found = await self.registry()
            registry.require(found, fact)
            if not registry.changes(found, fact):
                return found
            try:
                stored = await self._log.append(subjects.COUNCILS, fact, after=found.head)
            except Conflict:
                continue
            return registry.advanced(found, [stored])

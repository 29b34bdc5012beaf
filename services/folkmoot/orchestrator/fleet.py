"""The registry of agents and councils over the log: any replica writes, all replicas see."""

from folkmoot.kernel import registry, subjects
from folkmoot.kernel.errors import Conflict
from folkmoot.kernel.events import Fact
from folkmoot.kernel.registry import Registry
from folkmoot.runtime.log.registry import Registered


class Fleet(Registered):
    """The one writer of the registry."""

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

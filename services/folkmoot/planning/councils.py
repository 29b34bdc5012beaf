"""Whether the councils that a story or a plan names are there: said when it is asked, not when a task begins."""

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.plan import Plan
from folkmoot.kernel.task import Role, TaskSpec
from folkmoot.runtime.log.registry import Registered

Wanted = tuple[str, str, Role]
"""The field that names it, the council, and the role that it must sit for."""


class Councils:
    """The registry as it stands. A council may be deleted after that: then its task says so."""

    def __init__(self, registered: Registered) -> None:
        self._registered = registered

    async def require(self, spec: TaskSpec | None, plan: Plan | None) -> None:
        """Where none is named the role's default sits, and nobody is asked.

        Raises InvalidInput naming the field (`council`, `plan.tasks[1].council`), Unavailable, BrokenChain.
        """
        wanted = [*_of_story(spec), *_of_plan(plan)]
        if not wanted:
            return
        registry = await self._registered.registry()
        for field, council, role in wanted:
            try:
                registry.council(council, role)
            except InvalidInput as error:
                raise InvalidInput(field, error.problem) from error


def _of_story(spec: TaskSpec | None) -> list[Wanted]:
    return [("council", spec.council, spec.role)] if spec and spec.council else []


def _of_plan(plan: Plan | None) -> list[Wanted]:
    tasks = plan.tasks if plan else ()
    return [(f"plan.tasks[{i}].council", t.council, t.role) for i, t in enumerate(tasks) if t.council]

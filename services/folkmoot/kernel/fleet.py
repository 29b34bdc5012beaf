"""Who may sit: agents with their profiles, and councils of them. Values only."""

import msgspec

from folkmoot.kernel.task import MAX_BUDGET, Budget, ModelChoice, Role

NO_LIMIT = Budget(steps=int(MAX_BUDGET), tokens=int(MAX_BUDGET), cost_usd=MAX_BUDGET, wall_s=MAX_BUDGET)
"""Of a profile that names only some limits: the others are the task's."""


def lower(one: Budget, other: Budget | None) -> Budget:
    """Of each limit the lower."""
    if other is None:
        return one
    return Budget(**{name: min(getattr(one, name), getattr(other, name)) for name in Budget.__struct_fields__})


class AgentProfile(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that councils may name. Empty fields mean the platform's or the role's own."""

    name: str
    """A token; unique in the fleet."""
    role: Role
    persona: str = ""
    """Of those that ship."""
    instructions: str = ""
    """In words, behind the persona."""
    model: ModelChoice = ModelChoice()
    temperature: float | None = None
    """From 0 to 2."""
    tools: tuple[str, ...] = ()
    """Fewer than the role's; never more."""
    budget: Budget | None = None


class Council(msgspec.Struct, frozen=True, kw_only=True):
    """Agents that sit together for a role, in their order; a task that wants more seats begins again at the first."""

    name: str
    role: Role
    agents: tuple[str, ...]
    default: bool = False
    """Sits for every task of its role that names no council."""
    description: str = ""

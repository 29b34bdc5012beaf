"""Who may sit: agents with their profiles, and councils of them. Values only."""

import msgspec

from folkmoot.kernel.task import Budget, ModelChoice, Role


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

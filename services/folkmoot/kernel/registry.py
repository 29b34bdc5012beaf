"""The fleet's agents and councils: what ships, and what the log says on top of it. Pure.

The fold takes whatever the log holds, also what another version wrote; the guards say no before something is written.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from folkmoot.kernel import ids
from folkmoot.kernel.errors import FailedPrecondition, InvalidInput, NotFound
from folkmoot.kernel.events import START, Fact, Head, Stored, follows
from folkmoot.kernel.facts import AgentRegistered, AgentUnregistered, CouncilCreated, CouncilDeleted
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.task import MAX_AGENTS, Role, checked_budget, checked_model_url

MAX_REGISTERED = 500
"""Agents, and as many councils, in the log: each is shown whole."""
MAX_NAME_CHARS = 40
"""A seat may add a number, and stands in names of branches and folders."""
MAX_INSTRUCTIONS_CHARS = 4_000
MAX_DESCRIPTION_CHARS = 1_000
MAX_MODEL_CHARS = 200
MAX_TEMPERATURE = 2.0
HANDS_IN = "submit"
"""Without this tool an agent's work never ends in a candidate."""

V = TypeVar("V")


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with the platform: always there, whatever the log says."""

    tools: Mapping[Role, tuple[str, ...]]
    """By role; an agent has these, or fewer."""
    personas: frozenset[str]
    agents: Mapping[str, AgentProfile]
    councils: Mapping[str, Council]
    """One default for each role."""


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of `fleet.events.councils`."""

    shipped: Shipped
    head: Head = START
    registered: Mapping[str, AgentProfile] = {}
    created: Mapping[str, Council] = {}
    defaults: Mapping[Role, str] = {}
    """Councils that were made the default of their role; the shipped one where there is none."""

    @property
    def agents(self) -> dict[str, AgentProfile]:
        """All that a council may name, by name."""
        return {**self.shipped.agents, **self.registered}

    @property
    def councils(self) -> dict[str, Council]:
        """All of them by name; exactly one of each role says that it is the default."""
        every = {**self.shipped.councils, **self.created}
        return {n: msgspec.structs.replace(c, default=n == self.default(c.role)) for n, c in every.items()}

    def default(self, role: Role) -> str:
        """Name of the council that sits for `role` when a task names none."""
        named = self.defaults.get(role)
        return named or next(n for n, c in self.shipped.councils.items() if c.role == role and c.default)

    def council(self, name: str, role: Role) -> Council:
        """The one of that name; empty is the role's default. Raises InvalidInput (`council`)."""
        found = self.councils.get(name or self.default(role))
        if found is None:
            raise InvalidInput("council", f"there is no council {name[:80]!r}; `moot council list` shows all")
        if found.role != role:
            raise InvalidInput("council", f"{name!r} sits for {found.role}, and the task wants {role}")
        return found

    def naming(self, agent: str) -> list[str]:
        """Councils that the agent sits in, sorted."""
        return sorted(n for n, c in self.councils.items() if agent in c.agents)


def fold(shipped: Shipped, events: Iterable[Stored] = ()) -> Registry:
    """Raises BrokenChain."""
    return advanced(Registry(shipped=shipped), events)


def advanced(registry: Registry, events: Iterable[Stored]) -> Registry:
    """`registry` after `events`, which follow its head. Raises BrokenChain."""
    for stored in events:
        follows(registry.head, stored)
        registry = msgspec.structs.replace(_after(registry, stored.event.data), head=stored.head)
    return registry


def _after(registry: Registry, fact: Fact) -> Registry:
    match fact:
        case AgentRegistered(agent=agent):
            return msgspec.structs.replace(registry, registered={**registry.registered, agent.name: agent})
        case AgentUnregistered(name=name):
            return msgspec.structs.replace(registry, registered=_without(registry.registered, name))
        case CouncilCreated(council=council):
            created = {**registry.created, council.name: council}
            return msgspec.structs.replace(registry, created=created, defaults=_defaults(registry, council))
        case CouncilDeleted(name=name):
            defaults = {role: d for role, d in registry.defaults.items() if d != name}
            return msgspec.structs.replace(registry, created=_without(registry.created, name), defaults=defaults)
    return registry


def _defaults(registry: Registry, council: Council) -> dict[Role, str]:
    others = {role: name for role, name in registry.defaults.items() if name != council.name}
    return {**others, council.role: council.name} if council.default else others


def _without(entries: Mapping[str, V], name: str) -> dict[str, V]:
    return {n: v for n, v in entries.items() if n != name}


# --- guards ------------------------------------------------------------------------------------------------------


def require(registry: Registry, fact: Fact) -> None:
    """Whether `fact` may be written behind the registry's head.

    Raises InvalidInput (`agent.…`, `council.…`), NotFound, FailedPrecondition (`in_use`, `shipped`, `full`).
    """
    match fact:
        case AgentRegistered(agent=agent):
            _require_agent(registry, agent)
        case AgentUnregistered(name=name):
            _require_removable("agent", name, registry.registered, registry.shipped.agents)
            if name not in registry.shipped.agents and (councils := registry.naming(name)):
                raise FailedPrecondition("in_use", f"agent {name} sits in {', '.join(councils)}; change those first")
        case CouncilCreated(council=council):
            _require_council(registry, council)
        case CouncilDeleted(name=name):
            _require_removable("council", name, registry.created, registry.shipped.councils)


def changes(registry: Registry, fact: Fact) -> bool:
    """Whether it would make a difference: what stands there already is not written again."""
    after = _after(registry, fact)
    return (after.registered, after.created, after.defaults) != (
        registry.registered,
        registry.created,
        registry.defaults,
    )


def _require_removable(kind: str, name: str, added: Mapping[str, object], shipped: Mapping[str, object]) -> None:
    if name in added:
        return
    if name in shipped:
        raise FailedPrecondition("shipped", f"{kind} {name} comes with the platform and stands unchanged; it stays")
    raise NotFound(f"there is no {kind} {name[:80]!r}")


def _require_agent(registry: Registry, agent: AgentProfile) -> None:
    _name("agent.name", agent.name)
    if agent.persona and agent.persona not in registry.shipped.personas:
        known = ", ".join(sorted(registry.shipped.personas))
        raise InvalidInput("agent.persona", f"{agent.persona[:80]!r} is none of {known}")
    _text("agent.instructions", agent.instructions, MAX_INSTRUCTIONS_CHARS)
    checked_model_url("agent.model_url", agent.model.url)
    _text("agent.model", agent.model.name, MAX_MODEL_CHARS)
    if agent.temperature is not None and not 0 <= agent.temperature <= MAX_TEMPERATURE:
        raise InvalidInput("agent.temperature", f"{agent.temperature}; from 0 to {MAX_TEMPERATURE:g}")
    _require_tools(agent, registry.shipped.tools[agent.role])
    if agent.budget is not None:
        checked_budget("agent.budget", agent.budget)
    _require_role(registry, agent)
    _require_room("agents", agent.name, registry.registered)


def _require_tools(agent: AgentProfile, allowed: tuple[str, ...]) -> None:
    for position, tool in enumerate(agent.tools):
        if tool not in allowed:
            known = ", ".join(allowed)
            raise InvalidInput(f"agent.tools[{position}]", f"{tool[:80]!r}: {agent.role} may use {known}")
        if tool in agent.tools[:position]:
            raise InvalidInput(f"agent.tools[{position}]", f"{tool!r} stands there twice")
    if agent.tools and HANDS_IN not in agent.tools:
        raise InvalidInput("agent.tools", f"without {HANDS_IN!r} no work is ever handed in")


def _require_role(registry: Registry, agent: AgentProfile) -> None:
    """A council's agents are of its role, now and after an agent or council that ships has come back as it was."""
    shipped, standing = registry.shipped.agents.get(agent.name), registry.agents.get(agent.name)
    if shipped is not None and shipped.role != agent.role:
        raise FailedPrecondition("shipped", f"agent {agent.name} comes with the platform, as {shipped.role}")
    if standing is not None and standing.role != agent.role and (councils := registry.naming(agent.name)):
        raise FailedPrecondition("in_use", f"agent {agent.name} sits as {standing.role} in {', '.join(councils)}")


def _require_council(registry: Registry, council: Council) -> None:
    _name("council.name", council.name)
    _text("council.description", council.description, MAX_DESCRIPTION_CHARS)
    if not 1 <= len(council.agents) <= MAX_AGENTS:
        raise InvalidInput("council.agents", f"{len(council.agents)}; from 1 to {MAX_AGENTS}")
    for position, name in enumerate(council.agents):
        _require_seat(registry, council, position, name)
    shipped = registry.shipped.councils.get(council.name)
    if shipped is not None and shipped.role != council.role:
        raise FailedPrecondition("shipped", f"council {council.name} comes with the platform, for {shipped.role}")
    _require_room("councils", council.name, registry.created)


def _require_seat(registry: Registry, council: Council, position: int, name: str) -> None:
    field, agent = f"council.agents[{position}]", registry.agents.get(name)
    if agent is None:
        raise InvalidInput(field, f"there is no agent {name[:80]!r}; register it first")
    if agent.role != council.role:
        raise InvalidInput(field, f"{name!r} is {agent.role}, and the council sits for {council.role}")
    if name in council.agents[:position]:
        raise InvalidInput(field, f"{name!r} stands there twice")


def _require_room(kind: str, name: str, added: Mapping[str, object]) -> None:
    if name not in added and len(added) >= MAX_REGISTERED:
        raise FailedPrecondition("full", f"there are {MAX_REGISTERED} {kind} already; remove some first")


def _name(field: str, name: str) -> None:
    ids.token(name, field)
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInput(field, f"{len(name)} characters; at most {MAX_NAME_CHARS}")


def _text(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise InvalidInput(field, f"{len(value)} characters; at most {limit}")
    if "\x00" in value:
        raise InvalidInput(field, "holds a NUL character")

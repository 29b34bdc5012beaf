"""What a file for `moot council set` and `moot agent set` may hold. Strict: errors name the field."""

import msgspec

from folkmoot.cli import documents
from folkmoot.cli.fleet.values import Agent, Council
from folkmoot.kernel.errors import InvalidInput


class Seats(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A council as a person writes it: its agents by name, or whole, which registers them too."""

    name: str
    role: str = "DEV"
    agents: tuple[str | Agent, ...]
    default: bool = False
    description: str = ""
    shipped: bool = False
    """As `moot council show --json` prints it; it does not count."""


def read_agents(name: str) -> tuple[Agent, ...]:
    """One profile, a list of them, or a mapping with the list under `agents`. Raises InvalidInput."""
    document = documents.read(name)
    if isinstance(document, dict) and "agents" in document:
        if extra := [key for key in document if key != "agents"]:
            raise InvalidInput(str(extra[0]), "has no place beside `agents`; a council is set with `moot council set`")
        return documents.converted(document["agents"], tuple[Agent, ...], "agents")
    if isinstance(document, list):
        return documents.converted(document, tuple[Agent, ...])
    return (documents.converted(document, Agent),)


def read_council(name: str) -> tuple[Council, tuple[Agent, ...]]:
    """The council, and the agents that stand whole in its file. Raises InvalidInput."""
    found = documents.converted(documents.read(name), Seats)
    whole = tuple(agent for agent in found.agents if isinstance(agent, Agent))
    council = Council(
        name=found.name,
        role=found.role,
        agents=tuple(agent if isinstance(agent, str) else agent.name for agent in found.agents),
        default=found.default,
        description=found.description,
    )
    return council, whole

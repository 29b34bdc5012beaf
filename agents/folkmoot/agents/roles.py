"""Roles and personas as the agents' side reads them. A role decides prompt and tools; a persona only the angle."""

from importlib import resources

from folkmoot.agents.shipped import Persona, Role, load
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.task import Role as RoleName

LIBRARY = load(resources.files("folkmoot.agents") / "data")
ROLES = LIBRARY.roles
PERSONAS = LIBRARY.personas
SHIPPED = LIBRARY.shipped


def role(name: str) -> Role:
    """Raises InvalidInput when there is none of that name."""
    try:
        return ROLES[RoleName(name)]
    except ValueError as error:
        raise InvalidInput("role", f"{name[:80]!r} is none of {', '.join(ROLES)}") from error


def persona(name: str) -> Persona:
    """Raises InvalidInput when there is none of that name."""
    for known in PERSONAS:
        if known.name == name:
            return known
    raise InvalidInput("persona", f"{name[:80]!r} is none of {', '.join(p.name for p in PERSONAS)}")


def permitted(name: str, tools: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `tools` that the role may use, in the role's order; all of the role's when `tools` is empty."""
    own = role(name).tools
    return tuple(t for t in own if t in tools) if tools else own

"""Roles and personas, as data. A role decides the tools; a persona only the angle from which a task is taken."""

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.tools.table import TOOLS


class Role(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tools: tuple[str, ...]


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    text: str


DEV = Role(name="DEV", tools=tuple(TOOLS))
ROLES = {DEV.name: DEV}

PERSONAS = (
    Persona(
        name="careful",
        text="You read widely before you write: callers, tests, history. You look for the cause, not for the symptom.",
    ),
    Persona(
        name="tester",
        text="You begin with a failing test. You think of edges: empty, zero, negative, huge, twice, in another order.",
    ),
    Persona(
        name="minimal",
        text="You look for the smallest change that is right, and you distrust every line that it does not need.",
    ),
    Persona(
        name="contract",
        text="You work from what callers were promised: signatures, docstrings, documentation. You keep every promise.",
    ),
    Persona(
        name="sceptic",
        text="You doubt your first idea: you write down a second explanation, and run what tells the two apart.",
    ),
)


def role(name: str) -> Role:
    """Raises InvalidInput when there is none of that name."""
    if name not in ROLES:
        raise InvalidInput("role", f"{name!r} is none of {', '.join(ROLES)}")
    return ROLES[name]


def persona(name: str) -> Persona:
    """Raises InvalidInput when there is none of that name."""
    for known in PERSONAS:
        if known.name == name:
            return known
    raise InvalidInput("persona", f"{name!r} is none of {', '.join(p.name for p in PERSONAS)}")

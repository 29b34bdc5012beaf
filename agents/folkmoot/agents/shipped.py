"""The data files that ship: roles, personas, councils, helpers. Read once, strictly: errors name file and field.

A file of a council is what `moot council set` takes, so whoever wants another copies one.
"""

import tomllib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import TypeVar

import msgspec

from folkmoot.kernel.errors import InvalidInput, Misconfigured
from folkmoot.kernel.facts import AgentRegistered, CouncilCreated
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.registry import HANDS_IN, Shipped, fold, require
from folkmoot.kernel.task import Role as RoleName
from folkmoot.tools.table import TOOLS

T = TypeVar("T")

HELPERS = ("tester-1", "splitter-1", "judge-1")
"""Without these no task of high rigor is seated."""


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all agents of a role are told and may use."""

    name: RoleName
    title: str
    prompt: str
    tools: tuple[str, ...]
    rubric: tuple[str, ...]
    """What good work is, for those who do it and those who judge it."""


class Persona(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An angle from which a task is taken."""

    name: str
    text: str


class _Personas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    personas: tuple[Persona, ...]


class _Agent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    role: RoleName
    persona: str = ""
    instructions: str = ""
    temperature: float | None = None
    tools: tuple[str, ...] = ()


class _Council(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    role: RoleName
    agents: tuple[_Agent, ...]
    default: bool = False
    description: str = ""


class _Helpers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agents: tuple[_Agent, ...]


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    roles: dict[RoleName, Role]
    personas: tuple[Persona, ...]
    shipped: Shipped


def load(folder: Traversable) -> Library:
    """`roles/*.toml`, `councils/*.toml`, `personas.toml` and `helpers.toml` below `folder`.

    Raises Misconfigured naming file and field.
    """
    roles = {role.name: role for file in _files(folder / "roles") for role in [_role(file)]}
    if missing := [name for name in RoleName if name not in roles]:
        raise Misconfigured(f"roles: there is no file for {', '.join(missing)}")
    personas = _read(folder / "personas.toml", _Personas).personas
    bare = Shipped(
        tools={name: role.tools for name, role in roles.items()},
        personas=frozenset(p.name for p in personas),
        agents={},
        councils={},
    )
    shipped = _with_helpers(_with_councils(bare, folder / "councils"), folder / "helpers.toml")
    return Library(roles=roles, personas=personas, shipped=shipped)


def _role(file: Traversable) -> Role:
    role = _read(file, Role)
    for position, tool in enumerate(role.tools):
        if tool not in TOOLS:
            raise Misconfigured(f"{file.name}: tools[{position}]: there is no tool {tool!r}")
    if HANDS_IN not in role.tools:
        raise Misconfigured(f"{file.name}: tools: {HANDS_IN!r} is missing, and without it no work is handed in")
    return role


def _with_councils(bare: Shipped, folder: Traversable) -> Shipped:
    """Under the same guards as what people register."""
    shipped = bare
    for file in _files(folder):
        found = _read(file, _Council)
        council = Council(
            name=found.name,
            role=found.role,
            agents=tuple(a.name for a in found.agents),
            default=found.default,
            description=found.description,
        )
        shipped = _with_agents(shipped, file, found.agents)
        try:
            require(fold(shipped), CouncilCreated(actor="", council=council))
        except InvalidInput as error:
            raise Misconfigured(f"{file.name}: {error}") from error
        shipped = msgspec.structs.replace(shipped, councils={**shipped.councils, council.name: council})
    _require_defaults(shipped)
    return shipped


def _with_helpers(shipped: Shipped, file: Traversable) -> Shipped:
    helpers = _read(file, _Helpers).agents
    if missing := [name for name in HELPERS if name not in {a.name for a in helpers}]:
        raise Misconfigured(f"{file.name}: agents: {missing[0]!r} is missing")
    return _with_agents(shipped, file, helpers)


def _with_agents(shipped: Shipped, file: Traversable, found: tuple[_Agent, ...]) -> Shipped:
    agents = {a.name: _profile(a) for a in found}
    if taken := [name for name in agents if name in shipped.agents]:
        raise Misconfigured(f"{file.name}: agents: {taken[0]!r} stands in another file too")
    try:
        for agent in agents.values():
            require(fold(shipped), AgentRegistered(actor="", agent=agent))
    except InvalidInput as error:
        raise Misconfigured(f"{file.name}: {error}") from error
    return msgspec.structs.replace(shipped, agents={**shipped.agents, **agents})


def _require_defaults(shipped: Shipped) -> None:
    for role in RoleName:
        defaults = [name for name, council in shipped.councils.items() if council.role == role and council.default]
        if len(defaults) != 1:
            raise Misconfigured(f"councils: {role} has {len(defaults)} defaults ({', '.join(defaults)}); it needs one")


def _profile(agent: _Agent) -> AgentProfile:
    return AgentProfile(
        name=agent.name,
        role=agent.role,
        persona=agent.persona,
        instructions=agent.instructions,
        temperature=agent.temperature,
        tools=agent.tools,
    )


def _files(folder: Traversable) -> Iterator[Traversable]:
    yield from sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)


def _read(file: Traversable, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), kind)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file.name}: cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        raise Misconfigured(f"{file.name}: {place.rstrip('`').lstrip('.') or 'file'}: {problem}") from error

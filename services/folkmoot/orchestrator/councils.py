"""Councils: which agents sit for a task, with which model, angle, tools and limits."""

import itertools
from collections.abc import Iterator

import msgspec

from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import Seat
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.registry import Registry
from folkmoot.kernel.task import ModelChoice, TaskSpec
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.runtime.settings import ModelSettings

SEATS_BYTES = 40 * 1024
"""Of all seats of a task as JSON: they stand in one event, beside what is known of base."""


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """Who sits for a task."""

    council: str
    seats: tuple[Seat, ...]


class Councils:
    """Seats tasks by the registry as it stands."""

    def __init__(self, fleet: Fleet, model: ModelSettings) -> None:
        self._fleet = fleet
        self._model = model

    async def seated(self, spec: TaskSpec) -> Seated:
        """As `seated`. Raises Unavailable too."""
        return seated(spec, await self._fleet.registry(), self._model)


def seated(spec: TaskSpec, registry: Registry, configured: ModelSettings) -> Seated:
    """As many seats as the task asks for, in the council's order.

    Raises InvalidInput: `council` (unknown, or of another role), `model_url` and `model` (none is named anywhere; says
    how to), `agents` (too many for what this council's agents are told).
    """
    council = registry.council(spec.council, spec.role)
    profiles = _profiles(council, registry)
    seats = tuple(
        _seat(name, council, profile, _model(profile, spec, configured))
        for name, profile in zip(_names(council, spec.agents), itertools.cycle(profiles), strict=False)
    )
    size = len(msgspec.json.encode(seats))
    if size > SEATS_BYTES:
        problem = f"{spec.agents} seats of {council.name} take {size} bytes of instructions; at most {SEATS_BYTES}"
        raise InvalidInput("agents", problem)
    return Seated(council=council.name, seats=seats)


def _profiles(council: Council, registry: Registry) -> list[AgentProfile]:
    known = registry.agents
    if missing := [name for name in council.agents if name not in known]:
        raise InvalidInput("council", f"{council.name} names {missing[0]!r}, an agent that this version does not have")
    return [known[name] for name in council.agents]


def _names(council: Council, count: int) -> Iterator[AgentId]:
    """Each once: from the first again when there are more seats than agents, with a number that nobody else has."""
    taken = set(council.agents)
    for seat in range(count):
        name = council.agents[seat % len(council.agents)]
        if seat >= len(council.agents):
            name = next(n for n in (f"{name}-{k}" for k in itertools.count(2)) if n not in taken)
            taken.add(name)
        yield AgentId(name)


def _model(profile: AgentProfile, spec: TaskSpec, configured: ModelSettings) -> ModelChoice:
    """Field by field: the agent's own, else the task's, else the configured one."""
    url = profile.model.url or spec.model.url or configured.url
    name = profile.model.name or spec.model.name or configured.name
    if not url:
        raise InvalidInput("model_url", "none given and none configured: set FOLKMOOT_MODEL_URL, or pass one")
    if not name:
        raise InvalidInput("model", "none given and none configured: set FOLKMOOT_MODEL_NAME, or pass one")
    return ModelChoice(url=url, name=name)


def _seat(name: AgentId, council: Council, profile: AgentProfile, model: ModelChoice) -> Seat:
    return Seat(
        agent_id=name,
        role=council.role,
        persona=profile.persona,
        model=model,
        instructions=profile.instructions,
        temperature=profile.temperature,
        tools=profile.tools,
        budget=profile.budget,
    )

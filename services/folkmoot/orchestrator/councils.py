"""Councils: which agents sit for a task, and which help it, with which model, angle, tools and limits."""

import itertools
from collections.abc import Iterator

import msgspec

from folkmoot.agents.judge import impartial
from folkmoot.kernel.errors import InvalidInput
from folkmoot.kernel.facts import Seat
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.kernel.ids import AgentId
from folkmoot.kernel.registry import Registry
from folkmoot.kernel.task import ModelChoice, Role, TaskSpec
from folkmoot.orchestrator.fleet import Fleet
from folkmoot.runtime.settings import ModelSettings

SEATS_BYTES = 40 * 1024
"""Of all seats of a task as JSON: they stand in one event, beside what is known of base."""
DUTIES = {"tester": "sealed", "splitter": "split", "judge": "judge"}
"""Of helpers, by the first word of their names."""


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

    async def helpers(self, spec: TaskSpec, *, sealed: int, split: int, judge: bool) -> tuple[Seat, ...]:
        """As `helper_seats`. Raises Unavailable too."""
        registry = await self._fleet.registry()
        return helper_seats(spec, registry, self._model, sealed=sealed, split=split, judge=judge)


def seated(spec: TaskSpec, registry: Registry, configured: ModelSettings) -> Seated:
    """As many seats as the task may fill, in the council's order.

    Raises InvalidInput: `council` (unknown, or of another role), `model_url` and `model` (none is named anywhere; says
    how to), `agents` (too many for what this council's agents are told).
    """
    council = registry.council(spec.council, spec.role)
    profiles = _profiles(council, registry)
    seats = tuple(
        _seat(name, council.role, profile, _model(profile, spec, configured))
        for name, profile in zip(_names(council, _most(spec)), itertools.cycle(profiles), strict=False)
    )
    _require_room(spec, council, seats)
    return Seated(council=council.name, seats=seats)


def helper_seats(
    spec: TaskSpec, registry: Registry, configured: ModelSettings, *, sealed: int, split: int, judge: bool
) -> tuple[Seat, ...]:
    """Who helps the council and never proposes: `sealed` writers of tests who see no candidate (`tester-1`, …), `split`
    who tell two apart (`splitter-1`, …), and a judge (`judge-1`), whose model is none of an author's where the registry
    knows another. A name that the council has already gets a number behind it.

    Raises InvalidInput as `seated`, whose seats it counts too.
    """
    council = registry.council(spec.council, spec.role)
    authors = seated(spec, registry, configured).seats
    taken = {*council.agents, *_names(council, _most(spec))}
    writers = [*_helpers("tester", sealed, registry), *_helpers("splitter", split, registry)]
    seats = [_helper(name, taken, profile, _model(profile, spec, configured)) for name, profile in writers]
    if judge:
        ((name, profile),) = _helpers("judge", 1, registry)
        model = _judging(profile, authors, spec, registry, configured)
        seats.append(_helper(name, taken, profile, model))
    _require_room(spec, council, (*authors, *seats))
    return tuple(seats)


def _most(spec: TaskSpec) -> int:
    """Seats that may be filled in the end."""
    return max(spec.agents, spec.max_agents)


def _helpers(kind: str, count: int, registry: Registry) -> Iterator[tuple[str, AgentProfile]]:
    """With the profile of that name, where there is one; else those that there are take turns."""
    agents = registry.agents
    known = list(itertools.takewhile(agents.__contains__, (f"{kind}-{n}" for n in itertools.count(1))))
    for number in range(count):
        yield f"{kind}-{number + 1}", agents[known[number % len(known)]]


def _judging(
    profile: AgentProfile,
    authors: tuple[Seat, ...],
    spec: TaskSpec,
    registry: Registry,
    configured: ModelSettings,
) -> ModelChoice:
    own = _model(profile, spec, configured)
    if profile.model != ModelChoice():
        return own
    others = [a for _, a in sorted(registry.agents.items()) if a.model != ModelChoice()]
    return impartial([own, *(_model(a, spec, configured) for a in others)], [seat.model for seat in authors])


def _helper(name: str, taken: set[str], profile: AgentProfile, model: ModelChoice) -> Seat:
    free = next(n for n in (name, *(f"{name}-{k}" for k in range(2, len(taken) + 3))) if n not in taken)
    seat = _seat(AgentId(free), profile.role, profile, model)
    return msgspec.structs.replace(seat, duty=DUTIES[name.partition("-")[0]])


def _require_room(spec: TaskSpec, council: Council, seats: tuple[Seat, ...]) -> None:
    size = len(msgspec.json.encode(seats))
    if size > SEATS_BYTES:
        problem = f"{spec.agents} seats of {council.name} take {size} bytes of instructions; at most {SEATS_BYTES}"
        raise InvalidInput("agents", problem)


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


def _seat(name: AgentId, role: Role, profile: AgentProfile, model: ModelChoice) -> Seat:
    return Seat(
        agent_id=name,
        role=role,
        persona=profile.persona,
        model=model,
        instructions=profile.instructions,
        temperature=profile.temperature,
        tools=profile.tools,
        budget=profile.budget,
    )

"""Where the time of one deliberation went, read from its log alone. Pure.

The path is the chain that the end waited for: its parts follow one another and together are the whole time. Times are
those that the writers' clocks put into the events: a moment that lies before the one that it must follow counts as it.
"""

from collections.abc import Iterable

import msgspec

from folkmoot.kernel.events import Event, timestamp
from folkmoot.kernel.facts import (
    AgentFailed,
    AgentFinished,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    CandidatesRanked,
    Convened,
    Examined,
    OwnerTook,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId, StoryId, TaskId
from folkmoot.kernel.result import State
from folkmoot.kernel.stretches import Inner, Part, Phase, Walk, ownerless, parts, seconds
from folkmoot.kernel.trail import OUTCOMES, Trail, author

RUNNING = "running"
"""State of a task that has not ended."""


class AgentTime(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, from the council's convening to what came of it."""

    agent_id: AgentId
    outcome: str
    """`proposed`, `refused`, `failed`, or `working` when nothing has come of it."""
    critical: bool
    """The end waited for it."""
    began_s: float
    seconds: float
    parts: tuple[Part, ...]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    task_id: TaskId
    story_id: StoryId
    state: str
    """A `State` at the end, else `running`."""
    trace_id: str
    """Of OpenTelemetry; empty in logs from before traces."""
    began_at: str
    seconds: float
    """From the request to the end, or to the last event of a task that runs."""
    path: tuple[Part, ...]
    agents: tuple[AgentTime, ...]
    unknown: tuple[str, ...]
    """What the log does not tell (any more), in words."""


def trace(events: Iterable[Event]) -> Trace:
    """`events` are those of the task, and of its agents' workspaces, steps and results; each subject's in order.

    Raises NotFound when the request is not among them.
    """
    trail = Trail(tuple(events))
    path = _path(trail)
    critical = {p.about for p in path if p.name in (Phase.AGENT, Phase.ADMISSION)}
    return Trace(
        task_id=trail.spec.task_id,
        story_id=trail.spec.story_id,
        state=_state(trail),
        trace_id=trail.trace_id,
        began_at=timestamp(trail.began),
        seconds=seconds(trail.end),
        path=path,
        agents=tuple(_agent(trail, agent, critical=agent in critical) for agent in trail.seats),
        unknown=tuple(trail.unknown()),
    )


def _state(trail: Trail) -> str:
    return str(trail.result.state) if trail.result else RUNNING


# --- the path ----------------------------------------------------------------------------------------------------


def _path(trail: Trail) -> tuple[Part, ...]:
    walk, convened = Walk(0, trail.end), trail.moment(Convened)
    takes = [trail.at(e) for e in trail.of(OwnerTook)]
    if takes or convened is None:
        walk.to(Phase.QUEUE, takes[0] if takes else trail.end)
    walk.to(Phase.CONVENING, trail.end if convened is None else convened)
    _work(walk, trail)
    ranked = trail.moment(CandidatesRanked)
    walk.to(Phase.RANKING, ranked)
    if ranked is None and _state(trail) == State.CANCELLED:
        walk.to(Phase.UNDER_WAY, trail.moment(CancelRequested))
    last = Phase.ENDING if ranked is None else Phase.PUBLISHING
    walk.to(last if trail.result else Phase.UNDER_WAY, trail.end)
    return parts(ownerless(walk.stretches, _gaps(trail, takes)))


def _work(walk: Walk, trail: Trail) -> None:
    """From the council to the last thing that the ranking waited for."""
    gate = _gate(trail)
    if gate is None:
        return
    subject = gate.data.subject if isinstance(gate.data, Examined) else ""
    agent = trail.author_of(subject) if subject else author(gate.data)
    if agent is not None:
        _until_settled(walk, trail, agent)
    if subject:
        _examined(walk, trail, subject, trail.at(gate))


def _gate(trail: Trail) -> Event | None:
    """None where nothing was waited for to its end."""
    if trail.moment(CandidatesRanked) is None and _state(trail) in (RUNNING, State.CANCELLED):
        return None
    return max(trail.of(Examined, *OUTCOMES), key=trail.at, default=None)


def _examined(walk: Walk, trail: Trail, subject: str, until: int) -> None:
    for began, ended in trail.commands(subject):
        walk.to(Phase.EXAMINATION, began, Inner.WAITING, subject)
        walk.to(Phase.EXAMINATION, ended, Inner.COMMAND, subject)
    walk.to(Phase.EXAMINATION, until, Inner.WAITING, subject)


def _gaps(trail: Trail, takes: list[int]) -> list[tuple[int, int]]:
    """From the last sign of life before it to each take but the first."""
    return [(max(t for t in (0, *trail.moments) if t < take), take) for take in takes[1:] if take > 0]


# --- one agent ---------------------------------------------------------------------------------------------------


def _agent(trail: Trail, agent: AgentId, *, critical: bool) -> AgentTime:
    began, settled = trail.moment(Convened) or 0, trail.settled(agent)
    walk = Walk(began, trail.end)
    _until_settled(walk, trail, agent)
    if settled is None:
        walk.to(Phase.AGENT, trail.end, Inner.UNKNOWN, agent)
    return AgentTime(
        agent_id=agent,
        outcome=OUTCOMES[type(settled.data)] if settled else "working",
        critical=critical,
        began_s=seconds(began),
        seconds=seconds(sum(s.ended - s.began for s in walk.stretches)),
        parts=parts(walk.stretches),
    )


def _until_settled(walk: Walk, trail: Trail, agent: AgentId) -> None:
    losses = trail.attempts(AttemptLost, agent)
    for attempt, started in trail.attempts(AttemptStarted, agent).items():
        walk.to(Phase.WORKSPACE, started, about=agent)
        if attempt in losses:
            walk.to(Phase.LOST, losses[attempt], about=agent)
        else:
            _attempt(walk, trail, agent, attempt)
    settled = trail.settled(agent)
    if settled is not None and isinstance(settled.data, AgentFailed):
        walk.to(Phase.AGENT, trail.at(settled), Inner.HANDING_IN, agent)
    elif settled is not None:
        walk.to(Phase.ADMISSION, trail.at(settled), about=agent)


def _attempt(walk: Walk, trail: Trail, agent: AgentId, attempt: int) -> None:
    steps = trail.steps(agent, attempt)
    ready = trail.attempts(WorkspaceReady, agent).get(attempt)
    finished = trail.attempts(AgentFinished, agent).get(attempt)
    walk.to(Phase.WORKSPACE, ready, about=agent)
    if steps and ready is None:
        # Nothing tells where the workspace ended and the agent began.
        walk.to(Phase.WORKSPACE, steps[0][1], about=agent)
    elif steps:
        walk.to(Phase.AGENT, steps[0][1], Inner.START, agent)
    for inner, began, ended in steps:
        walk.to(Phase.AGENT, began, Inner.BETWEEN, agent)
        walk.to(Phase.AGENT, ended, inner, agent)
    walk.to(Phase.AGENT, finished, Inner.HANDING_IN if steps else Inner.UNKNOWN, agent)

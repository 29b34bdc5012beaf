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
    Judged,
    OwnerTook,
    WorkEnded,
    WorkspaceReady,
)
from folkmoot.kernel.ids import AgentId, StoryId, TaskId
from folkmoot.kernel.result import State
from folkmoot.kernel.stretches import Inner, Part, Phase, Walk, ownerless, parts, seconds
from folkmoot.kernel.trail import ENDINGS, WORKING, StagePart, Trail, author

RUNNING = "running"
"""State of a task that has not ended."""


class AgentTime(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, from the council's convening to what came of its last work."""

    agent_id: AgentId
    outcome: str
    """Of an author `proposed`, `refused`, `failed`; of a helper `wrote tests`, `judged`, `brought nothing more`;
    `working` when nothing has come of it."""
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
    critical = {p.about for p in path if p.name in (Phase.AGENT, Phase.ADMISSION, Phase.JUDGING)}
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
    """From the council to the last thing that the ranking waited for, stage by stage."""
    for stage in trail.stages():
        walk.to(Phase.WEIGHING, stage.began)
        gate = _gate(trail, stage)
        if gate is not None:
            _stage(walk, trail, stage, gate)


def _gate(trail: Trail, stage: StagePart) -> Event | None:
    """None where nothing was waited for to its end."""
    going_on = trail.moment(CandidatesRanked) is None and _state(trail) in (RUNNING, State.CANCELLED)
    if going_on and stage.last:
        return None
    return max(stage.of(Examined, *ENDINGS), key=trail.at, default=None)


def _stage(walk: Walk, trail: Trail, stage: StagePart, gate: Event) -> None:
    fact = gate.data
    if isinstance(fact, Judged):
        walk.to(Phase.JUDGING, trail.at(gate), about=fact.verdict.judge)
        return
    if not isinstance(fact, Examined):
        agent = author(fact)
        assert agent is not None, "all endings have an author"
        _until_ended(walk, trail, agent, stage)
        return
    ends = [e for agent in trail.waited_for(fact) if (e := stage.ended(agent)) is not None]
    last = max(ends, key=trail.at, default=None)
    if last is not None and (agent := author(last.data)) is not None:
        _until_ended(walk, trail, agent, stage)
    _examined(walk, trail, fact.subject, trail.at(gate))


def _examined(walk: Walk, trail: Trail, subject: str, until: int) -> None:
    for began, ended in trail.commands(subject):
        if ended <= until:
            walk.to(Phase.EXAMINATION, began, Inner.WAITING, subject)
            walk.to(Phase.EXAMINATION, ended, Inner.COMMAND, subject)
    walk.to(Phase.EXAMINATION, until, Inner.WAITING, subject)


def _gaps(trail: Trail, takes: list[int]) -> list[tuple[int, int]]:
    """From the last sign of life before it to each take but the first."""
    return [(max(t for t in (0, *trail.moments) if t < take), take) for take in takes[1:] if take > 0]


# --- one agent ---------------------------------------------------------------------------------------------------


def _agent(trail: Trail, agent: AgentId, *, critical: bool) -> AgentTime:
    began = trail.moment(Convened) or 0
    walk = Walk(began, trail.end)
    for stage in trail.stages():
        _until_ended(walk, trail, agent, stage)
    outcome = trail.outcome(agent)
    if outcome == WORKING:
        walk.to(Phase.AGENT, trail.end, Inner.UNKNOWN, agent)
    return AgentTime(
        agent_id=agent,
        outcome=outcome,
        critical=critical,
        began_s=seconds(began),
        seconds=seconds(sum(s.ended - s.began for s in walk.stretches)),
        parts=parts(walk.stretches),
    )


def _until_ended(walk: Walk, trail: Trail, agent: AgentId, stage: StagePart) -> None:
    """What an agent did in one stage."""
    losses = trail.attempts(AttemptLost, agent)
    begun = stage.attempts(agent)
    ended = stage.ended(agent)
    if begun or ended:
        walk.to(Phase.BETWEEN, stage.began, about=agent)
    for attempt, started in trail.attempts(AttemptStarted, agent).items():
        if attempt not in begun:
            continue
        walk.to(Phase.WORKSPACE, started, about=agent)
        if attempt in losses:
            walk.to(Phase.LOST, losses[attempt], about=agent)
        else:
            _attempt(walk, trail, agent, attempt)
    if ended is not None:
        _handed_in(walk, trail, agent, ended)


def _handed_in(walk: Walk, trail: Trail, agent: AgentId, ended: Event) -> None:
    match ended.data:
        case AgentFailed() | WorkEnded():
            walk.to(Phase.AGENT, trail.at(ended), Inner.HANDING_IN, agent)
        case Judged():
            walk.to(Phase.JUDGING, trail.at(ended), about=agent)
        case _:
            walk.to(Phase.ADMISSION, trail.at(ended), about=agent)


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

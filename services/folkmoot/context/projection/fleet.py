"""The fleet: agents and councils as they are now, and what people decided for later work."""

import hashlib

import msgspec

from folkmoot.context.projection.nodes import (
    NOTHING,
    both,
    folders,
    lines,
    linked,
    node,
    place,
    repository,
    repository_key,
    story,
    task,
)
from folkmoot.kernel.events import Stored, timestamp
from folkmoot.kernel.facts import AgentRegistered, AgentUnregistered, CouncilCreated, CouncilDeleted, DecisionRecorded
from folkmoot.kernel.fleet import AgentProfile, Council
from folkmoot.runtime.graph.port import Change, Node

EVERYWHERE = ""
"""Key of the repository of decisions that name none."""


def change(stored: Stored) -> Change:
    fact = stored.event.data
    match fact:
        case AgentRegistered():
            return Change(nodes=(_profile(fact.agent),))
        case AgentUnregistered():
            return Change(forget=(f"profile:{fact.name}",))
        case CouncilCreated():
            return _council(fact.council)
        case CouncilDeleted():
            return Change(forget=(f"council:{fact.name}",))
        case DecisionRecorded():
            return _recorded(fact, timestamp(stored.event.time))
    return NOTHING


def _profile(agent: AgentProfile) -> Node:
    return node(
        f"profile:{agent.name}",
        "Profile",
        name=agent.name,
        role=agent.role,
        persona=agent.persona,
        instructions=agent.instructions,
        model=agent.model.name,
        temperature="" if agent.temperature is None else f"{agent.temperature:g}",
        tools=lines(agent.tools),
    )


def _council(council: Council) -> Change:
    """An agent that ships with the platform is not in the log: its node has a name and nothing else."""
    new = node(
        f"council:{council.name}",
        "Council",
        name=council.name,
        role=council.role,
        agents=lines(council.agents),
        default=str(council.default).lower(),
        description=council.description,
    )
    seats = linked(new, "SEATS", *(node(f"profile:{name}", "Profile", name=name) for name in council.agents))
    return msgspec.structs.replace(seats, cut=((new.id, "SEATS"),))


# --- decisions of people -------------------------------------------------------------------------------------------


def decision_node(decision_id: str) -> str:
    return f"decision:{decision_id}"


def content_digest(fact: DecisionRecorded) -> str:
    """Tells a repeated recording from another one under the same key."""
    return hashlib.sha256(msgspec.json.encode(fact)).hexdigest()


def _recorded(fact: DecisionRecorded, recorded_at: str) -> Change:
    decision = node(
        decision_node(fact.decision_id),
        "RecordedDecision",
        title=fact.title,
        text=fact.text,
        actor=fact.actor,
        recorded_at=recorded_at,
        paths=lines(fact.paths),
        digest=content_digest(fact),
    )
    belongs = [story(fact.story_id)] if fact.story_id else []
    belongs += [task(fact.task_id)] if fact.task_id else []
    return both(linked(decision, "ABOUT", *belongs), _where(decision, fact))


def _where(decision: Node, fact: DecisionRecorded) -> Change:
    """ABOUT what it names; WITHIN the folders that hold it, for work on a whole folder."""
    key = repository_key(fact.repository)
    if not fact.paths:
        alone = bool(fact.story_id or fact.task_id) and not fact.repository
        return NOTHING if alone else linked(decision, "ABOUT", repository(key))
    around = sorted({folder for path in fact.paths for folder in folders(path)} - set(fact.paths))
    return both(
        linked(decision, "ABOUT", *(place(key, path) for path in fact.paths)),
        linked(decision, "WITHIN", repository(key), *(place(key, folder) for folder in around)),
    )
